"""``voxtral-parity golden check|bless|list``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from harness.cli import options
from harness.cli.console import progress as show_progress
from harness.cli.console import stdout
from harness.cli.options import option

if TYPE_CHECKING:
    from harness.parity import Checked

__all__ = ["app"]

app = typer.Typer(
    help="Reviewed statistics of the codec's waveform, and pins of eager's outputs.",
    no_args_is_help=True,
)


@app.command("check")
def golden_check(
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: options.Executor = "auto",
) -> None:
    """Compare the codec's waveform with its golden, and eager with its pins.

    Exit codes as for `check`.
    """
    from harness.compare import exit_code
    from harness.golden import missing
    from harness.parity.judges.golden import find_golden, golden_key, judge_golden
    from harness.parity.judges.pins import find_pins, judge_pins
    from harness.report import print_verdicts

    checked = _checked(checkpoint, precision, executor)
    kept = find_golden(checked.plan, checked.observation.executor)
    verdicts = judge_golden(checked.plan, checked.evidence, checked.observation, kept)
    if not verdicts:
        verdicts = [missing(golden_key(checked.plan, checked.observation.executor))]
    verdicts += judge_pins(checked.plan, checked.evidence, find_pins(checked.plan))
    print_verdicts(verdicts, stdout())
    raise typer.Exit(exit_code(verdicts))


@app.command("bless")
def golden_bless(
    reason: Annotated[str, option("--reason", "TEXT", "Why the golden may change; kept in it.")],
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: options.Executor = "auto",
) -> None:
    """Make this run the golden, and pin eager's outputs; refused while parity is not green.

    Of bf16 there are pins alone, of a directory the golden alone.
    """
    from harness.golden.judge import DRIFT, check_precision
    from harness.golden.pins import DRIFT as PINNED
    from harness.parity.blessing import bless_golden, bless_pins
    from harness.parity.judges.golden import golden_key

    if precision not in PINNED:
        check_precision(precision)
    checked = _checked(checkpoint, precision, executor)
    plan, lines = checked.plan, []
    if precision in DRIFT:
        lines += [f"  {change}" for change in bless_golden(checked, reason)]
        lines.append(f"blessed {golden_key(plan, checked.observation.executor)}")
    if plan.preset is not None and precision in PINNED:
        moved = bless_pins(checked, reason)
        lines += [f"  {line}" for line in moved]
        lines.append(
            "pinned eager's outputs" if moved else "eager's outputs are pinned as they are"
        )
    console = stdout()
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


@app.command("list")
def golden_list() -> None:
    """List the goldens that are kept, with the reason each was blessed for."""
    from harness.golden import default_root, read
    from harness.golden.pins import list_pins
    from harness.golden.store import list_goldens

    root = default_root()
    console = stdout()
    for key in list_goldens(root):
        golden = read(root, key)
        assert golden is not None
        console.print(
            f"{key}  {golden.date}  {golden.statistics.frames} frames, "
            f"peak {golden.statistics.peak:.5f}  {golden.reason}",
            markup=False,
            soft_wrap=True,
        )
    for kept in list_pins(root):
        console.print(
            f"{kept.checkpoint}/eager/{kept.precision}  {kept.date}  "
            f"{sum(map(len, kept.methods.values()))} cases pinned  {kept.reason}",
            markup=False,
            soft_wrap=True,
        )


def _checked(checkpoint: str, precision: str, executor: str) -> Checked:
    from harness.parity import Request, check

    request = Request(checkpoint=checkpoint, precision=precision, executor=executor, speak=False)
    with show_progress() as progress:
        return check(request, progress)
