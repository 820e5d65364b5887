"""``voxtral-parity golden check|bless|diff|list``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.console import progress as show_progress
from harness.cli.console import stdout
from harness.cli.options import flag, option

if TYPE_CHECKING:
    from harness.golden.beside import Waiting
    from harness.parity import Checked

__all__ = ["app"]

app = typer.Typer(
    help="Reviewed statistics of the codec's waveform, and pins of what eager and programs make.",
    no_args_is_help=True,
)

_MOST_ROWS = 40


@app.command("check")
def golden_check(
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: options.Executor = "auto",
) -> None:
    """Compare the codec's waveform with its golden, and eager and the programs with their pins.

    What a green run would be blessed as waits beside a golden that is missing or does not hold.
    Exit codes as for `check`.
    """
    from harness.compare import exit_code
    from harness.golden import missing
    from harness.parity.blessing import keep_waiting
    from harness.parity.judges.golden import find_golden, golden_key, judge_golden
    from harness.parity.judges.kernels import with_kernels
    from harness.parity.judges.pins import find_outputs, find_pins, judge_computed, judge_pins
    from harness.report import print_verdicts

    checked = _checked(checkpoint, precision, executor)
    plan, evidence, seen = checked.plan, checked.evidence, checked.observation
    kept = find_golden(plan, seen.executor)
    verdicts = judge_golden(plan, evidence, seen, kept)
    if not verdicts and precision == "fp32":
        verdicts = [missing(golden_key(plan, seen.executor))]
    verdicts += judge_pins(plan, evidence, find_pins(plan))
    verdicts += judge_computed(plan, evidence, seen, find_outputs(plan, seen.executor))
    if not verdicts:
        verdicts = [missing(golden_key(plan, seen.executor))]
    verdicts = with_kernels(verdicts, [plan.precision.float_type], seen.executor)
    print_verdicts(verdicts, stdout())
    waiting = keep_waiting(checked)
    if waiting:
        _say([f"{path.name} waits: `voxtral-parity golden diff` shows it" for path in waiting])
    raise typer.Exit(exit_code(verdicts))


@app.command("diff")
def golden_diff(
    html: Annotated[Path | None, option("--html", "FILE", "Write it as a page, too.")] = None,
) -> None:
    """Show what waits to be blessed beside what is kept.

    Exit code 0: nothing waits. 1: something does. 2: a file is damaged.
    """
    from harness.files import check_targets
    from harness.golden import default_root
    from harness.golden.beside import read_waiting

    check_targets(html)
    found = read_waiting(default_root())
    if html is not None:
        from harness.report.golden_page import write_golden_page

        write_golden_page(found, html)
    _show(found)
    if not found:
        _say(["nothing waits to be blessed"])
    raise typer.Exit(int(bool(found)))


@app.command("bless")
def golden_bless(
    reason: Annotated[str, option("--reason", "TEXT", "Why the golden may change; kept in it.")],
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: options.Executor = "auto",
    waiting: Annotated[
        bool, flag("--waiting", "Run nothing: accept what waits, of this machine or another's run.")
    ] = False,
) -> None:
    """Make this run the golden, and pin what eager and the programs compute, old beside new.

    Refused while parity is not green. In 16 bits there are pins alone, of a directory the golden
    alone.
    """
    from harness.golden import default_root
    from harness.golden.beside import accept
    from harness.golden.bless import check_reason
    from harness.golden.judge import DRIFT, check_precision
    from harness.golden.pins import OUTPUT_DRIFT
    from harness.parity.blessing import bless_golden, bless_pins
    from harness.parity.judges.golden import golden_key

    reason = check_reason(reason)
    if waiting:
        accepted = accept(default_root(), reason)
        _show(accepted)
        _say([f"blessed {one.name}" for one in accepted])
        return
    if precision not in OUTPUT_DRIFT:
        check_precision(precision)
    checked = _checked(checkpoint, precision, executor)
    plan, lines = checked.plan, []
    if precision in DRIFT:
        lines += [f"  {change}" for change in bless_golden(checked, reason)]
        lines.append(f"blessed {golden_key(plan, checked.observation.executor)}")
    if plan.preset is not None and precision in OUTPUT_DRIFT:
        moved = bless_pins(checked, reason)
        lines += [f"  {line}" for line in moved]
        lines.append("pinned outputs" if moved else "outputs are pinned as they are")
    _say(lines)


@app.command("list")
def golden_list() -> None:
    """List the goldens that are kept, with the reason each was blessed for, and what waits."""
    from harness.golden import default_root, read
    from harness.golden.pins import list_pins
    from harness.golden.store import list_goldens
    from harness.golden.waiting import list_waiting, waiting_path

    root, lines = default_root(), []
    for key in list_goldens(root):
        golden = read(root, key)
        assert golden is not None
        lines.append(
            f"{key}  {golden.date}  {golden.statistics.frames} frames, "
            f"peak {golden.statistics.peak:.5f}  {golden.reason}"
        )
    for kept in list_pins(root):
        cases = sum(map(len, kept.methods.values()))
        lines.append(f"{kept.name}  {kept.date}  {cases} cases pinned  {kept.reason}")
    lines += [f"{waiting_path(place).relative_to(root)} waits" for place in list_waiting(root)]
    _say(lines)


def _show(found: Sequence[Waiting]) -> None:
    """Old beside new: what moved too far, and the numbers that moved."""
    for one in found:
        rows = sorted((row for row in one.rows() if row.moved), key=lambda row: row.holds)
        lines = [*one.sentences(), *map(str, rows[:_MOST_ROWS])]
        left = len(rows) - _MOST_ROWS
        _say([one.name, *(f"  {line}" for line in lines)])
        if left > 0:
            _say([f"  {left} more moved"])


def _say(lines: Sequence[str]) -> None:
    console = stdout()
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _checked(checkpoint: str, precision: str, executor: str) -> Checked:
    from harness.checkpoint import open_checkpoint
    from harness.golden.store import check_part
    from harness.parity import Request, check

    check_part("checkpoint", open_checkpoint(checkpoint).name)  # before the work, not after it

    request = Request(checkpoint=checkpoint, precision=precision, executor=executor, speak=False)
    with show_progress() as progress:
        return check(request, progress)
