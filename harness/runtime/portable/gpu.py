"""Whether MLX has a GPU here: Metal on a Mac, CUDA where `mlx[cuda]` is installed."""

from __future__ import annotations

import importlib.metadata

from harness.errors import HarnessError
from harness.runtime.portable.blas import mx

__all__ = ["device_name", "why_not"]


def why_not() -> str | None:
    """One sentence on why programs cannot run on a GPU here; None if they can."""
    if not mx.is_available(mx.gpu):
        version = importlib.metadata.version("mlx")
        return (
            f"mlx {version} has no GPU here; it takes Metal on Apple Silicon, or an NVIDIA GPU "
            "and mlx[cuda]"
        )
    try:
        with mx.stream(mx.gpu):
            mx.eval(mx.add(mx.array(1.0), mx.array(1.0)))
    except HarnessError as error:
        return f"MLX's GPU cannot add two numbers: {error}"
    return None


def device_name() -> str:
    """What MLX calls its GPU."""
    return str(mx.device_info(mx.gpu).get("device_name", "unnamed"))
