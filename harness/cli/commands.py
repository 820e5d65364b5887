"""The commands by name, imported when they are asked for: each needs only its own imports."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from harness.memory import keep_freed_memory
from harness.threads import wait_asleep

__all__ = ["COMMANDS", "run"]

NAME = "voxtral-parity"

_CONTEXT = {"help_option_names": ["-h", "--help"]}

COMMANDS = {
    "check": "Export, run and judge methods against eager PyTorch.",
    "export": "Write model.pte and codec_decoder.pte for upstream's runner.",
    "synth": "Speak, as upstream's runner does, on any executor.",
    "inspect": "Say what is in a .pte: delegates, coverage, weights, quantisation, metadata, "
    "steps.",
    "model": "Judge any torch module that ExecuTorch lowers to MLX.",
    "localize": "Name the first wrong node of a method, whose fault it is, and prove it.",
    "audit": "Measure what each disputed choice of semantics costs on a checkpoint.",
    "matrix": "Judge methods × precisions × {MLX, XNNPACK}, and triangulate each with eager.",
    "diff": "Say what moved from one run to another, what became worse, and what changed with it.",
    "bench": "Time kernels, exports, the two links or speech.",
    "conformance": "Run the MLX op tests of the executorch wheel with the portable executor.",
    "zoo": "Lower small programs of every operator that the MLX partitioner claims, and judge "
    "them.",
    "repro": "Write a report for upstream of every distinct bug of the stock lowering to MLX.",
    "runner-preset": "Add the CMake preset voxtral-tts-mlx to a checkout of ExecuTorch.",
    "doctor": "Say what this machine can run, with which versions, and what to do where it cannot.",
    "bundle": "One file that any machine can run and judge, without eager model and checkpoint.",
    "gate": "The last job of CI: green only if every expected result is there, and green.",
    "golden": "Reviewed statistics of the codec's waveform, and pins of what eager and programs "
    "make.",
    "cache": "Derived files kept for reuse: look, and clear.",
}
"""What each does, the first line of its own help. Its module in `harness.cli` has its name, and in
it a function of that name, or an `app` of several commands."""


class _Commands(TyperGroup):
    """A group that lists its commands without importing them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"harness.cli.{name}")
        if hasattr(module, "app"):
            module.app.rich_markup_mode = None
            module.app.info.context_settings = _CONTEXT
            command: Any = get_group(module.app)
        else:
            only = typer.Typer(add_completion=False, rich_markup_mode=None)
            only.command(context_settings=_CONTEXT)(getattr(module, name))
            command = get_command(only)
        command.name = cmd_name
        return command

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"{NAME} {version(NAME)}")
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns its exit code, and lets every exception pass."""
    app = typer.Typer(
        name=NAME,
        cls=_Commands,
        help="Prove MLX-exported ExecuTorch programs of Voxtral TTS equal to the eager model.",
        add_completion=False,
        rich_markup_mode=None,  # rich's tables cut the names of options
        context_settings=_CONTEXT,
    )

    @app.callback()
    def _(
        version: Annotated[
            bool,
            typer.Option("--version", is_eager=True, callback=_version, help="Say the version."),
        ] = False,
    ) -> None:
        wait_asleep()
        keep_freed_memory()

    group = get_group(app)
    names: Any = dict.fromkeys(COMMANDS)
    group.commands = names  # for "Did you mean"
    code = group.main(list(arguments) or ["--help"], prog_name=NAME, standalone_mode=False)
    return code if isinstance(code, int) else 0
