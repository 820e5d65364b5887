"""``voxtral-parity diff``: two reports side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console
from harness.cli.faces import DATA
from harness.cli.options import option

__all__ = ["diff"]


def diff(
    before: Annotated[Path, typer.Argument(metavar="A.json", help="The earlier run's report.")],
    after: Annotated[Path, typer.Argument(metavar="B.json", help="The later run's.")],
    html: Annotated[Path | None, option("--html", "FILE", "Write it as a page, too.")] = None,
) -> None:
    """Say what moved from one run to another, what became worse, and what changed with it.

    Reports are those of --json; a directory is that of --report. Exit code 0: nothing became worse.
    1: a verdict did, a pass is gone or compares less, or a new one failed. 2: a report could not be
    read, or judged nothing.
    """
    from harness.files import check_targets
    from harness.report import read_json
    from harness.report.diff import compare
    from harness.report.diff_console import print_difference
    from harness.report.diff_page import write_difference_page

    check_targets(html)
    runs = (read_json(path / DATA if path.is_dir() else path) for path in (before, after))
    found = compare(*runs)
    if html is not None:
        write_difference_page(found, html)
    print_difference(found, console.stdout())
    raise typer.Exit(found.exit_code)
