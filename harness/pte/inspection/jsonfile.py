"""What is in a `.pte` as JSON; docs/inspect-schema.md describes it."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from harness.pte.inspection.model import Contents

__all__ = ["to_json"]

SCHEMA = "2"


def to_json(contents: Contents) -> str:
    """`contents` as strict JSON."""
    content = {"schema": SCHEMA, **_plain(contents)}
    for method, written in zip(contents.methods, content["methods"], strict=True):
        written |= {"kernel_calls": method.kernel_calls, "coverage": method.coverage}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, Path):
        return value.name
    if isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    return value
