from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fixtures.command_line import typed
from harness.compare import Gate, Status, Verdict
from harness.fingerprint import Fingerprint
from harness.report import Report, write_json
from harness.report.diff import compare
from harness.report.diff_console import print_difference
from harness.report.diff_page import to_difference_page
from tests.report.test_page import text_of

Runs = Callable[..., Report]

PASS, FAIL, UNJUDGED = Status.PASS, Status.FAIL, Status.UNJUDGED


def verdict(
    status: Status = PASS, value: float = 0.5, case: str = "speech", **more: object
) -> Verdict:
    gate = Gate("max abs", value, 1.0, "of scale")
    return Verdict("codec", case, "tensor", status, "it said so", {}, (gate,), 7, **more)  # type: ignore[arg-type]


@pytest.fixture
def run(green: Report) -> Runs:
    return lambda *verdicts, **changed: dataclasses.replace(green, verdicts=verdicts, **changed)


def told(before: Report, after: Report) -> str:
    out = io.StringIO()
    print_difference(compare(before, after), Console(file=out, width=140))
    return out.getvalue()


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ([verdict()], [verdict()], False),
        ([verdict()], [verdict(FAIL, 2)], True),
        ([verdict()], [verdict(UNJUDGED)], True),
        ([verdict()], [], True),
        ([verdict(UNJUDGED)], [verdict(FAIL, 2)], True),
        ([verdict(UNJUDGED)], [verdict()], False),
        ([verdict(FAIL, 2)], [verdict(UNJUDGED)], False),
        ([verdict(FAIL, 2)], [verdict()], False),
        ([verdict(FAIL, 2)], [], False),
        ([verdict(UNJUDGED)], [], False),
        ([], [verdict(FAIL, 2)], True),
        ([], [verdict(UNJUDGED)], False),
        ([], [verdict()], False),
        ([verdict(value=0.1)], [verdict(value=0.99)], False),
    ],
)
def test_what_is_worse(run: Runs, before: list[Verdict], after: list[Verdict], worse: bool) -> None:
    other = verdict(case="judged in both")
    found = compare(run(*before, other), run(*after, other))
    assert bool(found.worse) == worse
    assert found.exit_code == int(worse)


GAIN = Gate("gain error", 0.1, 1.0)


@pytest.mark.parametrize(
    ("changed", "said", "worse"),
    [
        ({"elements": 3}, "elements compared: 7 → 3", True),
        ({"elements": 9}, "elements compared: 7 → 9", False),
        ({"gates": (GAIN,)}, "gate gone: max abs; gate new: gain error", True),
        ({"gates": (*verdict().gates, GAIN)}, "gate new: gain error", False),
        ({"status": FAIL, "elements": 3}, "elements compared: 7 → 3", True),
    ],
)
def test_a_pass_that_compares_less_is_worse(
    run: Runs, changed: dict[str, Any], said: str, worse: bool
) -> None:
    before, after = run(verdict()), run(dataclasses.replace(verdict(), **changed))
    found = compare(before, after)
    assert found.exit_code == int(worse)
    text = told(before, after)
    assert said in " ".join(text.split())
    assert "1 with other elements or gates; 0 as before" in " ".join(text.split())
    assert said in text_of(to_difference_page(found))


def test_what_failed_may_compare_less(run: Runs) -> None:
    broken = dataclasses.replace(verdict(FAIL), gates=(Gate("non-finite", 3, 0),), elements=9)
    found = compare(run(broken), run(verdict()))
    assert found.exit_code == 0
    assert found.otherwise == found.better


@pytest.mark.parametrize("nothing", [[], [verdict(UNJUDGED)]])
def test_a_run_that_judged_nothing_is_exit_code_2(run: Runs, nothing: list[Verdict]) -> None:
    for before, after, said in (
        (nothing, [verdict()], "the earlier run judged nothing"),
        ([verdict()], nothing, "the later run judged nothing"),
        (nothing, nothing, "the earlier run and the later run judged nothing"),
    ):
        found = compare(run(*before), run(*after))
        assert found.exit_code == 2
        assert said in told(run(*before), run(*after))
        assert f"voxtral-parity diff: {said}" in text_of(to_difference_page(found))


def test_another_command_is_told_but_not_another_file(run: Runs) -> None:
    before, same, other = (
        run(verdict(), command=f"voxtral-parity check {words}")
        for words in ("--json a.json", "--report=b", "--max-seq-len 64 --json a.json")
    )
    assert compare(before, same).settings == ()
    (setting,) = compare(before, other).settings
    assert setting.after == "voxtral-parity check --max-seq-len 64"


def test_a_verdict_whose_kind_changed_is_the_same_one(run: Runs) -> None:
    refused = Verdict("codec", "speech", "execution", FAIL, "lowered, but does not run")
    (pair,) = compare(run(verdict()), run(refused)).pairs
    assert pair.worse
    assert pair.moves == ()


def test_two_verdicts_of_one_name_are_not_mixed(run: Runs) -> None:
    found = compare(run(verdict(), verdict(FAIL, 3)), run(verdict(), verdict(FAIL, 3)))
    assert len(found.pairs) == 2
    assert found.moved == ()


def test_moves_are_shares_of_the_earlier_budget(run: Runs) -> None:
    wider = dataclasses.replace(verdict(), gates=(Gate("max abs", 0.75, 10.0, "of scale"),))
    found = compare(run(verdict(value=0.5)), run(wider))
    assert found.moved[0].moves[0].by == pytest.approx(0.25)
    assert "max abs (allowed 1 → 10)" in told(run(verdict(value=0.5)), run(wider))


def test_what_grew_most_comes_first_and_what_hardly_moved_is_left_out(run: Runs) -> None:
    values = {"a": (0.5, 0.505), "b": (0.9, 0.1), "c": (0.1, 0.2), "d": (0.2, 0.6)}
    before = run(*(verdict(value=old, case=case) for case, (old, _) in values.items()))
    after = run(*(verdict(value=new, case=case) for case, (_, new) in values.items()))
    assert [pair.verdict.case for pair in compare(before, after).moved] == ["d", "c", "b"]


@pytest.mark.parametrize(("old", "new"), [(0.5, math.nan), (0.5, math.inf), (math.inf, 0.5)])
def test_what_is_not_finite_moved(run: Runs, old: float, new: float) -> None:
    pair = [verdict(PASS if value < 1 else FAIL, value) for value in (old, new)]
    assert len(compare(run(pair[0]), run(pair[1])).moved) == 1


def test_infinity_twice_did_not_move(run: Runs) -> None:
    exact = dataclasses.replace(verdict(FAIL), gates=(Gate("equal", 3, 0),))
    assert compare(run(exact), run(exact)).moved == ()


def test_what_changed_with_it_is_named(run: Runs) -> None:
    before, after = run(verdict()), run(verdict(FAIL, 4.0, next="voxtral-parity localize codec"))
    executor = Fingerprint(
        "native", "Apple M4", {**before.executor.versions, "mlx": "0.33.0"}, regime="tf32-class"
    )
    artifact = dataclasses.replace(before.artifacts[0], sha256="ab" * 32)
    after = dataclasses.replace(
        after, executor=executor, artifacts=(artifact, *before.artifacts[1:])
    )
    found = {s.name: (s.before, s.after) for s in compare(before, after).settings}
    assert found.pop("notes of the executor")[1] == ""
    assert found == {
        "executor": ("portable", "native"),
        "device": ("x86_64 CPU, 2 cores", "Apple M4"),
        "regime": ("unmeasured", "tf32-class"),
        "version of mlx": ("0.32.4", "0.33.0"),
        "model.pte (sha256)": ("5e" * 8 + ", 15,204,352 bytes", "ab" * 8 + ", 15,204,352 bytes"),
    }
    said = told(before, after)
    assert "WORSE codec · speech  pass → fail" in said
    assert "max abs: 50% of its budget before, 400% now" in said
    assert "next: voxtral-parity localize codec" in said
    assert "0.33.0" in said
    assert "1 verdict became worse, 0 better; 1 moved by 1% of their budget or more; 0 new" in said
    page = to_difference_page(compare(before, after))
    assert text_of(page).startswith("voxtral-parity diff: 1 verdict became worse")
    for part in ("codec · speech: pass → fail", "version of mlx 0.32.4 0.33.0", "+350%"):
        assert part in text_of(page)


def test_two_runs_alike_say_so(green: Report) -> None:
    said = told(green, green)
    assert "Command, checkpoint, versions, regime and artifacts are the same." in said
    assert "6 as before → exit code 0" in said


def test_the_command_compares_files_and_directories(
    green: Report, red: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_json(green, tmp_path / "green" / "report.json")
    write_json(red, tmp_path / "red.json")
    a, b, page = (str(tmp_path / name) for name in ("green", "red.json", "page.html"))
    assert typed(monkeypatch, "diff", a, b, "--html", page) == 1
    assert "8 verdicts became worse" in capsys.readouterr().out
    assert Path(page).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert typed(monkeypatch, "diff", b, a) == 0
    assert "8 new" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", "\x00"])
def test_what_is_no_report_is_exit_code_2(
    content: str | None, green: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write_json(green, tmp_path / "a.json")
    if content is not None:
        (tmp_path / "b.json").write_text(content)
    told_files = (str(tmp_path / "a.json"), str(tmp_path / "b.json"))
    assert typed(monkeypatch, "diff", *told_files, "--html", str(tmp_path / "d.html")) == 2
    assert "b.json" in capsys.readouterr().err
    assert not (tmp_path / "d.html").exists()
