"""What users type after ``pytest``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

__all__ = ["Chosen", "add_options", "chosen"]


@dataclass(frozen=True)
class Chosen:
    """The options of one run; None where the user left one out."""

    executor: str = "auto"
    require: str | None = None
    precision: str | None = None
    checkpoint: str | None = None
    artifacts: Path | None = None
    report: Path | None = None
    update: bool = False
    reason: str = ""


def add_options(parser: pytest.Parser) -> None:
    """Declare the options."""
    group = parser.getgroup("parity", "programs lowered to MLX against eager PyTorch")
    add = group.addoption
    add(
        "--parity-executor",
        metavar="E",
        help="What runs programs: auto, native, portable, portable:faithful, portable:gpu.",
    )
    add("--parity-require", metavar="E", help="Error unless this executor can run here.")
    add(
        "--parity-precision",
        metavar="P",
        help="Cast, and quantise, modules first: fp32, bf16, bf16-4w8w. As they are by default.",
    )
    add("--parity-checkpoint", metavar="DIR|PRESET", help="Weights of Voxtral's methods; tiny.")
    add(
        "--parity-artifacts",
        metavar="DIR",
        help="Judge the .pte files in DIR: model.pte and codec_decoder.pte of Voxtral, and of "
        "other models NAME.pte. What is not there is exported.",
    )
    add("--parity-report", metavar="DIR", help="Write what was found, and repros, into DIR.")
    add(
        "--parity-update",
        action="store_true",
        help="Write goldens that are missing or differ, and delete unused ones.",
    )
    add("--parity-reason", metavar="TEXT", help="Why goldens change; kept in each of them.")


def chosen(config: pytest.Config) -> Chosen:
    """The options as they were typed; a `pytest.UsageError` where they contradict."""
    get = config.getoption
    update, reason = bool(get("parity_update")), " ".join((get("parity_reason") or "").split())
    if update and len(reason) < _SHORTEST_REASON:
        raise pytest.UsageError(
            f"--parity-update needs --parity-reason with at least {_SHORTEST_REASON} characters "
            f"that say why goldens change (got {reason!r})"
        )
    if reason and not update:
        raise pytest.UsageError("--parity-reason needs --parity-update: no golden is written")
    artifacts, report = get("parity_artifacts"), get("parity_report")
    if artifacts is not None and not Path(artifacts).is_dir():
        raise pytest.UsageError(f"--parity-artifacts must be a directory (got {artifacts!r})")
    if report is not None and Path(report).exists() and not Path(report).is_dir():
        raise pytest.UsageError(f"--parity-report must be a directory (got {report!r})")
    for option, known in (("executor", EXECUTORS), ("require", EXECUTORS), ("precision", TYPES)):
        value = get(f"parity_{option}")
        if value is not None and value not in known:
            raise pytest.UsageError(
                f"--parity-{option} must be one of {', '.join(known)} (got {value!r})"
            )
    return Chosen(
        executor=get("parity_executor") or "auto",
        require=get("parity_require"),
        precision=get("parity_precision"),
        checkpoint=get("parity_checkpoint"),
        artifacts=None if artifacts is None else Path(artifacts).absolute(),
        report=None if report is None else Path(report).absolute(),
        update=update,
        reason=reason,
    )


_SHORTEST_REASON = 10
EXECUTORS = ("auto", "native", "portable", "portable:faithful", "portable:gpu")
TYPES = ("fp32", "bf16", "bf16-4w8w")
"""As `harness.runtime.select.NAMES` and `harness.methods.precision.PRECISIONS`, which import numpy:
a test holds them equal."""
