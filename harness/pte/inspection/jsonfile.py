"""What is in a `.pte` as JSON; docs/inspect-schema.md describes it."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from harness.pte.inspection.model import Contents, MethodContents

__all__ = ["to_json"]

SCHEMA = "2"


def to_json(contents: Contents, *, instructions: bool = True) -> str:
    """`contents` as strict JSON.

    Parameters
    ----------
    instructions
        Whether to list what each method does, step by step.
    """
    content = {"schema": SCHEMA, **_plain(contents)}
    content["path"] = contents.path.name
    content["data"] = [path.name for path in contents.data]
    for method, written in zip(contents.methods, content["methods"], strict=True):
        written |= {"kernel_calls": method.kernel_calls, "coverage": method.coverage}
        if not instructions:
            _shorten(method, written)
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _shorten(method: MethodContents, written: dict[str, Any]) -> None:
    """Leave out the lists of steps; how many there are of each kind stays."""
    del written["instructions"]
    for delegate, short in zip(method.delegates, written["delegates"], strict=True):
        if delegate.chains is None:
            continue
        counts: dict[str, int] = {}
        for node in delegate.chains.get("main", ()):
            counts[node.op] = counts.get(node.op, 0) + 1
        short["chains"] = None
        short["node_counts"] = dict(sorted(counts.items()))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (Path, bytes)):
        return str(value)
    return value
