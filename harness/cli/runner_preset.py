"""``voxtral-parity runner-preset``: how to build upstream's runner with MLX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["runner_preset"]


def runner_preset(
    executorch: Annotated[
        Path, typer.Argument(metavar="EXECUTORCH_DIR", help="A checkout of ExecuTorch.")
    ],
) -> None:
    """Add the CMake preset voxtral-tts-mlx to a checkout of ExecuTorch."""
    from harness.runner.preset import BUILD_COMMANDS, write_preset

    for path in write_preset(executorch):
        typer.echo(str(path))
    typer.echo("\nOn a Mac, in ExecuTorch's directory:")
    for command in BUILD_COMMANDS:
        typer.echo(f"  {command}")
