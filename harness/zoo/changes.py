"""What changed from one sweep to another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Changes", "changes"]


class _Found(Protocol):
    """Results of programs in both lowerings: a sweep of operators or of architectures."""

    @property
    def results(self) -> Sequence[Any]: ...

    @property
    def versions(self) -> Mapping[str, str]: ...


@dataclass(frozen=True)
class Changes:
    """Programs whose verdict is another one.

    Attributes
    ----------
    worse, better, other
        Programs that a lowering gets wrong now, no longer, or that ended otherwise.
    versions
        Packages whose version changed, in words.
    new
        Programs that the earlier sweep did not have.
    """

    worse: tuple[str, ...]
    better: tuple[str, ...]
    other: tuple[str, ...]
    versions: tuple[str, ...]
    new: int

    def sentences(self) -> Iterator[str]:
        """One for each change."""
        yield from self.versions
        for kind, texts in (("worse", self.worse), ("better", self.better), ("other", self.other)):
            yield from (f"{kind}: {text}" for text in texts)
        if self.new:
            yield f"{self.new} programs are new"
        if not (self.worse or self.better or self.other):
            yield "no verdict changed"


def changes(before: _Found, after: _Found) -> Changes:
    """Compare the programs that both sweeps have."""
    known = {result.program.key: result for result in before.results}
    worse: list[str] = []
    better: list[str] = []
    other: list[str] = []
    new = 0
    for result in after.results:
        earlier = known.get(result.program.key)
        if earlier is None:
            new += 1
            continue
        for lowering in ("stock", "corrected"):
            was, now = getattr(earlier, lowering), getattr(result, lowering)
            if was.verdict == now.verdict:
                continue
            text = _told(result, lowering, was.verdict, now.verdict)
            kind = other if was.wrong == now.wrong else worse if now.wrong else better
            kind.append(text)
    versions = tuple(
        f"{name} {before.versions.get(name, 'none')} → {version}"
        for name, version in after.versions.items()
        if before.versions.get(name) != version
    )
    return Changes(tuple(worse), tuple(better), tuple(other), versions, new)


def _told(result: Any, lowering: str, was: str, now: str) -> str:
    program = result.program
    return f"{program.target}, {program.pattern}, {lowering}: {was} → {now} ({program.key})"
