"""The measurement behind the ledger: the worst counts, and nothing is loosened in silence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fixtures.exports import Line
from harness.budget import ANYTHING, COMMITTED, MEASURING
from harness.budget.ledger import Ledger, Row, Run, committed
from harness.compare import Gate, Oracle, Status, Verdict
from harness.methods import METHODS, Method
from harness.methods.cases import random_cases
from harness.parity.calibrate import measured, merge
from harness.parity.evidence import CaseEvidence
from harness.parity.judges.values import judge_outputs, own_error
from harness.parity.record import run_case

RUN = ("second", Run("2026-11-29", "a machine", "portable", "tiny", 2, 9))
SCOPE = ("mlx", "", "fp32")


def verdict(subject: str, kind: str, *gates: Gate) -> Verdict:
    return Verdict(subject, "random", kind, Status.FAIL, "", gates=gates)


def rows(*verdicts: Verdict, scope: tuple[str, str, str] = SCOPE) -> list[Row]:
    return list(measured(verdicts, scope, committed(), "second"))


def test_a_gate_of_eagers_own_error_is_measured_for_all_methods() -> None:
    (found,) = rows(verdict("codec", "waveform", Gate("RMS of own", 1.25, 2.5)))
    assert (found.table, found.check, found.method, found.measured) == ("own", "rms", "", 1.25)
    assert found.worst == "codec, fp32, random"


def test_where_a_factor_applies_the_least_that_passes_is_measured() -> None:
    gate = Gate("RMS of own", 5.0, 10.0)
    found = rows(verdict("audio_token_embedding", "tensor", gate), scope=("mlx", "", "bf16"))
    assert [(one.table, one.measured) for one in found] == [("factor", 2.0)]


def test_caps_and_the_exact_link_are_measured() -> None:
    found = rows(
        verdict("codec", "tensor", Gate("RMS error, worst call", 1e-6, 1e-5)),
        verdict("codec", "exact", Gate("max abs", 1e-8, 1e-7)),
        verdict("codec", "delegation", Gate("max abs", 1.0, 0.0)),
    )
    assert [(one.table, one.check, one.method) for one in found] == [
        ("cap", "RMS error", "codec"),
        ("exact", "max abs", ""),
    ]


def ledger(allowed: float = 4e-6, run: str = "first") -> Ledger:
    one = Row("cap", "max abs", allowed, 1e-6, "random", run, *SCOPE, "codec")
    return Ledger({run: RUN[1]}, (one,))


def cap(value: float) -> list[Row]:
    return rows(verdict("codec", "tensor", Gate("max abs", value, 1.0)))


def test_only_what_is_worse_than_ever_before_is_kept() -> None:
    better = merge(ledger(), cap(5e-7), RUN)
    worse = merge(ledger(), cap(2e-6), RUN)
    assert better.rows == ledger().rows
    assert [(one.measured, one.run) for one in worse.rows] == [(2e-6, "second")]


def test_an_allowance_that_is_missed_is_raised_with_a_reason_only() -> None:
    (silent,) = merge(ledger(), cap(9e-6), RUN).rows
    (said,) = merge(ledger(), cap(9e-6), RUN, "another compiler").rows
    assert silent.allowed == 4e-6
    assert said.allowed > 9e-6
    assert said.reason == "another compiler"


def test_nothing_is_raised_in_silence_however_often_one_run_is_worse() -> None:
    (found,) = merge(ledger(), [*cap(2e-6), *cap(3e-6)], RUN).rows
    assert (found.measured, found.allowed, found.reason) == (3e-6, 4e-6, "")


def test_a_new_cap_follows_the_worst_of_its_run() -> None:
    (first,) = merge(Ledger({}, ()), cap(1e-5), RUN).rows
    (found,) = merge(Ledger({}, ()), [*cap(5e-6), *cap(1e-5)], RUN).rows
    assert found == first


def test_a_new_cap_is_allowed_what_its_table_may_have() -> None:
    (found,) = merge(Ledger({}, ()), cap(1e-5), RUN).rows
    assert found.measured < found.allowed <= 4e-5


def test_a_lookup_stays_exact() -> None:
    (found,) = merge(Ledger({}, ()), cap(0.0), RUN).rows
    assert found.allowed == 0


def test_what_has_no_allowance_is_measured_all_the_same() -> None:
    assert COMMITTED.of("mlx", "fp8", "codec") is None
    stand_in = MEASURING.of("mlx", "fp8", "codec")
    assert stand_in is not None
    assert stand_in.cap.max_abs == ANYTHING
    assert MEASURING.of("mlx", "fp32", "codec") == COMMITTED.of("mlx", "fp32", "codec")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_an_unseen_seed_raises_no_alarm(
    method: Method, precision: str, parity_in: Callable[[str], Line]
) -> None:
    line = parity_in(precision)
    executor, plan = line.executor(method.artifact), line.plan
    allowed = COMMITTED.of("mlx", precision, method.name)
    for seed in (100_003, 100_019):
        for case in random_cases(method.name, plan.sizes, plan.precision.float_type, seed):
            item = CaseEvidence(case, run_case(line.models.eager, case))
            relative = own_error(line.evidence, method)
            oracle = Oracle(run_case(line.models.exact, case), relative)
            observed = line.observed_on(executor, method, case)
            verdict = judge_outputs(plan, method, item, observed, allowed, oracle)
            assert verdict.status is Status.PASS, f"{case.label}: {verdict.summary}"
