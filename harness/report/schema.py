"""The JSON form of a report as JSON Schema, made from the dataclasses: docs/report-schema.json.

``python -m harness.report.schema > docs/report-schema.json`` writes it again.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

from harness.compare.verdict import Gate, Status, Verdict
from harness.report.model import SCHEMA, Report

__all__ = ["json_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"

_DERIVED: Mapping[type, Mapping[str, Any]] = {
    Report: {
        "exit_code": {"enum": [0, 1, 2]},
        "counts": {
            "type": "object",
            "properties": {str(status): {"type": "integer", "minimum": 0} for status in Status},
            "required": [str(status) for status in Status],
            "additionalProperties": False,
        },
    },
    Verdict: {"headroom_used": {"$ref": "#/$defs/number"}},
    Gate: {"headroom_used": {"$ref": "#/$defs/number"}, "passed": {"type": "boolean"}},
}
"""Fields that `to_json` adds."""

_PLAIN = {str: "string", bool: "boolean", int: "integer", type(None): "null"}

_NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["inf", "-inf", "nan"]}]}

_METRIC = {
    "anyOf": [
        {"type": ["number", "string", "boolean"]},
        {"type": "array", "items": {"$ref": "#/$defs/metric"}},
    ]
}


def json_schema(*, strict: bool = False) -> dict[str, Any]:
    """The schema of what `harness.report.to_json` writes.

    Parameters
    ----------
    strict
        Whether fields that this version does not have are refused. They are not by default: later
        versions may add some.
    """
    defs: dict[str, Any] = {"number": _NUMBER, "metric": _METRIC}
    _of(Report, defs, strict)
    report = defs.pop("Report")
    report["properties"]["schema"] = {"const": SCHEMA}
    return {
        "$schema": _DRAFT,
        "title": "A report of voxtral-parity",
        "description": "docs/report-schema.md says what each field means.",
        **report,
        "$defs": dict(sorted(defs.items())),
    }


def _of(kind: Any, defs: dict[str, Any], strict: bool) -> dict[str, Any]:
    """The schema of one annotation; dataclasses are added to `defs`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if {bool, int, float, str} <= set(arguments):  # a `Metric`, which refers to itself
            return {"$ref": "#/$defs/metric"}
        return {"anyOf": [_of(one, defs, strict) for one in arguments]}
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], defs, strict)}
    if origin is not None and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": _of(arguments[1], defs, strict)}
    if dataclasses.is_dataclass(kind):
        name = kind.__name__ if isinstance(kind, type) else str(kind)
        if name not in defs:
            defs[name] = {}
            defs[name] = _object(kind, defs, strict)
        return {"$ref": f"#/$defs/{name}"}
    if kind is float:
        return {"$ref": "#/$defs/number"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    return {"type": _PLAIN[kind]}


def _object(kind: Any, defs: dict[str, Any], strict: bool) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    properties = {field.name: _of(hints[field.name], defs, strict) for field in fields}
    properties |= _DERIVED.get(kind, {})
    return {
        "type": "object",
        "properties": properties,
        # What came later has a default, and earlier reports of the same version lack it.
        "required": [
            *(f.name for f in fields if not _defaulted(f) or f.name in _ALWAYS),
            *_DERIVED.get(kind, {}),
        ],
        **({"additionalProperties": False} if strict else {}),
    }


_ALWAYS = {"schema", "notes", "metrics", "gates", "elements", "unit", "where", "choices"}
"""Fields with a default that version 2 always had."""


def _defaulted(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
