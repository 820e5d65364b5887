"""Measure what right exports differ by, and keep the ledger: what every allowance stands on.

Run as ``nox -s calibrate -- [tiny|small|DIR]… [--precision P]… [--regime R] [--seeds N]
[--weights N] [--write]``. All cases of the main job count, then random inputs of each method for
every further seed, then all cases on checkpoints of the preset's shapes and other seeds. Prints the
rows, the worst first; ``--write`` puts what is worse than ever before into `ledger.json`, and makes
`docs/ledger.md` of it. An allowance that right exports miss, or nearly so, is only raised with
``--loosen REASON``.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.budget import MEASURING
from harness.budget.ledger import HEADROOM, Ledger, Row, Run, loose, read_ledger
from harness.budget.ledger_file import write_ledger
from harness.budget.regimes import EMULATED, EXACT, NARROW
from harness.checkpoint.generate import synthesize
from harness.checkpoint.presets import PRESETS
from harness.compare import Oracle, Verdict
from harness.fingerprint import UNMEASURED
from harness.methods.cases import random_cases
from harness.methods.precision import PRECISIONS, Precision
from harness.parity.check import Checked, check, open_models
from harness.parity.evidence import CaseEvidence
from harness.parity.judges.values import judge_outputs, own_error
from harness.parity.plan import capacities
from harness.parity.record import run_case
from harness.parity.replay import observe_case
from harness.parity.request import Request
from harness.reference.models import Models
from harness.runtime.pair import ArtifactPair
from harness.runtime.select import choose

__all__ = ["main", "measured", "merge"]

OWN = {
    "RMS of own": ("rms",),
    "max abs of own": ("peak",),
    "worst part of own": ("part",),
    "worst 20 ms of own": ("part",),
    "worst band of own": ("band",),
    "coherence with signal": ("coherence", "coherence_z"),
    "growth along": ("growth",),
    "level drop": ("level",),
    "semantic decision of own": ("decision",),
    "acoustic decision of own": ("decision",),
    "acoustic decisions, RMS of own": ("rms",),
}
"""The checks that each gate of eager's own error belongs to."""

DECISIONS = {
    "semantic decision": "logits",
    "acoustic decision": "levels",
    "acoustic decisions, RMS": "rms_levels",
}

CAPS = ("max abs", "RMS error", "gain error")

_LEAST = {"max abs": 8e-3, "RMS error": 2e-3, "gain error": 1e-4}
_LEAST_REASON = (
    "two units in the last place at the greatest value, in few elements: sums are rounded once, "
    "and one near a tie may go either way"
)

_NAMED = {
    **PRECISIONS,
    "fp32-4w8w": Precision("fp32", qlinear="4w", qembedding="8w", qembedding_group_size=128),
}

_IN_REGIME = "products round their operands or their sums oftener in this regime than eager does"

_OF_FEW_SEEDS = 3.0
_OF_FEW_SEEDS_REASON = (
    "three times the worst of few seeds, and no less than is allowed without the regime"
)

_ROOM = 1.5
"""What is allowed beside the worst measured, at least: other seeds will have a little more."""

_FIRST_WEIGHTS = 1001
"""Seed of the first checkpoint beside the preset's own."""

Scope = tuple[str, str, str]
"""Lowering, regime and precision of a measurement."""


def measured(verdicts: Iterable[Verdict], scope: Scope, ledger: Ledger, run: str) -> Iterator[Row]:
    """A row for each gate that the ledger has a check for; `allowed` is left as it is there, or 0.

    Gates of eager's own error have a row for all methods, but where a factor applies: there the
    least factor is measured that would have passed.
    """
    lowering, regime, precision = scope
    for verdict in verdicts:
        where = f"{verdict.subject}, {precision}, {verdict.case}"
        if verdict.kind in ("exact", "loop"):
            check = "loop" if verdict.kind == "loop" else "max abs"
            yield from (
                Row("exact", check, 0, gate.value, where, run)
                for gate in verdict.gates
                if gate.name == "max abs"
            )
        if verdict.kind not in ("tensor", "waveform", "pcm", "codes"):
            continue
        factor = _factor(ledger, scope, verdict)
        for gate in verdict.gates:
            if gate.name in OWN:
                another = factor is not None and factor.regime not in ("", NARROW)
                if another and gate.name == "growth along":
                    continue  # its arithmetic may depend on the number of rows
                if factor is not None and gate.name not in ("growth along", "level drop"):
                    least = gate.headroom_used * (factor.allowed or 1.0)
                    yield dataclasses.replace(factor, measured=least, worst=where, run=run)
                    continue
                for check in OWN[gate.name]:
                    used = gate.headroom_used * ledger.row("own", check).allowed
                    yield Row("own", check, 0, used, where, run)
            elif gate.name in DECISIONS and lowering == "mlx":
                check = DECISIONS[gate.name]
                yield Row(
                    "decision", check, 0, gate.value, where, run, "", regime, precision
                )  # fmt: skip
            elif gate.name.removesuffix(", worst call") in CAPS and verdict.kind != "pcm":
                method = "codec" if verdict.subject == "speech" else verdict.subject
                yield Row(
                    "cap", gate.name.removesuffix(", worst call"), 0, gate.value, where, run,
                    *(lowering, regime, precision, method),
                )  # fmt: skip


def _factor(ledger: Ledger, scope: Scope, verdict: Verdict) -> Row | None:
    """The factor of a method; of a regime that no row is for, a new one."""
    lowering, regime, precision = scope
    method = verdict.subject
    if method == "speech":
        method = "predict_velocity" if verdict.kind == "codes" else "codec"
    rows = [r for r in ledger.table("factor") if r.applies(lowering, precision, method, regime)]
    if regime in ("", NARROW) or any(row.regime for row in rows):
        return max(rows, key=lambda row: bool(row.regime), default=None)
    return Row("factor", method, 0, 0, "", "", lowering, regime, precision, method, _IN_REGIME)


def merge(ledger: Ledger, rows: Iterable[Row], run: tuple[str, Run], loosen: str = "") -> Ledger:
    """The ledger with what is worse than ever before.

    Parameters
    ----------
    rows
        What was measured; a cap that is new is allowed what its table may have at most.
    run
        Name and facts of the measurement.
    loosen
        Why allowances that are missed, or nearly so, may be raised; empty: they stay, and
        `harness.budget.ledger.loose` names them.
    """
    before = {row.key: row for row in ledger.rows}
    found = dict(before)
    for row in rows:
        old = found.get(row.key)
        if old is None:
            found[row.key] = _in_regime(row, ledger) if row.regime else _new(row)
        elif row.measured > old.measured:
            new = dataclasses.replace(old, measured=row.measured, worst=row.worst, run=row.run)
            first = row.key not in before  # its first measurement goes on
            if first and (row.table == "cap" or row.regime not in ("", NARROW)):
                bare = dataclasses.replace(new, reason=row.reason)
                new = _in_regime(bare, ledger) if row.regime else _new(bare)
            elif loosen and new.measured * _ROOM > new.allowed:
                allowed = max(new.allowed, float(f"{_ROOM * new.measured:.1e}"))
                new = dataclasses.replace(new, allowed=allowed, reason=loosen)
            found[row.key] = new
    kept = tuple(found[key] for key in sorted(found))
    used = {row.run for row in kept}
    runs = {name: facts for name, facts in {**ledger.runs, run[0]: run[1]}.items() if name in used}
    return Ledger(runs, kept)


def _most(row: Row) -> float:
    """What a row may allow at most, to two digits."""
    return float(f"{HEADROOM[row.table] * row.measured * 0.95:.1e}")


def _in_regime(row: Row, ledger: Ledger) -> Row:
    """A row of a regime that was not there before: no less than is allowed without the regime."""
    key = dataclasses.replace(row, regime="").key
    least = next((other.allowed for other in ledger.rows if other.key == key), 0.0)
    if row.table == "factor":
        least = 1.0
    allowed = float(f"{_OF_FEW_SEEDS * row.measured:.1e}")
    reason = "; ".join(filter(None, (row.reason, _OF_FEW_SEEDS_REASON)))
    return dataclasses.replace(row, allowed=max(least, allowed), reason=reason)


def _new(row: Row) -> Row:
    """A row that was not there before: a cap is never below two units in the last place."""
    allowed, reason = _most(row), row.reason
    least = _LEAST.get(row.check, 0.0) * (2.0**-16 if row.precision.startswith("fp32") else 1.0)
    if row.table == "cap" and row.measured > 0 and allowed < least:
        allowed, reason = float(f"{least:.1e}"), _LEAST_REASON
    return dataclasses.replace(row, allowed=allowed, reason=reason)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(prog="nox -s calibrate --", description=__doc__)
    parser.add_argument("checkpoints", nargs="*", default=["tiny"], metavar="tiny|small|DIR")
    parser.add_argument(
        "--precision",
        action="append",
        choices=_NAMED,
        metavar="P",
        help=f"repeatable: {', '.join(_NAMED)}",
    )
    parser.add_argument("--executor", default="auto", metavar="E", help="xnnpack measures XNNPACK")
    parser.add_argument("--regime", choices=EMULATED, metavar="R", help=", ".join(EMULATED))
    parser.add_argument("--seeds", type=int, default=200, metavar="N", help="random inputs: 200")
    parser.add_argument(
        "--weights", type=int, default=0, metavar="N", help="presets with N other seeds, too: 0"
    )
    parser.add_argument("--write", action="store_true", help="keep what is worse than before")
    parser.add_argument("--loosen", default="", metavar="REASON", help="raise what is missed")
    given = parser.parse_args(arguments)
    console = Console(width=120)

    def say(text: str) -> None:
        console.print(f"· {text}", style="dim")

    for checkpoint in given.checkpoints:
        for precision in given.precision or list(PRECISIONS):
            request = Request(
                checkpoint=checkpoint,
                precision=_NAMED[precision],
                executor="portable" if given.regime else given.executor,
                regime=given.regime,
            )
            ledger = read_ledger()
            name, run, rows = _measure(request, given.seeds, ledger, say)
            for seed in range(_FIRST_WEIGHTS, _FIRST_WEIGHTS + given.weights):
                say(f"weights of seed {seed}")
                rows += _of_weights(request, seed, ledger, name, say)
            run = dataclasses.replace(run, weights=1 + given.weights)
            new = merge(ledger, rows, (name, run), given.loosen)
            console.print(_table(f"{checkpoint}, {precision}: {run.cases} cases", new, name))
            for row in loose(new.rows):
                console.print(f"! {' '.join(row.key)}: {row.measured:.2g} of {row.allowed:.2g}")
            if given.write:
                write_ledger(new)


def _measure(
    request: Request, seeds: int, ledger: Ledger, say: Callable[[str], None]
) -> tuple[str, Run, list[Row]]:
    models = open_models(request, say)
    checked = check(request, say, budget=MEASURING, models=models)
    plan = checked.plan
    executor = checked.observation.executor
    verdicts = [*checked.verdicts, *_seeded(checked, models, request, seeds, say)]
    today = datetime.date.today().isoformat()
    regime = "" if executor.regime in (EXACT, UNMEASURED) else executor.regime
    scope = (plan.lowering, regime, plan.precision.allowance)
    executed = " ".join(filter(None, (request.executor, request.regime)))
    name = f"{today} {executed} {request.checkpoint} {plan.precision.name}"
    counted = [v for v in verdicts if v.kind in ("tensor", "waveform", "codes", "exact")]
    run = Run(
        today, f"{platform.machine()}, {os.cpu_count()} cores, {executor.device}",
        executor.executor, request.checkpoint, seeds, len(counted),
    )  # fmt: skip
    return name, run, list(measured(counted, scope, ledger, name))


def _of_weights(
    request: Request, seed: int, ledger: Ledger, name: str, say: Callable[[str], None]
) -> list[Row]:
    """All cases of the main job on a checkpoint of the preset's shapes and another seed."""
    preset = PRESETS[request.checkpoint]
    seq_len, frames = capacities(preset.name)
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch) / f"{preset.name} of seed {seed}"
        synthesize(dataclasses.replace(preset, name=directory.name, seed=seed), directory)
        other = dataclasses.replace(
            request, checkpoint=str(directory), max_seq_len=seq_len, max_codec_frames=frames
        )
        _, _, rows = _measure(other, 1, ledger, say)
    return [
        dataclasses.replace(row, worst=f"{row.worst}, weights of seed {seed}", run=name)
        for row in rows
    ]


def _seeded(
    checked: Checked, models: Models, request: Request, seeds: int, say: Callable[[str], None]
) -> Iterator[Verdict]:
    """Verdicts on random inputs of seeds 1 …, each method's teacher-forced by eager."""
    plan, evidence = checked.plan, checked.evidence
    make = partial(choose, request.executor, request.require, request.regime)
    regime = checked.observation.executor.regime
    relative = {method.name: own_error(evidence, method) for method in plan.selected}
    with ArtifactPair(checked.artifacts.paths, make) as pair:
        for seed in range(1, seeds):
            if seed % 20 == 0:
                say(f"seed {seed} of {seeds}")
            for method in plan.selected:
                allowed = MEASURING.of(plan.lowering, plan.precision.allowance, method.name, regime)
                executor = pair.executor(method.artifact)
                for case in random_cases(method.name, plan.sizes, plan.precision.float_type, seed):
                    item = CaseEvidence(case, run_case(models.eager, case))
                    oracle = Oracle(run_case(models.exact, case), relative[method.name])
                    observed = observe_case(plan, method, case, executor)
                    yield judge_outputs(plan, method, item, observed, allowed, oracle)


def _table(title: str, ledger: Ledger, run: str) -> Table:
    """The rows that a run made worse, and all that are of no single method."""
    made = Table("table", "of", "check", "measured", "allowed", "used", "worst", title=title)
    for row in sorted(ledger.rows, key=lambda row: -row.measured / (row.allowed or 1)):
        if row.run == run or row.table == "own":
            scope = " ".join(filter(None, (row.lowering, row.regime, row.precision, row.method)))
            used = f"{row.measured / row.allowed:.0%}" if row.allowed else ""
            made.add_row(
                row.table, scope, row.check, f"{row.measured:.2g}", f"{row.allowed:.2g}", used,
                row.worst,
            )  # fmt: skip
    return made


if __name__ == "__main__":
    main()
