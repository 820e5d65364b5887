"""The command line: `voxtral-parity --help`. The only room that knows all the others."""

from __future__ import annotations

import sys
import traceback

import typer
from rich.console import Console

from harness.cli import bench, cache, golden
from harness.cli.check import check
from harness.cli.conformance import conformance
from harness.cli.doctor import doctor
from harness.cli.export import export
from harness.cli.inspect import inspect
from harness.cli.matrix import matrix
from harness.cli.runner_preset import runner_preset
from harness.cli.synth import synth
from harness.errors import HarnessError
from harness.memory import keep_freed_memory
from harness.threads import wait_asleep

__all__ = ["app", "main"]

app = typer.Typer(
    help="Prove MLX-exported ExecuTorch programs of Voxtral TTS equal to the eager model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    check,
    export,
    synth,
    inspect,
    matrix,
    conformance,
    runner_preset,
    doctor,
):
    app.command()(command)
app.add_typer(bench.app, name="bench")
app.add_typer(golden.app, name="golden")
app.add_typer(cache.app, name="cache")


def main() -> None:
    """Run the command line; a `HarnessError` is one sentence on stderr and exit code 2."""
    wait_asleep()
    keep_freed_memory()
    try:
        app()
    except HarnessError as error:
        Console(stderr=True, highlight=False).print(
            f"voxtral-parity: {error}", style="red", markup=False, soft_wrap=True
        )
        sys.exit(2)
    except Exception:
        # A fault of the harness itself: 1 would say that a mismatch was found.
        traceback.print_exc()
        sys.exit(2)
