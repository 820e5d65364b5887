"""The time of the links is taken from a real check."""

from __future__ import annotations

import pytest

from harness.bench.linking import LIMIT, LinkTime, bench_links


@pytest.mark.slow
def test_both_links_are_timed() -> None:
    (found,) = bench_links(("fp32",), rounds=1)
    assert 0.0 < found.links < found.total


def test_the_ratio_is_of_the_check_without_the_links() -> None:
    assert LinkTime("fp32", 5.0, 3.0).ratio == LIMIT
    assert LinkTime("fp32", 5.0, 3.0).met
    assert not LinkTime("fp32", 5.0, 3.1).met
