"""Upstream's own tests through the real seam: passed, unsupported, kept, and caught when wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.conformance import (
    FAILED,
    PASSED,
    UNSUPPORTED,
    Case,
    Report,
    Request,
    run,
    suites,
    trial,
)

SCAN = "gated_delta_rule_b1_t4_h2_dk16_dv16_scan"
NAMES = ("update_and_attend_decode", "tq_norm_b1_h8_t1_d128", "reciprocal")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("conformance")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXTRAL_PARITY_CACHE", str(root))
        yield root


@pytest.fixture(scope="module")
def first(cache: Path) -> Report:
    return run(Request(NAMES))


def test_our_executor_passes_upstreams_tests(first: Report) -> None:
    found = {outcome.case.name: outcome.status for outcome in first.outcomes}
    assert found.pop("tq_norm_b1_h8_t1_d128") == UNSUPPORTED
    assert found["update_and_attend_decode"] == PASSED
    assert set(found.values()) == {PASSED}
    assert first.exit_code == 0


def test_what_cannot_run_here_says_why(first: Report) -> None:
    (metal,) = [outcome for outcome in first.outcomes if outcome.status == UNSUPPORTED]
    assert "not supported here: a Metal kernel" in metal.reason


def test_a_test_that_needs_another_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needs(case: Case) -> object:
        raise ModuleNotFoundError("No module named 'gguf'", name="gguf")

    monkeypatch.setattr(trial, "_prepare", lambda: SimpleNamespace())
    monkeypatch.setattr(suites, "instance", needs)
    outcome = trial.tried(Case("gguf.linear", "q6_k", 0, "q6_k"), str(tmp_path), None, trial.Mode())
    assert (outcome.status, outcome.reason) == (
        UNSUPPORTED,
        "it needs gguf, which is not installed",
    )


def test_a_class_is_lowered_once_and_a_wrong_answer_is_caught(first: Report, cache: Path) -> None:
    assert first.cached == 0
    (kept,) = (cache / "store" / "conformance").glob("ops.reciprocal-*")
    again = run(Request(("reciprocal",)))
    assert again.cached == len(again.outcomes) > 0
    assert again.counts[PASSED] == again.cached
    wanted = kept / "0" / "expected_output.bin"
    octets = bytearray(wanted.read_bytes())
    octets[-1] ^= 0x80  # the sign of the last number
    wanted.write_bytes(octets)
    damaged = run(Request(("reciprocal",)))
    assert damaged.exit_code == 1
    wrong = damaged.outcomes[0]
    assert wrong.status == FAILED
    assert "✗ FAILED: Output 0 values do not match: max_diff=" in wrong.reason
