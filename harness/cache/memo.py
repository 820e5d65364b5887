"""What was found in a large file, remembered until the file changes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.cache.store import Recipe, read_or_make
from harness.errors import HarnessError
from harness.files import read_json

__all__ = ["remembered"]

_REMEMBER_ABOVE = 64 << 20
"""Bytes. 8 GB of weights take twenty seconds to hash and ten to look through, the tiny
checkpoint 10 ms."""

_SETTLED = 2.0
"""Seconds since a file's last change, after which another change cannot have the same time: the
coarsest clock of a file system in use."""

_FILE = "found.json"


def remembered(
    what: str, path: Path, find: Callable[[Path], Any], sources: dict[str, str] | None = None
) -> Any:
    """``find(path)``, which for a large file is asked again only once the file has changed.

    A file is the same if its device, inode, size, modification and change times are. Content that
    was written within the clock's last tick could change without a trace, and is not remembered.

    Parameters
    ----------
    what
        What is looked for, ``"sha256"``; part of the key.
    path
        In which file.
    find
        Looks; its result is a value that JSON has.
    sources
        The code of `find`, where a change of it could change the result.
    """
    status = os.stat(path)
    names = ("dev", "ino", "size", "mtime_ns", "ctime_ns")
    identity = {name: getattr(status, f"st_{name}") for name in names}
    changed = max(identity["mtime_ns"], identity["ctime_ns"]) / 1e9
    if identity["size"] <= _REMEMBER_ABOVE or time.time() - changed <= _SETTLED:
        return find(path)
    facts = {"what": what, "path": str(path.resolve()), **identity, "sources": sources or {}}

    def save(scratch: Path) -> None:
        (scratch / _FILE).write_text(json.dumps(find(path)))

    def read(entry: Path) -> list[Any] | None:
        try:
            return [read_json(entry / _FILE, "remembered value")]
        except HarnessError:
            return None

    return read_or_make(Recipe("digests", what, facts, brief=str(path)), save, read)[0]
