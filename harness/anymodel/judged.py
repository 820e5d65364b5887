"""The line of any model: trace, record, lower, observe, judge, and explain what is red."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor
from torch.utils._pytree import tree_leaves

from harness.anymodel import lowering
from harness.anymodel.explaining import Search
from harness.anymodel.judging import judge, method_of
from harness.anymodel.model import Model
from harness.anymodel.observing import observe
from harness.anymodel.recording import record
from harness.anymodel.tracing import Traced, trace
from harness.compare import Verdict, exit_code
from harness.errors import InputError
from harness.export.artifacts import Artifact
from harness.export.corrections import check_names
from harness.fingerprint import Fingerprint
from harness.parity.facts import artifact_facts, tool_version
from harness.parity.judges.kernels import with_kernels
from harness.parity.judges.values import unlowered
from harness.pte.facts import read_facts
from harness.report import CheckpointFacts, Choice, Reference, Report
from harness.runtime.select import choose
from harness.upstream import quiet
from harness.values import timestamp

__all__ = ["Judged", "Options", "judge_model"]

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """How a model is judged.

    Attributes
    ----------
    precision
        ``fp32``, ``bf16`` or ``bf16-4w8w``; None: the module as it is.
    executor, require
        As `harness.runtime.select.choose` takes them.
    without
        Corrections of the lowering to leave out.
    fresh
        Export even what the cache has.
    """

    precision: str | None = None
    executor: str = "auto"
    require: str | None = None
    without: tuple[str, ...] = ()
    fresh: bool = False


@dataclass(frozen=True)
class Judged:
    """What was found of one model.

    Attributes
    ----------
    verdicts
        In the order of the report.
    report
        All of it.
    search
        Where a link is red, what its nodes are looked for in; None where there is no program.
    """

    verdicts: tuple[Verdict, ...]
    report: Report
    search: Search | None

    @property
    def exit_code(self) -> int:
        """0 every verdict passed, 1 a mismatch, 2 could not judge."""
        return exit_code(self.verdicts)


def judge_model(
    model: Model,
    options: Options = Options(),
    progress: Progress = lambda text: None,
    *,
    command: str = "",
) -> Judged:
    """Export a model to MLX, run it, and judge it.

    Parameters
    ----------
    model, options
        What, and how.
    progress
        Called with one line a step.
    command
        What was typed, for the report.

    Raises
    ------
    HarnessError
        Nothing can be judged: bad input, or a component that this machine does not have.
    """
    with quiet():
        return _judge_model(model, options, progress, command)


def _judge_model(model: Model, options: Options, progress: Progress, command: str) -> Judged:
    started = datetime.datetime.now(datetime.UTC)
    check_names(options.without)
    make = partial(choose, options.executor, options.require)
    if options.executor == "xnnpack" or options.require == "xnnpack":
        raise InputError("a model is lowered to MLX, which xnnpack does not run; take another")
    if model.pte is not None and not Path(model.pte).is_file():
        raise InputError(f"the file {model.pte} does not exist; pte names an export of the module")
    executor = make()  # what is not here is told before the work
    progress(f"exporting {model.title} with torch.export")
    traced = trace(model, options.precision)
    progress("running the module")
    recorded = record(traced)
    made = (
        lowering.lower(traced, options.without, fresh=options.fresh, progress=progress)
        if model.pte is None
        else lowering.given(traced)
    )
    if made.failures:
        reason = made.failures[model.title]
        verdicts: tuple[Verdict, ...] = (unlowered(method_of(model), reason, "mlx"),)
        fingerprint, search = executor.fingerprint, None
        executor.close()
    else:
        try:
            observed = observe(made.path, recorded, executor, progress)
            regime = executor.regime()
        finally:
            executor.close()
        fingerprint = observed.executor
        if regime is not None:
            fingerprint = dataclasses.replace(fingerprint, regime=regime.name, measured=regime)
        observed = dataclasses.replace(observed, executor=fingerprint)
        found = judge(model, recorded, read_facts(made.path), observed)
        found = with_kernels(found, _types(traced), fingerprint)
        progress("judging")
        search = Search(traced, recorded, made.path, options.without, make)
        verdicts = tuple(search.explained(verdict) for verdict in found)
    report = _report(traced, options, made, fingerprint, verdicts, started, command)
    if search is not None:
        report = dataclasses.replace(report, findings=tuple(search.found))
    return Judged(verdicts, report, search)


def _types(traced: Traced) -> set[str]:
    """Names of the types of all that the exported graph holds or computes."""
    values = tree_leaves([node.meta.get("val") for node in traced.program.graph.nodes])
    return {str(one.dtype).removeprefix("torch.") for one in values if isinstance(one, Tensor)}


def _report(
    traced: Traced,
    options: Options,
    made: Artifact,
    fingerprint: Fingerprint,
    verdicts: tuple[Verdict, ...],
    started: datetime.datetime,
    command: str,
) -> Report:
    title = traced.model.title
    choices = []
    if options.without:
        left_out = ", ".join(options.without)
        choices.append(Choice("stock lowering put back", left_out, "--without"))
    return Report(
        tool_version=tool_version(),
        started=timestamp(started),
        seconds=(datetime.datetime.now(datetime.UTC) - started).total_seconds(),
        command=command,
        checkpoint=CheckpointFacts(title, lowering.weights_digest(traced.program), ""),
        precision=traced.precision,
        executor=fingerprint,
        artifacts=() if made.failures else (artifact_facts(made),),
        reference=Reference(f"the module {title}, run by eager PyTorch", tuple(choices)),
        verdicts=verdicts,
    )


def write_repros(judged: Judged, directory: Path) -> list[Path]:
    """Write the repros of a red run; none where nothing was localised."""
    with quiet():
        return [] if judged.search is None else judged.search.repros(directory)
