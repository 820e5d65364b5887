"""The control program before its constants are drawn: one product and one sum on the MLX delegate.

Every run draws constants of its own and writes them into a copy; see `harness.parity.control`.
"""

from __future__ import annotations

from pathlib import Path

from harness.cache import Recipe, fetch, maker
from harness.export.artifacts import LOWERED, LOWERED_BY, STACK
from harness.pte.control import BIAS, MATRIX
from harness.upstream import parts

__all__ = ["control_template"]

_FILE = "control.pte"


def control_template() -> bytes:
    """The program with the constants of `harness.pte.control`, lowered once for each version."""
    packages = parts(*LOWERED, *LOWERED_BY["mlx"], quantized=False)
    facts = maker("harness.export.control", stack=STACK, packages=packages)
    recipe = Recipe("control", _FILE, facts, "the control program", "exporting")
    return (fetch(recipe, lambda scratch: _write(scratch / _FILE)).path / _FILE).read_bytes()


def _write(path: Path) -> None:
    import torch

    from harness.export.lower import lower_to_mlx

    class Control(torch.nn.Module):
        """x · matrix + bias."""

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("matrix", torch.from_numpy(MATRIX.copy()))
            self.register_buffer("bias", torch.from_numpy(BIAS.copy()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.matrix + self.bias

    x = torch.zeros(1, len(MATRIX))
    lower_to_mlx({"forward": torch.export.export(Control(), (x,), strict=False)}, {}, path)
