"""What was found wrong in a method: one node, whose it is, and how that was proved."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.compare.verdict import Metric, Verdict

__all__ = ["EXECUTOR", "Finding", "Localized", "Place", "named"]

EXECUTOR = "the executor or its kernel"
"""Whose fault a step is that does not compute what it means."""


@dataclass(frozen=True)
class Place:
    """A place in a program and in the model.

    Attributes
    ----------
    step, op
        Number in the method and node type; -1 and empty where no step stands for the node.
    node, target
        Node of the exported graph and its operator; empty where no names were kept.
    module, source
        Path of the module that computes it, and the line of the model's code.
    shapes
        Of its tensors, the result's last.
    """

    step: int = -1
    op: str = ""
    node: str = ""
    target: str = ""
    module: str = ""
    source: str = ""
    shapes: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        """``step 12, GatherNode (im2col) in codec_decoder.output_proj``."""
        named = f" ({self.node})" if self.node else ""
        inside = f" in {self.module}" if self.module else ""
        step = f"step {self.step}, {self.op}{named}" if self.step >= 0 else self.node or "a module"
        return step + inside


@dataclass(frozen=True)
class Finding:
    """One wrong node.

    Attributes
    ----------
    place
        Where.
    link
        ``"exact"``: what was lowered is another program; ``"local"``: what ran is.
    owner
        Whose fault that makes it.
    error
        Greatest error, of the scale of the node's values or of its bound.
    index, made, meant
        Where it is greatest, and the values around there: of the program, and of the reference.
    correction
        The known correction of the lowering that cures it; empty where there is none.
    repro
        A script that shows the fault with torch and executorch alone; empty where none was made.
    """

    place: Place
    link: str
    owner: str
    error: float
    index: tuple[int, ...] = ()
    made: tuple[float, ...] = ()
    meant: tuple[float, ...] = ()
    correction: str = ""
    repro: str = ""

    @property
    def advice(self) -> str:
        """What to do about it."""
        if self.correction:
            return f"Put the correction back: leave out --without {self.correction}."
        return _ADVICE.get(self.owner, "Compare the node with the model's line.")

    def sentences(self) -> list[str]:
        """It in words, one line each."""
        place = self.place
        unit = "of its bound" if self.link == "local" else "of its scale"
        far = f"; off by {self.error:.2g} {unit}" if math.isfinite(self.error) else ""
        lines = [f"{place}: {self.owner} is at fault{far}"]
        if place.target:
            shapes = ", ".join(str(shape) for shape in place.shapes)
            lines.append(f"  operator {place.target}, shapes {shapes}")
        if place.source:
            lines.append(f"  {place.source}")
        if self.made:
            made, meant = (", ".join(f"{v:.6g}" for v in side) for side in (self.made, self.meant))
            lines.append(f"  around {list(self.index)}: made {made}; meant {meant}")
        if self.correction:
            lines.append(f"  the correction {self.correction!r} cures it; it was left out")
        return lines


_ADVICE = {
    "the lowering": "The model is right, its lowering to MLX is not. Correct the handler in "
    "harness/export/corrections.py, or write the module without this operator; the minimal script "
    "shows the fault to upstream.",
    EXECUTOR: "The program is right, what ran it is not. Run it on another "
    "executor or another version of MLX, and report the step with its inputs' shapes.",
    "a weight in the file": "Export again; the verdict on constants says which weight differs.",
    "our wrapper of the module": "Compare the wrapper of this module in harness/export with the "
    "model's own.",
    "the export that made the file": "Export with voxtral-parity export, and compare; the file "
    "does not say whether its graph or its lowering is wrong.",
}
"""By owner."""


@dataclass(frozen=True)
class Localized:
    """All wrong nodes of a method, in the order they run.

    Attributes
    ----------
    method, case, call
        What was run.
    findings
        The wrong nodes; each was found with those before it repaired.
    proved
        Whether the method is right once all of them are replaced by what they mean.
    proof
        That in words.
    steps, errors
        Steps in the order run, and how far the value of each is from what it means, of the scale of
        that value, before anything was repaired. Of the exact link alone: it names the first wrong
        node where a step's own error would not.
    """

    method: str
    case: str
    call: int
    findings: tuple[Finding, ...]
    proved: bool
    proof: str
    steps: tuple[int, ...] = ()
    errors: tuple[float, ...] = ()

    @property
    def link(self) -> str:
        """Which link broke, ``exact`` or ``local``; empty where no node was found."""
        return self.findings[0].link if self.findings else ""


def named(verdict: Verdict, found: Sequence[Localized]) -> Verdict:
    """A red verdict that says which node is wrong, whose fault that is, and how it was proved."""
    notes = [
        line
        for one in found
        for line in (*(s for finding in one.findings for s in finding.sentences()), one.proof)
    ]
    metrics: dict[str, Metric] = {}
    for one in found:
        for first in one.findings[:1]:
            place = first.place
            metrics |= {
                "step": place.step,
                "op": place.op,
                "node": place.node,
                "operator": place.target,
                "module": place.module,
                "source": place.source,
                "owner": first.owner,
                "correction": first.correction,
                "proved by replacement": one.proved,
            }
    return dataclasses.replace(
        verdict, metrics={**verdict.metrics, **metrics}, notes=(*verdict.notes, *notes)
    )
