"""Goldens and earlier reports that are damaged, absurd, or lie."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.case import ANY, EITHER, REFUSED, Case, Desk
from tests.hostile.world import ROOT

__all__ = ["cases"]

_CONTENTS: dict[str, bytes | str] = {
    "empty": "",
    "no JSON": "{",
    "a list": "[]",
    "null": "null",
    "empty object": "{}",
    "UTF-16": "{}".encode("utf-16"),
    "byte-order mark": b"\xef\xbb\xbf{}",
    "Latin 1": b'{"a": "\xe9"}',
    "deeply nested": "[" * 200_000,
    "5,000 digits": '{"version": ' + "9" * 5000 + "}",
    "NaN": '{"version": NaN}',
    "long text": '{"format": "' + "x" * 1_000_000 + '"}',
    "control characters": '{"format": "\\u001b[31m\\u0000"}',
    "zeros": bytes(4096),
}

_WRONG: dict[str, Any] = {
    "null": None,
    "text": "much",
    "minus one": -1,
    "1e400": float("inf"),
    "list": [],
    "2**70": 2**70,
}

_GOLDEN = Path("golden", "tiny", "codec", "fp32", "exact-f32.json")


def _golden_fields() -> Iterator[tuple[str, ...]]:
    """Every field of a golden, and some of its statistics."""
    golden = json.loads((ROOT / _GOLDEN).read_text(encoding="utf-8"))
    yield from ((name,) for name in golden)
    for outer in ("key", "inputs", "versions"):
        yield from ((outer, name) for name in list(golden[outer])[:1])
    yield from (("statistics", name) for name in ("peak", "frames", "band_dbfs", "pcm_sha256"))


_BENCHMARK = {
    "schema": "1",
    "kind": "benchmark",
    "subject": {},
    "contenders": [],
}


def cases() -> Iterator[Case]:
    """A damaged golden is never passed over; a damaged report is never compared with."""
    for name, content in _CONTENTS.items():
        yield Case(
            "document", f"golden list {name}", _golden_of(content, "list"), REFUSED, fresh=True
        )
        yield Case("document", f"bench speech --against {name}", _against(content), REFUSED)
        yield Case("document", f"old report {name}", _over(content), EITHER)
    for path in _golden_fields():
        for name, value in _WRONG.items():
            edit = _edited(path, value)
            label = f"golden list {'.'.join(path)} {name}"
            yield Case("document", label, _golden_of(edit, "list"), EITHER, fresh=True)
    for label, path, value in (
        ("peak 0.123", ("statistics", "peak"), 0.123),
        ("peak 1e400", ("statistics", "peak"), float("inf")),
        ("duration 9", ("statistics", "duration"), 9.0),
        ("codes short", ("codes",), [[1] * 37]),
        ("empty", (), None),
    ):  # fmt: skip
        content: Any = "" if not path else _edited(path, value)
        set_up = _golden_of(content, "check")
        yield Case("document", f"golden check {label}", set_up, {1, 2}, 30, fresh=True)
    yield Case("document", "golden check stray file", _stray_golden, ANY, 30, fresh=True)
    for name, value in _WRONG.items():
        for key in _BENCHMARK:
            text = json.dumps({**_BENCHMARK, key: value})
            yield Case("document", f"bench speech --against {key} {name}", _against(text), REFUSED)


def _edited(path: tuple[str, ...], value: Any) -> Callable[[str], str]:
    def edit(text: str) -> str:
        document = json.loads(text)
        inner = document
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return json.dumps(document)

    return edit


def _golden_of(
    content: bytes | str | Callable[[str], str], command: str
) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        root = desk.goldens()
        file = root.parent / _GOLDEN
        made = content(file.read_text()) if callable(content) else content
        file.write_bytes(made if isinstance(made, bytes) else made.encode())
        return ["golden", command]

    return set_up


def _stray_golden(desk: Desk) -> list[str]:
    root = desk.goldens()
    stray = (root.parent / _GOLDEN).with_name("na\udcefve\n.json")
    stray.write_text("{}")
    return ["golden", "check"]


def _against(content: bytes | str) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        file = desk.path("before.json")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        words = ["bench", "speech", "--runs", "1", "--max-new-tokens", "2", "--against", str(file)]
        return [*words, "--json", str(desk.old_report())]

    return set_up


def _over(content: bytes | str) -> Callable[[Desk], list[str]]:
    """Whatever lies at --json is replaced, not read."""

    def set_up(desk: Desk) -> list[str]:
        file = desk.path("report.json")
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        desk.reports.append(file)
        program = str(desk.world.artifacts / "codec_decoder.pte")
        return ["inspect", program, "--json", str(file)]

    return set_up
