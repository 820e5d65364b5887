"""One architecture in one precision and phase: exported, run and judged, in both lowerings."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from harness.anymodel import Call, Ignored, Model
from harness.anymodel.explaining import Search
from harness.anymodel.flat import Flat, tensors_of
from harness.anymodel.judging import judge
from harness.anymodel.observing import observe
from harness.anymodel.recording import record
from harness.anymodel.tracing import Traced
from harness.compare import Status, Verdict
from harness.errors import ProgramError, UnsupportedError, in_a_sentence
from harness.export.corrections import corrections
from harness.files import file_digest
from harness.pte.facts import read_facts
from harness.pte.kernels import runtime_lacks
from harness.runtime.portable import PortableExecutor
from harness.upstream import quiet
from harness.zoo import trial
from harness.zoo.architectures.architecture import Architecture
from harness.zoo.architectures.building import build, inputs_of
from harness.zoo.architectures.exporting import (
    Exported,
    NotExportedError,
    NotLoweredError,
    export,
    phase_of,
    whole_caches,
)
from harness.zoo.trial import Outcome

__all__ = ["DTYPES", "Case", "Lowerings", "judged_case", "lowerings_of", "outcome_of"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

_shortened = partial(trial.shortened, most=320)

_PADDING = "positions of padding: with every key masked, attention is undefined there"


@dataclass(frozen=True)
class Case:
    """One exported program, which is judged by itself: a dead process costs one of these."""

    architecture: Architecture
    precision: str
    phase: str


def judged_case(case: Case) -> tuple[Outcome, Outcome]:
    """Build, export, run and judge; stock, and corrected."""
    try:
        with lowerings_of(case) as module:
            return module.outcomes()
    except NotExportedError as error:
        failed = Outcome(trial.Verdict.NOT_EXPORTED, _shortened(str(error)))
        return failed, failed


@contextmanager
def lowerings_of(case: Case) -> Iterator[Lowerings]:
    """The module of a case, built; a `NotExportedError` where no generation calls it."""
    architecture, dtype = case.architecture, DTYPES[case.precision]
    with quiet():
        model, inputs = build(architecture, dtype), inputs_of(architecture, dtype)
        mask = inputs.get("attention_mask")
        padding = None if mask is None or bool(mask.all()) else mask == 0
        module, kwargs = phase_of(model, inputs, case.phase)
        with whole_caches():
            yield Lowerings(module, kwargs, case.precision, padding)


@dataclass(frozen=True)
class Lowerings:
    """A module that is judged in one lowering after another.

    Attributes
    ----------
    module, kwargs
        As transformers' exporter takes them.
    precision
        What the module's weights have.
    padding
        Shape (batch, length): True where a text has none; None: it has everywhere.
    found
        Digest of a file → its outcome: lowerings that make the same file are judged once.
    """

    module: nn.Module
    kwargs: dict[str, Any]
    precision: str
    padding: Tensor | None = None
    found: dict[str, Outcome] = field(default_factory=dict)

    def outcomes(self) -> tuple[Outcome, Outcome]:
        """Stock, and corrected."""
        stock = self.outcome(tuple(corrections()))
        if stock.verdict is trial.Verdict.NOT_EXPORTED:
            return stock, stock  # corrections are of the lowering
        return stock, self.outcome(())

    def outcome(self, without: Collection[str]) -> Outcome:
        """What comes of the module where these corrections are left out."""
        with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
            path = Path(folder) / "model.pte"
            try:
                exported = export(self.module, self.kwargs, path, without)
                digest = file_digest(path)
                if digest not in self.found:
                    self.found[digest] = self._judged(exported, path)
                return self.found[digest]
            except NotExportedError as error:
                return Outcome(trial.Verdict.NOT_EXPORTED, _shortened(str(error)))
            except NotLoweredError as error:
                return Outcome(trial.Verdict.NOT_LOWERED, _shortened(str(error)))
            except Exception as error:  # the harness is at fault
                return Outcome(trial.Verdict.NOT_JUDGED, _shortened(in_a_sentence(error)))

    def _judged(self, exported: Exported, path: Path) -> Outcome:
        try:
            return outcome_of(_verdicts(self, exported, path))
        except (ProgramError, UnsupportedError) as error:  # upstream's own exporter made this file
            lacking = _lacking(exported.kernels)
            if lacking is not None:
                return lacking  # of types that only a kernel takes, such as complex numbers
            if isinstance(error, UnsupportedError):
                raise
            text = _shortened(f"cannot be loaded: {error}")
            return Outcome(trial.Verdict.CANNOT_RUN, text)


def _verdicts(lowered: Lowerings, exported: Exported, path: Path) -> list[Verdict]:
    module, kwargs, padding = lowered.module, lowered.kwargs, lowered.padding
    # Flags such as `use_cache` are no arguments of the program: the exporter traced with them.
    flags = {n: v for n, v in kwargs.items() if isinstance(v, bool) and n not in exported.kwargs}
    call = Call(**exported.kwargs, **flags)
    flat = Flat(module, call)
    ignored = () if padding is None else _ignored(flat, call, padding)
    model = Model(module, (), call.kwargs, pte=path, partial=True, ignored=ignored)
    cases = ((tensors_of(call),),)
    traced = Traced(
        model, lowered.precision, flat, cases, ((call,),), exported.program, given=False
    )
    recorded = record(traced)
    with closing(PortableExecutor()) as executor:
        observed = observe(path, recorded, executor)
    found = judge(model, recorded, read_facts(path), observed)
    if any(verdict.kind == "graph" and verdict.status is Status.FAIL for verdict in found):
        return found  # another model was lowered: its nodes say nothing of this one's
    search = Search(traced, recorded, path, (), PortableExecutor)
    return [search.explained(verdict) for verdict in found]


def _ignored(flat: Flat, call: Call, padding: Tensor) -> tuple[Ignored, ...]:
    """Positions of padding, in every output of (batch, length, …) or (batch, heads, length, …)."""
    with torch.no_grad():
        made = copy.deepcopy(flat)(*tensors_of(call))
    found = []
    for number, output in enumerate(made):
        for axis in (1, 2):
            if output.dim() > axis and output.shape[axis] == padding.shape[1]:
                shape = [1] * output.dim()
                shape[0], shape[axis] = padding.shape
                found.append(Ignored(padding.reshape(shape), _PADDING, number))
                break
    return tuple(found)


def outcome_of(verdicts: Sequence[Verdict]) -> Outcome:
    """The worst of the verdicts on one program: wrong, cannot run, then not judged."""
    judged = [verdict for verdict in verdicts if verdict.kind != "delegation"]
    failed = [verdict for verdict in judged if verdict.status is Status.FAIL]
    wrong = [verdict for verdict in failed if verdict.kind != "execution"]
    if wrong:
        found = min(wrong, key=lambda verdict: not verdict.metrics.get("operator"))
        return Outcome(trial.Verdict.WRONG, _shortened(_where(found) + found.summary))
    if failed:
        return Outcome(trial.Verdict.CANNOT_RUN, _shortened(_where(failed[0]) + failed[0].summary))
    outside = _outside(verdicts)
    lacking = _lacking(outside)
    if lacking is not None:
        return lacking
    nodes = any(verdict.metrics.get("nodes") for verdict in verdicts)
    for verdict in judged:
        if verdict.status is Status.UNJUDGED and (nodes or verdict.kind != "local"):
            text = f"{verdict.case}: {verdict.summary}"
            return Outcome(trial.Verdict.NOT_JUDGED, _shortened(text))
    if outside:
        return Outcome(trial.Verdict.OUTSIDE, ", ".join(outside))
    return Outcome(trial.Verdict.RIGHT)


def _lacking(kernels: Sequence[str]) -> Outcome | None:
    """That the wheel's runtime lacks kernels of a program; None where it has them all."""
    lacking = runtime_lacks(kernels)
    return Outcome(trial.Verdict.LACKS_KERNEL, ", ".join(lacking)) if lacking else None


def _outside(verdicts: Sequence[Verdict]) -> list[str]:
    """The operators that were left to ExecuTorch's CPU kernels."""
    found = (v.metrics.get("not delegated") for v in verdicts if v.kind == "delegation")
    return sorted({str(name) for names in found if isinstance(names, tuple) for name in names})


def _where(verdict: Verdict) -> str:
    """The first wrong node and its line, where they were found."""
    operator = verdict.metrics.get("operator") or verdict.metrics.get("op")
    source = verdict.metrics.get("source")
    told = f"{operator} ({source})" if source else operator
    return f"{told}: " if told else ""
