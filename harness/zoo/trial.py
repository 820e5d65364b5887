"""One program: exported, lowered as upstream does and with the corrections, run and judged."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Collection, Sequence
from contextlib import closing, redirect_stderr
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from harness.anymodel.twin import exact_module, in_float64
from harness.arrays import Array, from_torch
from harness.budget import LOCAL
from harness.compare.metrics import difference
from harness.errors import ExecutionError, HarnessError, ProgramError
from harness.export.corrections import applied, corrections
from harness.export.lower import lower_to_mlx
from harness.float64.slots import is_float
from harness.localize.graph import widened
from harness.pte.coverage import delegation
from harness.pte.kernels import runtime_lacks
from harness.runtime.exact import ExactExecutor
from harness.runtime.portable.executor import PortableExecutor
from harness.upstream import enable_mlx_exporter, quiet
from harness.zoo.program import Program

__all__ = ["Outcome", "Result", "Verdict", "shortened", "tried"]

_EXACT = 1e-7
"""Of the scale, in float64; as the exact link allows."""

_UNITS = 64
"""Units in the last place of the scale that a few roundings may cost on the executor."""

_EXACTLY = {
    "aten.to.dtype", "aten._to_copy.default", "aten._assert_tensor_metadata.default",
    "aten.reshape.default", "aten.view.default", "aten.permute.default", "aten.transpose.int",
    "aten.neg.default", "aten.abs.default", "aten.relu.default", "aten.clone.default",
    "aten.numpy_T.default", "aten.t.default", "aten.slice.Tensor", "aten.select.int",
    "aten.cat.default", "aten.alias.default",
}  # fmt: skip
"""Operators that round once, to the nearest number of a type, or not at all."""


class Verdict(StrEnum):
    """What came of a program in one lowering; both sweeps have the same words."""

    RIGHT = "right"
    WRONG = "wrong"
    CANNOT_RUN = "cannot run"
    NOT_LOWERED = "cannot be lowered"
    OUTSIDE = "outside the delegate"
    LACKS_KERNEL = "lacks a kernel"
    NOT_EXPORTED = "cannot be exported"
    NOT_JUDGED = "not judged"


_RANKS = {
    Verdict.RIGHT: 0,
    Verdict.OUTSIDE: 1,
    Verdict.LACKS_KERNEL: 2,
    Verdict.WRONG: 3,
    Verdict.CANNOT_RUN: 3,
    Verdict.NOT_LOWERED: 3,
}
"""How little came of a program."""


@dataclass(frozen=True)
class Outcome:
    """A verdict and its reason: numbers, or what was said in refusal."""

    verdict: Verdict
    detail: str = ""
    hidden: bool = field(default=False, compare=False)
    """Whether only float64 tells: rounded to its own type, every output is eager's."""

    @property
    def wrong(self) -> bool:
        """Whether it is upstream's bug."""
        return self.verdict in (Verdict.WRONG, Verdict.CANNOT_RUN, Verdict.NOT_LOWERED)

    def better(self, other: Outcome) -> bool:
        """Whether more comes of the program than there; nobody knows of what was not judged."""
        known = self.verdict in _RANKS and other.verdict in _RANKS
        return known and _RANKS[self.verdict] < _RANKS[other.verdict]

    @property
    def shows(self) -> bool:
        """Whether who runs it sees that it is wrong."""
        return self.wrong and not self.hidden


@dataclass(frozen=True)
class Result:
    """What came of a program.

    Attributes
    ----------
    stock, corrected
        In upstream's lowering, and with the corrections.
    cure
        A correction that alone makes it right, where stock is not.
    """

    program: Program
    stock: Outcome
    corrected: Outcome
    cure: str = ""


def tried(program: Program) -> Result:
    """Judge one program in both lowerings.

    The corrected lowering is upstream's own, and is not made again, where upstream's is right and
    no correction handles one of the operators.
    """
    enable_mlx_exporter()
    torch.manual_seed(0)
    with torch.no_grad(), quiet():
        inputs, module = program.tensors(), program.module()
        try:
            with redirect_stderr(io.StringIO()):  # torch prints the graph of what it cannot export
                exported = torch.export.export(module, _copies(inputs))
            eager = _leaves(module(*_copies(inputs)))
        except Exception as error:
            failed = Outcome(Verdict.NOT_EXPORTED, _sentence(error))
            return Result(program, failed, failed)
        try:
            with in_float64():
                meant = _leaves(exact_module(module)(*map(widened, _copies(inputs))))
        except Exception as error:
            unknown = Outcome(Verdict.NOT_JUDGED, f"eager in float64: {_sentence(error)}")
            return Result(program, unknown, unknown)
    judge = _Judge(program, exported, inputs, eager, meant)
    stock = judge.lowered(tuple(corrections()))
    if not stock.wrong and not _handled(exported):
        return Result(program, stock, stock)
    corrected = judge.lowered(())
    cure = ""
    if stock.wrong and not corrected.wrong:
        every = tuple(corrections())
        cure = next(
            (
                name
                for name in _likely(exported)
                if not judge.lowered(tuple(other for other in every if other != name)).wrong
            ),
            "",
        )
    return Result(program, stock, corrected, cure)


@dataclass(frozen=True)
class _Judge:
    program: Program
    exported: Any
    inputs: Sequence[Any]
    eager: Sequence[Tensor]
    meant: Sequence[Tensor]

    @property
    def exact(self) -> bool:
        """Whether eager's bits are the only right ones: it casts and moves, and no more."""
        return all(str(target) in _EXACTLY for target in _targets(self.exported))

    def lowered(self, without: Collection[str]) -> Outcome:
        """What comes of the program where these corrections are left out."""
        constants = dict(self.exported.constants)
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
            path = Path(folder) / "program.pte"
            try:
                with quiet():
                    lower_to_mlx({"forward": self.exported}, {}, path, without=without, passes=True)
            except Exception as error:
                theirs = Verdict.NOT_LOWERED if self._lowers() else Verdict.NOT_EXPORTED
                return Outcome(theirs, _sentence(error))
            finally:
                self.exported.constants.update(constants)
            try:
                return self.run(path)
            except Exception as error:  # the executor's fault, not the program's
                return Outcome(Verdict.NOT_JUDGED, _sentence(error))

    def _lowers(self) -> bool:
        """Whether the program lowers where nothing goes to MLX."""
        from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

        config = EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
        try:
            with quiet():
                to_edge_transform_and_lower(self.exported, compile_config=config)
        except Exception:
            return False
        return True

    def run(self, path: Path) -> Outcome:
        """The verdict on a file."""
        exact: list[Array] | None
        try:
            (coverage,) = (each for each in delegation(path) if each.method == "forward")
            made, fault = self._watched(path)
        except (ExecutionError, ProgramError) as error:
            # As `parity.replay.guarded` has it; and the lowering has just written what cannot be
            # read. Whatever else goes wrong is the harness's fault, or the machine's.
            return Outcome(Verdict.CANNOT_RUN, _sentence(error))
        try:
            exact = self._in_float64(path)
        except HarnessError as error:
            if not coverage.kernel_calls:
                return Outcome(Verdict.NOT_JUDGED, f"in float64: {_sentence(error)}")
            exact = None  # a kernel outside the delegate has a type of its own
        wrong = self._difference(exact, made)
        if wrong:
            hidden = all(
                np.array_equal(*pair, equal_nan=pair[0].dtype.kind == "f")
                for pair in zip(made, map(from_torch, self.eager), strict=False)
            )
            return Outcome(Verdict.WRONG, f"{wrong}; {fault}" if fault else wrong, hidden)
        if fault:
            return Outcome(Verdict.NOT_JUDGED, fault)
        lacking = runtime_lacks(coverage.kernel_calls)
        if lacking:
            return Outcome(Verdict.LACKS_KERNEL, ", ".join(lacking))
        if coverage.kernel_calls:
            return Outcome(Verdict.OUTSIDE, ", ".join(sorted(set(coverage.kernel_calls))))
        return Outcome(Verdict.RIGHT)

    def _in_float64(self, path: Path) -> list[Array]:
        with closing(ExactExecutor()) as executor:
            executor.load(path)
            return [
                np.array(array)
                for array in executor.call("forward", list(map(_array, self.inputs)))
            ]

    def _watched(self, path: Path) -> tuple[list[Array], str]:
        """The portable executor's outputs, and by the local link the step that it computed wrong.

        There the runtime is wrong, not the lowering: the executor does as upstream's interpreter.
        """
        with closing(PortableExecutor()) as executor:
            executor.load(path)
            outputs, steps = executor.watch("forward", list(map(_array, self.inputs)))
        judged = [(step, step.error.share(LOCAL)) for step in steps if step.error is not None]
        step, share = max(judged, key=lambda pair: pair[1], default=(None, 0.0))
        fault = f"the runtime's {step.op} is off by {share:.2g} of what is allowed" if step else ""
        return [np.array(output) for output in outputs], fault if share > 1 else ""

    def _difference(self, exact: Sequence[Array] | None, made: Sequence[Array]) -> str:
        """What is wrong in words with a number; empty where nothing is."""
        if len(made) != len(self.meant):
            return f"{len(made)} outputs, expected {len(self.meant)}"
        for here, there in zip(exact or (), self.meant, strict=exact is not None):
            meant = from_torch(there)
            off, where = difference(here, meant)
            if off > _EXACT:
                return _told(here, meant, off, where, "in float64")
        for here, eager, there in zip(made, self.eager, self.meant, strict=True):
            one, meant = from_torch(eager), from_torch(there)
            if one.dtype != here.dtype:
                return f"an output of {here.dtype}, expected {one.dtype}"
            off, where = difference(here, one)
            own = difference(one, meant)[0]
            allowed = 0.0
            if is_float(one.dtype) and not self.exact:
                unit = torch.finfo(eager.dtype).eps
                allowed = _UNITS * unit + 8 * (own if np.isfinite(own) else 0.0)
            if off > allowed:
                return _told(here, one, off, where, f"in {one.dtype}")
        return ""


def _told(made: Array, meant: Array, off: float, where: tuple[int, ...], how: str) -> str:
    if made.shape != meant.shape:
        return f"shape {made.shape}, expected {meant.shape}"
    return f"{made[where]} at {where}, expected {meant[where]} ({off:.1e} of the scale, {how})"


def _copies(inputs: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(x.clone() if isinstance(x, Tensor) else x for x in inputs)


def _array(value: Any) -> Array:
    return from_torch(value).copy() if isinstance(value, Tensor) else np.asarray(value)


def _leaves(made: Any) -> list[Tensor]:
    return [leaf for leaf in pytree.tree_leaves(made) if isinstance(leaf, Tensor)]


def _targets(exported: Any) -> list[Any]:
    return [node.target for node in exported.graph.nodes if node.op == "call_function"]


def _handled(exported: Any) -> bool:
    """Whether a correction handles one of the program's operators, or the program has several."""
    targets = _targets(exported)
    every = {target for handled in _handles().values() for target in handled}
    return len(targets) > 2 or any(target in every for target in targets)


def _likely(exported: Any) -> list[str]:
    """Names of corrections: of the program's operators, then of passes, then of what those make."""
    targets, handles = set(_targets(exported)), _handles()
    return sorted(
        handles, key=lambda name: 1 if not handles[name] else 2 * handles[name].isdisjoint(targets)
    )


@cache
def _handles() -> dict[str, frozenset[Any]]:
    """Each correction's operators; none where it mends a pass or the builder."""
    from executorch.backends.mlx import ops as _registers_handlers  # noqa: F401
    from executorch.backends.mlx.builder.op_registry import REGISTRY

    stock, every, found = dict(REGISTRY._handlers), corrections(), {}
    for name in every:
        with applied([other for other in every if other != name]):
            here = REGISTRY._handlers.items()
            found[name] = frozenset(t for t, handler in here if stock.get(t) is not handler)
    return found


def _sentence(error: BaseException) -> str:
    kind = "" if isinstance(error, HarnessError) else f"{type(error).__name__}: "
    return shortened(f"{kind}{error}")


def shortened(text: str, most: int = 240) -> str:
    """On one line of some `most` characters, without addresses and folders of this machine."""
    text = re.sub(r"0x[0-9a-f]+", "0x…", text)
    text = re.sub(r"/\S+/(site-packages|site|zoo-\w+)/", "", text)
    # What was cut out of a long one has as many characters as these folders.
    text = re.sub(r"\S*lib/python\S*/site-(packages/)?(?= …)| … \([\d,]+ characters\)", "", text)
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[:most]} …"
