"""Choose an executor by name, importing only the one chosen."""

from __future__ import annotations

import os

from harness.budget.regimes import EMULATED
from harness.errors import InputError, UnavailableError, one_of
from harness.runtime.protocol import Executor

__all__ = ["NAMES", "availability", "choose", "refuse_virtual"]

_STOCK_BLAS = "VOXTRAL_PARITY_STOCK_BLAS"

NAMES = ("auto", "native", "portable", "portable:faithful", "portable:gpu", "xnnpack")


def choose(name: str = "auto", require: str | None = None, regime: str | None = None) -> Executor:
    """Make the executor called `name`.

    Parameters
    ----------
    name
        ``native`` (ExecuTorch's runtime with the MLX backend), ``portable`` (our interpreter
        over `mlx.core`), ``portable:faithful`` (the same with the bits of upstream's interpreter
        on the CPU, silent oddities included), ``portable:gpu`` (the same on MLX's GPU: Metal or
        CUDA), ``xnnpack`` (ExecuTorch's runtime with XNNPACK and its CPU kernels, on files
        lowered to these), or ``auto``: native where this machine has it, portable elsewhere.
    require
        One of the others: what ``auto`` must come to.
    regime
        A GPU's arithmetic for the portable executor to emulate, one of `EMULATED`; ``auto`` is
        portable then.

    Raises
    ------
    InputError
        An unknown name, a `name` that contradicts `require`, or a `regime` for another executor.
    UnavailableError
        Native or a GPU is asked for or required, and this machine does not have it; or faithful,
        and this process has lent MLX another BLAS.
    """
    one_of("executor", name, NAMES)
    if require is not None:
        one_of("require", require, NAMES[1:])
    if require is not None and name not in ("auto", require):
        raise InputError(f"executor {name!r} contradicts require {require!r}; leave one out")
    wanted = require or name
    if regime is not None:
        one_of("regime", regime, EMULATED)
        if wanted not in ("auto", "portable"):
            raise InputError(
                f"regime {regime} is emulated by the executor portable alone (got {wanted}); "
                "leave one out"
            )
        return _portable(regime)
    if wanted == "portable":
        return _portable()
    if wanted == "portable:faithful":
        return _faithful()
    if wanted == "portable:gpu":
        return _gpu()
    from harness.runtime.native import NativeExecutor, why_not

    if wanted == "xnnpack":
        return NativeExecutor(name="xnnpack")
    reason = why_not()
    if reason is None:
        return NativeExecutor()
    if wanted == "native":
        raise UnavailableError(f"the native executor is not available: {reason}")
    return _portable()


def refuse_virtual(executor: Executor) -> None:
    """Raise `UnavailableError` if `executor` runs on the GPU of a virtual machine."""
    if executor.fingerprint.virtual:
        raise UnavailableError(
            f"the GPU of this machine ({executor.fingerprint.device}) is a virtual one, on which "
            "MLX was seen to give wrong results and to abort; run on a machine of its own, or "
            "give --allow-virtual-gpu to judge all the same"
        )


def _portable(regime: str | None = None) -> Executor:
    from harness.runtime.portable.executor import PortableExecutor

    return PortableExecutor(regime=regime) if regime else PortableExecutor()


def _faithful() -> Executor:
    before = os.environ.get(_STOCK_BLAS)
    os.environ[_STOCK_BLAS] = "1"
    try:
        from harness.runtime.portable.blas import require_own  # reads it, if MLX is not there yet
    finally:
        if before is None:
            del os.environ[_STOCK_BLAS]
        else:
            os.environ[_STOCK_BLAS] = before
    require_own()
    from harness.runtime.portable.executor import PortableExecutor

    return PortableExecutor(faithful=True)


def _gpu() -> Executor:
    from harness.runtime.native.child import DEFAULTS
    from harness.runtime.portable.gpu import why_not

    reason = why_not()
    if reason is not None:
        raise UnavailableError(f"the executor portable:gpu is not available: {reason}")
    for switch, value in DEFAULTS.items():  # as native's process has them; MLX reads them once
        os.environ.setdefault(switch, value)
    from harness.runtime.portable.executor import PortableExecutor

    return PortableExecutor(gpu=True)


def availability() -> dict[str, str | None]:
    """For each executor, why it cannot run here; None where it can."""
    from harness.runtime.native import why_not
    from harness.runtime.native.machine import why_not_xnnpack
    from harness.runtime.portable import gpu

    return {
        "native": why_not(),
        "portable": None,
        "portable:gpu": gpu.why_not(),
        "xnnpack": why_not_xnnpack(),
    }
