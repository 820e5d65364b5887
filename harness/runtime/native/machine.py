"""Whether this machine's ExecuTorch runtime has the MLX backend, and what the machine is."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache

from harness.errors import MachineError
from harness.fingerprint import Fingerprint
from harness.pte.plan import MLX_BACKEND, XNNPACK_BACKEND
from harness.runtime.native.child import DEFAULTS, Child

__all__ = [
    "available",
    "fingerprint",
    "missing",
    "switches",
    "virtual_machine",
    "why_not",
    "why_not_xnnpack",
]


# What MLX reads at start and what it does to the numbers.
_TF32 = "MLX_ENABLE_TF32"
_ARCHITECTURE = "MLX_METAL_GPU_ARCH"


def available() -> bool:
    """Whether MLX programs run natively here."""
    return why_not() is None


@lru_cache(maxsize=1)
def why_not() -> str | None:
    """One sentence on why MLX programs cannot run natively here; None if they can.

    Elsewhere than on Apple Silicon the answer needs no child process: the backend needs Metal.
    """
    needs = "native runs need macOS 14+ on Apple Silicon"
    if sys.platform != "darwin" or platform.machine() != "arm64":
        return f"{needs} (this is {platform.system()} on {platform.machine()})"
    answer = _backends()
    return answer if isinstance(answer, str) else missing(answer["registered"], answer["usable"])


@lru_cache(maxsize=1)
def why_not_xnnpack() -> str | None:
    """One sentence on why XNNPACK programs cannot run here; None if they can."""
    answer = _backends()
    if isinstance(answer, str):
        return answer
    if XNNPACK_BACKEND in answer["usable"]:
        return None
    found = ", ".join(answer["registered"]) or "none"
    return f"the ExecuTorch runtime here has no XNNPACK backend (found: {found})"


def _backends() -> dict[str, list[str]] | str:
    """What a child's runtime answers; a sentence if it does not start."""
    try:
        with contextlib.closing(Child()) as child:
            answer, _ = child.ask("ExecuTorch's runtime", {"operation": "backends"}, (), 60.0)
    except MachineError as error:
        return f"the ExecuTorch runtime does not start: {error}"
    return answer


def missing(registered: Sequence[str], usable: Sequence[str]) -> str | None:
    """What a runtime with these backends lacks to run MLX programs, in one sentence."""
    if MLX_BACKEND in usable:
        return None
    found = ", ".join(registered) or "none"
    if MLX_BACKEND in registered:
        return "the ExecuTorch runtime has the MLX backend, but finds no Metal device to run it on"
    return (
        f"the ExecuTorch runtime here has no MLX backend (found: {found}): native runs need "
        "macOS 14+ on Apple Silicon and the macOS arm64 wheel of executorch"
    )


def fingerprint(usable: Sequence[str], name: str = "native") -> Fingerprint:
    """What ran: this machine, the packages, and the switches that change numbers."""
    notes, mlx = (f"backends: {', '.join(usable) or 'none'}",), MLX_BACKEND in usable
    return Fingerprint(
        name,
        _device(),
        _versions(),
        notes + (switches() if mlx else ()),
        virtual=mlx and virtual_machine(),
    )


def virtual_machine() -> bool:
    """Whether this is a virtual Mac, whose GPU is Apple's paravirtual device."""
    return sys.platform == "darwin" and _sysctl("kern.hv_vmm_present") == "1"


def switches() -> tuple[str, ...]:
    """What the environment tells MLX to do on a GPU, a sentence each."""
    tf32, architecture = {**DEFAULTS, **os.environ}[_TF32], os.environ.get(_ARCHITECTURE)
    if tf32 == "0":
        said = f"{_TF32}=0: float32 matrix products in full float32"
    else:
        said = (
            f"{_TF32}={tf32}: float32 matrix products of more than one row may run in TF32 on "
            f"GPUs that have it; set {_TF32}=0 for full float32"
        )
    selected = f"{_ARCHITECTURE}={architecture}: selects the kernels"
    return (said, selected) if architecture else (said,)


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    if sys.platform == "darwin":
        found["macos"] = platform.mac_ver()[0]
    for package in ("executorch", "torch", "mlx"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def _device() -> str:
    if sys.platform != "darwin":
        return platform.processor() or platform.machine()
    return _sysctl("machdep.cpu.brand_string") or platform.machine()


def _sysctl(name: str) -> str:
    query = ["sysctl", "-n", name]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.strip()
