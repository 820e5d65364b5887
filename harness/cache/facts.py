"""What an entry was made from, as JSON: its key, and how two of them differ.

Facts are a tree of JSON values. Long ones (weights, sources) go in as ``sha256:<hex>``, which a
difference then reports as "changed" instead of spelling out.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Facts", "differences", "digest_of", "key_of", "nearest", "source_facts"]

Facts = Mapping[str, Any]

_KEY_DIGITS = 24
"""96 bits: no two entries meet by chance."""

_NAMED = 4
"""Changed sources that a message names; the rest are counted."""

_HASHED = "sha256:"


def digest_of(content: bytes) -> str:
    """A long fact, shortened: ``sha256:<hex>``."""
    return _HASHED + hashlib.sha256(content).hexdigest()


def source_facts(files: Mapping[str, bytes]) -> dict[str, str]:
    """Digest of each source file's content, by its name; line endings aside."""
    return {name: digest_of(files[name].replace(b"\r", b"")) for name in sorted(files)}


def key_of(facts: Facts) -> str:
    """Hex digest over every fact."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_KEY_DIGITS]


def nearest(facts: Facts, others: Iterable[Facts]) -> Facts | None:
    """The one of `others` that differs in the fewest facts; of several, the first."""
    return min(others, key=lambda other: len(_changed(facts, other)), default=None)


def differences(old: Facts, new: Facts) -> str:
    """How `new` differs from `old`, in words: ``max_seq_len 128 → 256, sources changed: a.py``."""
    before, after = _leaves(old), _leaves(new)
    parts: list[str] = []
    sources: list[str] = []
    for path in _changed(old, new):
        was, now = before.get(path), after.get(path)
        if path[0] == "sources" and len(path) > 1:
            sources.append(("+" if was is None else "−" if now is None else "") + path[-1])
        elif any(isinstance(value, str) and value.startswith(_HASHED) for value in (was, now)):
            parts.append(f"{path[-1]} changed")
        else:
            parts.append(f"{path[-1]} {_word(was)} → {_word(now)}")
    if sources:
        more = f" and {len(sources) - _NAMED} more" if len(sources) > _NAMED else ""
        parts.append(f"sources changed: {', '.join(sources[:_NAMED])}{more}")
    return ", ".join(parts)


def _leaves(facts: Facts, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in facts.items():
        here = (*path, name)
        if isinstance(value, Mapping) and value:
            found |= _leaves(value, here)
        else:
            found[here] = value
    return found


def _changed(old: Facts, new: Facts) -> list[tuple[str, ...]]:
    """Paths of the facts that differ, in the order of `new`, then those only in `old`."""
    before, after = _leaves(old), _leaves(new)
    paths = dict.fromkeys((*after, *before))
    return [path for path in paths if before.get(path, ...) != after.get(path, ...)]


def _word(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value)) or "none"
    return str(value)
