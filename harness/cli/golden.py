"""``voxtral-parity golden check|bless|list``."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.console import progress as show_progress
from harness.cli.console import stdout
from harness.cli.options import CheckpointOption, ExecutorOption

__all__ = ["app"]

app = typer.Typer(help="Reviewed statistics of the codec's waveform.", no_args_is_help=True)


@app.command("check")
def golden_check(checkpoint: CheckpointOption = "tiny", executor: ExecutorOption = "auto") -> None:
    """Compare the codec's waveform with its golden. Exit codes as for `check`."""
    from harness.compare import exit_code
    from harness.parity import KeptSound, Parity, Request
    from harness.report import print_verdicts

    with show_progress() as progress:
        parity = Parity(Request(checkpoint=checkpoint, executor=executor), progress)
        verdicts = KeptSound(parity).judge()
    print_verdicts(verdicts, stdout())
    raise typer.Exit(exit_code(verdicts))


@app.command("bless")
def golden_bless(
    reason: Annotated[str, typer.Option("--reason", help="Why the golden may change; kept in it.")],
    checkpoint: CheckpointOption = "tiny",
    executor: ExecutorOption = "auto",
) -> None:
    """Make this run the golden; refused while parity with eager is not green."""
    from harness.golden import changes
    from harness.parity import KeptSound, Parity, Request

    with show_progress() as progress:
        parity = Parity(Request(checkpoint=checkpoint, executor=executor), progress)
        blessed = KeptSound(parity).bless(reason)
    console = stdout()
    if blessed.previous is not None:
        for change in changes(blessed.previous, blessed.golden.statistics):
            console.print(f"  {change}", markup=False, soft_wrap=True)
    console.print(f"blessed {blessed.golden.key}: {blessed.path}", markup=False, soft_wrap=True)


@app.command("list")
def golden_list() -> None:
    """List the goldens that are kept, with the reason each was blessed for."""
    from harness.golden import default_root, list_goldens, read

    root = default_root()
    console = stdout()
    for key in list_goldens(root):
        golden = read(root, key)
        assert golden is not None
        console.print(
            f"{key}  {golden.provenance.date}  {golden.statistics.frames} frames, "
            f"peak {golden.statistics.peak:.5f}  {golden.reason}",
            markup=False,
            soft_wrap=True,
        )
