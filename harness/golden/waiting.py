"""What a run would be blessed as waits beside its golden, as ``exact-f32.json.new``.

It comes to be where a golden is missing or does not hold while everything else of the run is
green, and is gone once it was blessed, or the golden holds again. Version control ignores it.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["list_waiting", "waiting_path"]

_SUFFIX = ".new"


def waiting_path(path: Path) -> Path:
    """Where a golden waits whose place is `path`."""
    return path.with_name(path.name + _SUFFIX)


def list_waiting(root: Path) -> list[Path]:
    """The places below `root` for which something waits, sorted."""
    return sorted(path.with_suffix("") for path in root.rglob(f"*.json{_SUFFIX}"))
