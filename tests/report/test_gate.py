"""The gate is red for whatever is missing, empty, damaged, foreign, stale, or not green."""

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.command_line import typed
from harness.compare import Status, Verdict
from harness.compare.verdict import exit_code
from harness.errors import InputError
from harness.fingerprint import Fingerprint
from harness.report import BundleFacts, CheckpointFacts, Reference, Report, to_json
from harness.report.gate import (
    Expectation,
    Expected,
    judge_jobs,
    judge_results,
    read_expectation,
)

COMMIT, OTHER = "c" * 40, "d" * 40
BUNDLE, FOREIGN = "a" * 64, "b" * 64
PACKED = "2026-11-01T12:00:00Z"
NOW = datetime.datetime(2026, 11, 1, 13, 0, tzinfo=datetime.UTC)
METHODS = ("semantic_head", "codec")

EXPECTATION = Expectation(
    COMMIT,
    PACKED,
    tuple(
        Expected("tiny-bf16.bundle", BUNDLE, executor, METHODS)
        for executor in ("portable", "native")
    ),
)

Edit = Callable[[Report], Report]


def passed(subject: str, case: str, kind: str) -> Verdict:
    return Verdict(subject, case, kind, Status.PASS, "equal", elements=3)


def report(executor: str) -> Report:
    verdicts = [passed("delegate", "control", "control")]
    for method, kind in zip(METHODS, ("tensor", "waveform"), strict=True):
        verdicts += [passed(method, "in float64", "exact"), passed(method, "speech", kind)]
    return Report(
        tool_version="1.0",
        started="2026-11-01T12:30:00Z",
        seconds=3.0,
        command="voxtral-parity bundle run",
        checkpoint=CheckpointFacts("tiny", "", ""),
        precision="bf16",
        executor=Fingerprint(executor, "Apple M2 Pro", {}),
        artifacts=(),
        reference=Reference("eager"),
        verdicts=tuple(verdicts),
        bundle=BundleFacts(BUNDLE, COMMIT, PACKED, "2026-11-01T12:20:00Z", "1.0"),
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    for executor in ("portable", "native"):
        write(tmp_path, report(executor))
    return tmp_path


def write(directory: Path, made: Report, name: str = "") -> Path:
    path = directory / (name or f"results-{made.executor.executor}") / "tiny-bf16" / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(to_json(made))
    return path


def native(directory: Path) -> Path:
    return directory / "results-native" / "tiny-bf16" / "result.json"


def gate(directory: Path, commit: str = COMMIT) -> tuple[int, str]:
    """Exit code, and everything that is not green."""
    verdicts = judge_results(EXPECTATION, commit, directory, NOW, "1.0")
    told = [f"{v.case}: {v.summary}" for v in verdicts if v.status is not Status.PASS]
    return exit_code(verdicts), "; ".join(told)


def test_everything_there_is_green(results: Path) -> None:
    assert gate(results) == (0, "")


def with_status(status: Status) -> Edit:
    def edit(made: Report) -> Report:
        bad = Verdict("codec", "speech", "waveform", status, "3 dB off")
        return dataclasses.replace(made, verdicts=(*made.verdicts[:-1], bad))

    return edit


def of_bundle(**changes: str) -> Edit:
    return lambda made: dataclasses.replace(
        made, bundle=dataclasses.replace(made.bundle, **changes)
    )


def changed(**changes: object) -> Edit:
    return lambda made: dataclasses.replace(made, **changes)


def virtual(made: Report) -> Report:
    return dataclasses.replace(made, executor=dataclasses.replace(made.executor, virtual=True))


def only(*kinds: str) -> Edit:
    return lambda made: dataclasses.replace(
        made, verdicts=tuple(v for v in made.verdicts if v.kind in kinds)
    )


@pytest.mark.parametrize(
    ("edit", "code", "said"),
    [
        (with_status(Status.FAIL), 1, "1 of 5 verdicts failed, first codec · speech: 3 dB off"),
        (with_status(Status.UNJUDGED), 2, "1 of 5 verdicts could not be judged"),
        (of_bundle(commit=OTHER), 2, f"it is of commit {OTHER}"),
        (of_bundle(commit=""), 2, "it is of commit none"),
        (of_bundle(sha256=FOREIGN), 2, "which this run did not pack"),
        (changed(bundle=None), 2, "a result of no bundle"),
        (changed(started="2026-11-01T11:30:00Z"), 2, "before the bundle"),
        (changed(started="2026-11-02T12:30:00Z"), 2, "which is not yet"),
        (changed(started="yesterday"), 2, "does not say when"),
        (changed(tool_version="0.9"), 2, "made by voxtral-parity 0.9"),
        (of_bundle(observed="2026-11-01T11:30:00Z"), 2, "it was observed at 2026-11-01T11:30"),
        (of_bundle(observed="2026-11-02T12:30:00Z"), 2, "which is not yet"),
        (of_bundle(observed=""), 2, "does not say when it was observed"),
        (of_bundle(observed_by="0.9"), 2, "it was observed by voxtral-parity 0.9"),
        (of_bundle(observed_by=""), 2, "it was observed by voxtral-parity unknown"),
        (changed(verdicts=()), 2, "no control"),
        (only("tensor", "waveform", "exact"), 2, "no control"),
        (only("control", "exact"), 2, "does not judge semantic_head's outputs"),
        (only("control", "tensor", "waveform"), 2, "does not judge semantic_head's outputs"),
        (virtual, 2, "native: no result"),
    ],
)
def test_a_result_that_does_not_count_is_red(
    results: Path, edit: Edit, code: int, said: str
) -> None:
    write(results, edit(report("native")))

    found, told = gate(results)

    assert found == code
    assert said in told


def test_fewer_verdicts_than_another_executor_has_are_red(results: Path) -> None:
    more = report("portable")
    case = passed("codec", "random", "waveform")
    write(results, dataclasses.replace(more, verdicts=(*more.verdicts, case)))

    assert gate(results) == (
        2,
        "tiny-bf16.bundle on native: results-native/tiny-bf16/result.json: it lacks 1 verdicts "
        "that another executor has, codec · random first",
    )


def truncated(path: Path) -> None:
    path.write_text(path.read_text()[:-400])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (Path.unlink, "no result; the job that runs it did not upload one"),
        (lambda path: path.write_text(""), "not a report"),
        (lambda path: path.write_text("{}"), "not a report"),
        (truncated, "not a report"),
        (lambda path: path.write_bytes(b"\xff\x00" * 100), "not a report"),
    ],
)
def test_a_missing_or_damaged_file_is_red(
    results: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(native(results))

    code, told = gate(results)

    assert code == 2
    assert said in told
    assert "on native: no result" in told


def test_two_results_in_the_place_of_one_are_red(results: Path) -> None:
    write(results, report("native"), "results-again")

    assert "2 results, expected one" in gate(results)[1]


def test_swapped_results_are_red(results: Path) -> None:
    write(results, report("portable"), "results-native")

    assert "on native: no result" in gate(results)[1]


def test_bundles_of_another_commit_are_red(results: Path) -> None:
    code, told = gate(results, OTHER)

    assert code == 2
    assert f"the bundles are of commit {COMMIT}, the gate of {OTHER}" in told


@pytest.mark.parametrize(
    ("result", "code"),
    [("success", 0), ("failure", 1), ("skipped", 2), ("cancelled", 2), ("", 2)],
)
def test_every_job_must_end_well(result: str, code: int) -> None:
    needs = {"lint": {"result": "success"}, "native": {"result": result}}

    assert exit_code(judge_jobs(needs, (), ())) == code


def test_advisory_jobs_do_not_count_and_only_skipped_ones_can_be_off() -> None:
    jobs = {name: {"result": "skipped"} for name in ("native", "hosted")}

    assert exit_code(judge_jobs(jobs, ("hosted",), ("native",))) == 0
    jobs["native"] = {"result": "failure"}
    assert exit_code(judge_jobs(jobs, ("hosted",), ("native",))) == 1
    with pytest.raises(InputError, match="no job is called hostile"):
        judge_jobs(jobs, ("hostile",), ())


def test_a_job_without_a_result_is_red() -> None:
    assert exit_code(judge_jobs({"lint": {}}, (), ())) == 2


def test_an_expectation_is_written_and_read(tmp_path: Path) -> None:
    EXPECTATION.write(tmp_path / "expected.json")

    assert read_expectation(tmp_path / "expected.json") == EXPECTATION


@pytest.mark.parametrize(
    "edit",
    [
        {"schema": "9"},
        {"results": []},
        {"packed": "soon"},
        {"packed": "2026-11-01T12:00:00"},
        {"results": [{"bundle": 1}]},
        {"more": 1},
    ],
)
def test_a_damaged_expectation_is_refused(tmp_path: Path, edit: dict[str, object]) -> None:
    path = tmp_path / "expected.json"
    EXPECTATION.write(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))

    with pytest.raises(InputError, match="does not say which results are expected"):
        read_expectation(path)


@pytest.mark.parametrize("name", ["protable", "auto"])
def test_an_executor_that_is_none_is_not_expected(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(__file__).parents[2] / "fixtures" / "bundles" / "v1.bundle"
    output = tmp_path / "expected.json"
    words = (str(bundle), "--commit", "", "--on", name, "--output", str(output))
    assert typed(monkeypatch, "gate", "expect", *words) == 2
    assert "--on must be one of native, portable" in capsys.readouterr().err
    assert not output.exists()
