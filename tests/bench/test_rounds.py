from __future__ import annotations

import pytest

from harness.bench import rounds
from harness.bench.rounds import alternate


def test_sides_take_turns_and_the_first_round_is_not_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    took = [99.0, 99.0, 1.0, 2.0, 3.0, 4.0]
    clock = iter([moment for seconds in took for moment in (0.0, seconds)])
    monkeypatch.setattr(rounds.time, "perf_counter", lambda: next(clock))
    order: list[str] = []

    taken = alternate({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)

    assert order == ["b", "a", "a", "b", "b", "a"]
    assert taken == {"a": (1.0, 4.0), "b": (2.0, 3.0)}
