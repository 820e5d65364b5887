"""The one door to `mlx.core`, opened after a fast BLAS is in place.

MLX's Linux wheel calls a reference BLAS (2-4 GFLOP/s), whose C interface calls Fortran symbols
(`sgemm_`). They are resolved when `mlx.core` is first imported, in the process's global scope
first; torch's CPU library carries a tuned BLAS under the same names, so loading that library
globally beforehand lends it to MLX.
float32 1024x1024 matmul on 2 cores: 24-55 ms instead of 550-1100 ms, and nearer to float64.
Where torch is not installed, `products` multiplies with numpy's, which is as fast and as exact.

``VOXTRAL_PARITY_STOCK_BLAS=1`` leaves MLX as it comes; `faithful` needs that, since two BLAS
libraries add up in different orders. On macOS MLX uses Accelerate and nothing
is done.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

from harness.errors import UnavailableError
from harness.runtime.portable.refusals import guarded
from harness.threads import wait_asleep

__all__ = ["BLAS", "LENT", "NUMPYS", "mx", "require_own"]


LENT = "BLAS: torch's, lent to MLX"
NUMPYS = "BLAS: numpy's in the fast routes, as torch is not installed"


def _lend_torch_blas() -> str:
    """Make torch's BLAS global if that can still help; say which BLAS MLX calls."""
    if sys.platform != "linux":
        return "BLAS: MLX's own"
    if os.environ.get("VOXTRAL_PARITY_STOCK_BLAS") == "1":
        return "BLAS: MLX's own (VOXTRAL_PARITY_STOCK_BLAS=1)"
    if "mlx.core" in sys.modules:
        return "BLAS: MLX's own (mlx.core was imported before the portable executor)"
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return NUMPYS
    library = Path(spec.origin).parent / "lib" / "libtorch_cpu.so"
    wait_asleep()
    try:
        loaded = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        return f"BLAS: MLX's own (torch's could not be loaded: {error})"
    if not hasattr(loaded, "sgemm_"):
        return "BLAS: MLX's own (torch's library has no sgemm_)"
    return LENT


BLAS = _lend_torch_blas()
"""Which BLAS MLX calls in this process, as a sentence for the fingerprint."""

try:
    import mlx.core  # noqa: TID251 - the door itself; must follow the line above
except ModuleNotFoundError:
    raise UnavailableError(
        "the portable executor needs mlx, which is not installed; `python -m pip install "
        "'mlx[cpu]'` brings it"
    ) from None

mx: Any = guarded(mlx.core)
"""`mlx.core`, whose functions raise errors of `harness.errors` where they refuse.

Untyped: its stubs leave out what its functions accept.
"""


def require_own() -> None:
    """Refuse to go on if MLX calls another BLAS than it brings."""
    if BLAS == LENT:
        raise UnavailableError(
            "the bits of upstream's interpreter need MLX's own BLAS, and this process has lent it "
            "torch's already; set VOXTRAL_PARITY_STOCK_BLAS=1 before it starts"
        )
