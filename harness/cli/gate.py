"""``voxtral-parity gate``: the last job of CI, which is green only if everything is there."""

from __future__ import annotations

import datetime
import json as json_format
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console, options
from harness.cli.faces import Faces, tell
from harness.cli.options import option
from harness.errors import InputError, one_of
from harness.files import check_targets

__all__ = ["app"]

app = typer.Typer(
    help="The last job of CI: green only if every expected result is there, and green.",
    no_args_is_help=True,
)

Commit = Annotated[str, option("--commit", "SHA", "The commit that is judged.")]


@app.command()
def expect(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE…", help="Packed bundles.")],
    commit: Commit,
    on: Annotated[
        list[str], option("--on", "E", "Executor whose result must be there. Repeatable.")
    ],
    output: Annotated[Path, option("--output", "FILE", "Where to write what is expected.")],
) -> None:
    """Write down which results the gate must find: every BUNDLE on every executor."""
    check_targets(output)
    from harness.bundle.contents import open_bundle
    from harness.report.gate import Expectation, Expected
    from harness.runtime.select import NAMES
    from harness.values import timestamp

    for name in on:
        one_of("--on", name, NAMES[1:])  # results never say auto
    results = []
    for path in bundles:
        with open_bundle(path) as bundle:
            facts, methods = bundle.facts, bundle.plan.methods
        if facts.commit != commit:
            raise InputError(
                f"{path} was packed at commit {facts.commit or 'none'} (expected {commit}); "
                "pack it again"
            )
        results += [Expected(path.name, facts.sha256, name, methods) for name in on]
    Expectation(commit, timestamp(), tuple(results)).write(output)


@app.command()
def judge(
    expected: Annotated[Path, typer.Argument(metavar="EXPECTED", help="What `expect` wrote.")],
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="Directory with reports.")],
    commit: Commit,
    needs: Annotated[
        str, option("--needs", "JSON", "GitHub's context `needs`: what every job ended with.")
    ] = "{}",
    advisory: Annotated[
        list[str] | None, option("--advisory", "JOB", "Its end does not count. Repeatable.")
    ] = None,
    off: Annotated[
        list[str] | None, option("--off", "JOB", "A job that may be skipped. Repeatable.")
    ] = None,
    json: options.Json = None,
    junit: options.Junit = None,
    markdown: options.Markdown = None,
) -> None:
    """Judge a run of CI: its jobs, and every result that EXPECTED names.

    Exit code 0: everything is there and green. 1: something failed. 2: something is missing, of
    another commit, damaged, or could not be judged.
    """
    faces = Faces(json, junit, markdown)
    faces.check()
    from harness.report.failure import of_no_program
    from harness.report.gate import judge_jobs, judge_results, read_expectation

    now = datetime.datetime.now(datetime.UTC)
    version = metadata.version("voxtral-parity")
    try:
        jobs = json_format.loads(needs)
        verdicts = judge_jobs(jobs, advisory or (), off or ())
    except (ValueError, AttributeError, TypeError) as error:
        raise InputError(f"--needs is not GitHub's context of jobs: {error}") from None
    verdicts += judge_results(read_expectation(expected), commit, results, now, version)
    reference = "the results that the packing job expects"
    tell(of_no_program(verdicts, reference, console.command_line(), version), faces)
