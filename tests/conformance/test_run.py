"""Upstream's own tests through the real seam: passed, unsupported, kept, and caught when wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.conformance import suites, trial
from harness.conformance.cases import FAILED, PASSED, UNSUPPORTED, Case, Mode, Outcome
from harness.conformance.report import Report
from harness.conformance.run import Request, run
from harness.conformance.workers import workers
from harness.errors import InputError, MachineError, UnavailableError

SCAN = "gated_delta_rule_b1_t4_h2_dk16_dv16_scan"
GGUF = Case("gguf.linear", "q6_k", 0, "q6_k")
NAMES = (
    "update_and_attend_decode", "tq_norm_b1_h8_t1_d128", "reciprocal", "test_top_p_end_to_end",
    "sum_16_dim0_float32",  # one number, which has no axis
)  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("conformance")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VOXTRAL_PARITY_CACHE", str(root))
        yield root


@pytest.fixture(scope="module")
def first(cache: Path) -> Report:
    return run(Request(NAMES, jobs=1))


def test_our_executor_passes_upstreams_tests(first: Report) -> None:
    found = {outcome.case.name: outcome.status for outcome in first.outcomes}
    assert found.pop("tq_norm_b1_h8_t1_d128") == UNSUPPORTED
    assert found["update_and_attend_decode"] == PASSED
    assert set(found.values()) == {PASSED}
    assert first.exit_code == 0


@pytest.mark.slow
def test_upstreams_chatter_stays_off_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    with workers(1) as do:
        (listing,) = do([(trial.listed, (Mode(),))], 600.0)
    assert len(listing.result) > 1000
    assert capfd.readouterr().err == ""


def test_what_cannot_run_here_says_why(first: Report) -> None:
    (metal,) = [outcome for outcome in first.outcomes if outcome.status == UNSUPPORTED]
    assert "not supported here: a Metal kernel" in metal.reason


def attempted(
    monkeypatch: pytest.MonkeyPatch, folder: Path, error: BaseException, case: Case = GGUF
) -> Outcome:
    def needs(case: Case) -> object:
        raise error

    monkeypatch.setattr(trial, "_prepare", lambda mode: SimpleNamespace())
    monkeypatch.setattr(suites, "instance", needs)
    return trial.tried(case, str(folder), None, Mode())


def test_a_test_that_needs_another_package_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ModuleNotFoundError("No module named 'gguf'", name="gguf")
    outcome = attempted(monkeypatch, tmp_path, absent)
    assert (outcome.status, outcome.need) == (UNSUPPORTED, "gguf")
    assert outcome.reason == "it needs gguf: python -m pip install --group conformance"


def test_a_module_that_nobody_said_may_be_missing_fails_its_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = ModuleNotFoundError("No module named 'executorch.exir'", name="executorch.exir")
    outcome = attempted(monkeypatch, tmp_path, absent)
    assert (outcome.status, outcome.need) == (FAILED, "")


@pytest.mark.parametrize("error", [MemoryError(), MachineError("no space left")])
def test_what_the_machine_does_is_no_failure_of_a_case_and_is_not_expected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    outcome = attempted(monkeypatch, tmp_path, error)
    assert (outcome.status, outcome.need) == (UNSUPPORTED, "")
    assert outcome.reason.startswith("this machine failed: ")


def test_a_missing_component_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnavailableError, match="no BLAS"):
        attempted(monkeypatch, tmp_path, UnavailableError("no BLAS"))


def test_too_many_jobs_are_refused_before_the_work() -> None:
    with pytest.raises(InputError, match=r"--jobs must be at most \d+, .* \(got 1000\)"):
        run(Request(NAMES, jobs=1000))


def test_a_class_is_lowered_once_and_a_wrong_answer_is_caught(first: Report, cache: Path) -> None:
    assert first.cached == 0
    (kept,) = (cache / "store" / "conformance").glob("ops.reciprocal-*")
    wanted = kept / "0" / "expected_output.bin"
    octets = bytearray(wanted.read_bytes())
    octets[-1] ^= 0x80  # the sign of the last number
    wanted.write_bytes(octets)
    damaged = run(Request(("reciprocal",), jobs=1))
    assert damaged.cached == len(damaged.outcomes) > 1
    assert damaged.counts[PASSED] == damaged.cached - 1
    assert damaged.exit_code == 1
    wrong = damaged.outcomes[0]
    assert wrong.status == FAILED
    assert "✗ FAILED: Output 0 values do not match: max_diff=" in wrong.reason
