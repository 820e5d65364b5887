"""A golden and its file.

The file is JSON, indented and with sorted keys so that a review sees what changed::

    format      "voxtral-parity golden", always
    version     2
    key         checkpoint, method, precision, regime: the file's own place
    statistics  a WaveformStatistics, field by field
    codes       sha256 of the codes, and the codes: one list of n_codebooks for each frame
    provenance  reason, date, checkpoint_digest, harness_version, versions
    history     earlier blessings, newest first: reason, date, checkpoint_digest,
                codes_sha256, frames, peak, rms_dbfs
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import harness
from harness.arrays import Array
from harness.compare.sound import WaveformStatistics
from harness.errors import InputError
from harness.files import replace_file

__all__ = [
    "Blessing",
    "Codes",
    "Golden",
    "GoldenKey",
    "Provenance",
    "as_codes",
    "codes_digest",
    "default_root",
    "list_goldens",
    "read",
    "unused",
    "write",
]

Codes = tuple[tuple[int, ...], ...]
"""One row of n_codebooks codes for each frame."""

_FORMAT, _VERSION = "voxtral-parity golden", 2
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, order=True)
class GoldenKey:
    """Which golden: each part is a directory's name, the last (`regime`) a file's.

    `regime` is the family of arithmetic that made it, ``"cpu"`` or ``"metal"``.
    """

    checkpoint: str
    method: str
    precision: str
    regime: str

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if not _NAME.fullmatch(value):
                raise InputError(
                    f"golden key: {field.name} must be letters, digits, '.', '_' or '-', "
                    f"beginning with a letter or digit (got {value!r})"
                )

    def __str__(self) -> str:
        return f"{self.checkpoint}/{self.method}/{self.precision}/{self.regime}"

    def path(self, root: Path) -> Path:
        """Where this golden lives below `root`."""
        return root / self.checkpoint / self.method / self.precision / f"{self.regime}.json"


@dataclass(frozen=True)
class Provenance:
    """Where a golden's numbers come from; who made them is not recorded.

    Attributes
    ----------
    date
        ISO date of the run, e.g. ``"2026-08-01"``.
    checkpoint_digest
        sha256 of the checkpoint, in hex.
    harness_version
        This package's version.
    versions
        Package name to version, of whatever computes.
    """

    date: str
    checkpoint_digest: str
    harness_version: str
    versions: Mapping[str, str]

    def __post_init__(self) -> None:
        try:
            datetime.date.fromisoformat(self.date)
        except (TypeError, ValueError):
            raise InputError(
                f"golden provenance: date must be like 2026-08-01 (got {self.date!r})"
            ) from None


@dataclass(frozen=True)
class Blessing:
    """What is left of an earlier golden."""

    reason: str
    date: str
    checkpoint_digest: str
    codes_sha256: str
    frames: int
    peak: float
    rms_dbfs: float


@dataclass(frozen=True)
class Golden:
    """One golden, as its file holds it."""

    key: GoldenKey
    statistics: WaveformStatistics
    codes: Codes
    reason: str
    provenance: Provenance
    history: tuple[Blessing, ...] = ()


def default_root() -> Path:
    """``golden/`` beside the `harness` package in a source checkout, else in the cwd.

    Raises
    ------
    InputError
        There is no such directory.
    """
    checkout = Path(harness.__file__).resolve().parent.parent
    root = checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
    if not (root / "golden").is_dir():
        raise InputError(
            f"no directory golden/ in {root}: run from a checkout of voxtral-parity, "
            "or name the goldens' directory"
        )
    return root / "golden"


def as_codes(codes: Array) -> Codes:
    """Rows of codes, one for each frame, from an int array (n_codebooks, frames).

    Raises
    ------
    InputError
        Not two-dimensional, or not integers.
    """
    array = np.asarray(codes)
    if array.ndim != 2 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(
            f"codes must be integers (n_codebooks, frames) (got {array.dtype} {array.shape})"
        )
    return tuple(tuple(int(code) for code in frame) for frame in array.T)


def codes_digest(codes: Codes) -> str:
    """sha256, in hex, of the codes as compact JSON: a list of frames."""
    return hashlib.sha256(json.dumps(codes, separators=(",", ":")).encode()).hexdigest()


def read(root: Path, key: GoldenKey) -> Golden | None:
    """The golden of `key`, or None if there is none.

    Raises
    ------
    InputError
        The file is damaged, of another version, or another key's.
    """
    path = key.path(root)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"golden {key} cannot be read: {error}") from None
    try:
        golden = _decode(json.loads(text, parse_constant=_refuse))
    except (KeyError, TypeError, ValueError, InputError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"golden {path} is damaged ({what}); restore it from version control"
        ) from None
    if golden.key != key:
        raise InputError(f"golden {path} is of {golden.key}, not of its own place {key}; move it")
    return golden


def write(root: Path, golden: Golden) -> Path:
    """Write `golden` to its place, whole or not at all; `bless` is the one caller."""
    text = json.dumps(_encode(golden), indent=1, sort_keys=True, allow_nan=False)
    # One frame a line: the codes are half the file, and a review counts frames.
    text = re.sub(r"\[[\s\d,-]+\]", lambda row: re.sub(r"\s+", "", row[0]), text)
    path = golden.key.path(root)
    with replace_file(path) as scratch:
        scratch.write_text(text + "\n", encoding="utf-8")
    return path


def list_goldens(root: Path) -> list[GoldenKey]:
    """Keys of all goldens below `root`, sorted."""
    paths = (path.relative_to(root) for path in root.glob("*/*/*/*.json"))
    parts = (path.with_suffix("").parts for path in paths)
    return sorted(GoldenKey(*names) for names in parts)


def unused(root: Path, used: Collection[GoldenKey]) -> list[Path]:
    """The JSON files below `root` that are no golden of `used`, sorted; misplaced ones too.

    Published figures, which are in ``external/``, are no goldens.
    """
    known = {key.path(root) for key in used}
    files = (path for path in root.rglob("*.json") if path.parent != root / "external")
    return sorted(path for path in files if path not in known)


def _encode(golden: Golden) -> dict[str, Any]:
    return {
        "format": _FORMAT,
        "version": _VERSION,
        "key": dataclasses.asdict(golden.key),
        "statistics": dataclasses.asdict(golden.statistics),
        "codes": {"sha256": codes_digest(golden.codes), "frames": golden.codes},
        "provenance": {
            **dataclasses.asdict(golden.provenance),
            "versions": dict(golden.provenance.versions),
            "reason": golden.reason,
        },
        "history": [dataclasses.asdict(blessing) for blessing in golden.history],
    }


def _decode(data: dict[str, Any]) -> Golden:
    if data["format"] != _FORMAT or data["version"] != _VERSION:
        raise ValueError(
            f"expected format {_FORMAT!r} version {_VERSION}, "
            f"got {data['format']!r} version {data['version']!r}"
        )
    codes = as_codes(np.array(data["codes"]["frames"]).T)
    if codes_digest(codes) != data["codes"]["sha256"]:
        raise ValueError("its codes do not have the sha256 beside them")
    statistics = {**data["statistics"]}
    lists: dict[str, Any] = {
        name: tuple(float(value) for value in statistics.pop(name))
        for name in ("band_dbfs", "envelope_dbfs")
    }
    for field in dataclasses.fields(WaveformStatistics):
        wanted = {"int": int, "str": str}.get(str(field.type), (int, float))
        if field.name in statistics and not isinstance(statistics[field.name], wanted):
            raise ValueError(f"{field.name} is not a {'text' if wanted is str else 'number'}")
    provenance = {**data["provenance"]}
    reason = provenance.pop("reason")
    return Golden(
        key=GoldenKey(**data["key"]),
        statistics=WaveformStatistics(**statistics, **lists),
        codes=codes,
        reason=reason,
        provenance=Provenance(**provenance),
        history=tuple(Blessing(**entry) for entry in data["history"]),
    )


def _refuse(literal: str) -> float:
    raise ValueError(f"{literal} among its numbers")
