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

app = typer.Typer(help="Reviewed statistics of the codec's waveform.", no_args_is_help=True)


@app.command("check")
def golden_check(
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: options.Executor = "auto",
) -> None:
    """Compare the codec's waveform with its golden. Exit codes as for `check`."""
    from harness.compare import exit_code
    from harness.golden import missing
    from harness.parity.judges.golden import find_golden, golden_key, judge_golden
    from harness.report import print_verdicts

    checked = _checked(checkpoint, precision, executor)
    kept = find_golden(checked.plan, checked.observation.executor)
    verdicts = judge_golden(checked.plan, checked.evidence, checked.observation, kept)
    if not verdicts:
        verdicts = [missing(golden_key(checked.plan, checked.observation.executor))]
    print_verdicts(verdicts, stdout())
    raise typer.Exit(exit_code(verdicts))


@app.command("bless")
def golden_bless(
    reason: Annotated[str, option("--reason", "TEXT", "Why the golden may change; kept in it.")],
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: options.Executor = "auto",
) -> None:
    """Make this run the golden; refused while parity with eager is not green."""
    from harness.parity.blessing import bless_golden
    from harness.parity.judges.golden import golden_key

    checked = _checked(checkpoint, precision, executor)
    console = stdout()
    for change in bless_golden(checked, reason):
        console.print(f"  {change}", markup=False, soft_wrap=True)
    key = golden_key(checked.plan, checked.observation.executor)
    console.print(f"blessed {key}", markup=False, soft_wrap=True)


@app.command("list")
def golden_list() -> None:
    """List the goldens that are kept, with the reason each was blessed for."""
    from harness.golden import default_root, read
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


def _checked(checkpoint: str, precision: str, executor: str) -> Checked:
    from harness.parity import Request, check

    request = Request(
        checkpoint=checkpoint, precision=precision, executor=executor, methods=("codec",)
    )
    with show_progress() as progress:
        return check(request, progress)
