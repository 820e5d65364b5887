"""Architectures in processes: each case by itself; results kept, put together, compared, shown."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.architectures import cured, judged
from fixtures.command_line import typed
from harness.conformance.workers import Do, Done, Task
from harness.errors import InputError
from harness.zoo import spread
from harness.zoo import sweep as operators
from harness.zoo.architectures.page import page, summary
from harness.zoo.architectures.sweep import (
    Program,
    Request,
    Result,
    Sweep,
    merged,
    read_sweep,
    run,
    write_sweep,
)
from harness.zoo.changes import changes
from harness.zoo.trial import Outcome, Verdict

WHOLE, PARTLY = Outcome(Verdict.RIGHT), Outcome(Verdict.OUTSIDE, "aten::gather.out")
WRONG = Outcome(Verdict.WRONG, "aten.index.Tensor (modeling.py, line 3: x[i | j])")
LLAMA = Program("llama", "decoder", "fp32", "decode")
VIT = Program("vit", "vision", "bf16", "forward")
VERSIONS = {"transformers": "5.24.0", "torch": "2.13.0"}
BOTH = Sweep(
    (Result(LLAMA, WRONG, WHOLE, ("descending",)), Result(VIT, PARTLY, PARTLY)),
    VERSIONS,
    "2026-01-02",
)


NAMES = ("llama", "gpt2", "opt")
"""What `fixtures.architectures.judged` makes die, hang and raise."""


def told(found: Sweep) -> dict[str, str]:
    """Details of those that do not come back; all others are whole."""
    assert all(result.stock == result.corrected for result in found.results)
    stock = {result.program.key: result.stock for result in found.results}
    failed = {key: outcome for key, outcome in stock.items() if outcome != WHOLE}
    assert {outcome.verdict for outcome in failed.values()} == {Verdict.NOT_JUDGED}
    return {key: outcome.detail for key, outcome in failed.items()}


@pytest.mark.slow
def test_a_dead_process_a_hang_and_an_error_cost_one_case_each() -> None:
    found = told(run(Request(NAMES, ("fp32",), jobs=2, timeout=30.0), judge=judged))
    assert found == {
        f"{name} fp32 {phase}": fault
        for name, fault in zip(
            NAMES,
            (
                "its process died (exit 3)",
                "took too long and was stopped",
                "ValueError: no such thing",
            ),
            strict=True,
        )
        for phase in ("prefill", "decode")
    }


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[int, str]:
    """Cases are done in this process; the faults of those that are not, by number."""
    faults: dict[int, str] = {}

    @contextmanager
    def workers(jobs: int) -> Iterator[Do]:
        def do(tasks: Sequence[Task], timeout: float) -> Iterator[Done]:
            for number, (function, arguments) in reversed(list(enumerate(tasks))):
                fault = faults.get(number, "")
                yield Done(number, None if fault else function(*arguments), fault)

        yield do

    monkeypatch.setattr(spread, "workers", workers)
    return faults


def test_a_case_that_does_not_come_back_costs_no_other(here: dict[int, str]) -> None:
    here |= {0: "crashed (signal 11)", 3: "took too long and was stopped"}
    found = run(Request(("vit", "bert", "deit"), timeout=30.0), judge=judged)
    assert told(found) == {
        "bert fp32 forward": "its process crashed (signal 11)",
        "deit bf16 forward": "took too long and was stopped",
    }


def test_shards_are_parts_of_the_whole(here: dict[int, str]) -> None:
    request = Request(("whisper", "vit"), shard=(1, 2))
    one = run(request, judge=judged, cure=cured)
    other = run(replace(request, shard=(2, 2)), judge=judged, cure=cured)
    assert {r.program for r in one.results}.isdisjoint(r.program for r in other.results)
    whole = merged([other, one])
    assert [r.program.target for r in whole.results] == ["vit"] * 2 + ["whisper"] * 4
    assert {r.stock.verdict for r in whole.results[2:]} == {Verdict.WRONG}
    with pytest.raises(InputError, match="same versions"):
        merged([one, replace(other, versions={"torch": "3"})])


def test_a_sweep_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_sweep(BOTH, tmp_path / "zoo.json")
    assert read_sweep(tmp_path / "zoo.json") == BOTH
    for text in ('{"programs": [{}]}', '{"format": 3, "programs": []}'):
        (tmp_path / "zoo.json").write_text(text)
        with pytest.raises(InputError, match="--architectures all --json"):
            read_sweep(tmp_path / "zoo.json")


def test_an_earlier_sweep_is_read_in_todays_words(tmp_path: Path) -> None:
    lacking = Outcome(Verdict.LACKS_KERNEL, "aten::polar.out")
    for earlier in (Verdict.CANNOT_RUN, Verdict.OUTSIDE):  # of architectures, and of operators
        told = Outcome(earlier, "the wheel's runtime has no kernel aten::polar.out")
        write_sweep(Sweep((Result(LLAMA, told, WHOLE),), VERSIONS, "2026-01-02"), tmp_path / "1")
        text = (tmp_path / "1").read_text().replace('"format": 2, ', "")
        (tmp_path / "1").write_text(text)
        before = read_sweep(tmp_path / "1")
        assert before.results == (Result(LLAMA, lacking, WHOLE),)
        now = replace(before, results=(Result(LLAMA, lacking, WHOLE, ("copy-broadcast",)),))
        assert list(changes(before, now).sentences()) == ["no verdict changed"]


def test_the_committed_sweeps_are_read() -> None:
    docs = Path(__file__).parents[3] / "docs"
    for read, name in ((read_sweep, "zoo-architectures"), (operators.read_sweep, "zoo")):
        found = read(docs / f"{name}.json")  # type: ignore[operator]
        details = {outcome.detail for r in found.results for outcome in (r.stock, r.corrected)}
        assert not [text for text in details if "the wheel's runtime" in text]


def test_what_became_worse_is_told() -> None:
    now = replace(BOTH, results=(Result(LLAMA, WRONG, WRONG), BOTH.results[1]))
    found = changes(BOTH, now)
    assert found.worse == ("llama, fp32, decode, corrected: right → wrong (llama fp32 decode)",)
    assert list(changes(BOTH, BOTH).sentences()) == ["no verdict changed"]


def test_the_page_has_a_row_for_each_program_and_says_why() -> None:
    text = page(BOTH)
    assert "2 architectures, 2 programs, 2026-01-02, transformers 5.24.0, torch 2.13.0." in text
    assert "| llama | decode | **wrong** | whole |  |  | descending |" in text
    assert "| vit | forward |  |  | partly | partly |  |" in text
    assert "| vit | forward | bf16 stock, bf16 corrected | partly: aten::gather.out |" in text
    assert "x[i \\| j]" in text
    assert "fp32, stock: 1 **wrong**" in list(summary(BOTH))


def test_only_what_more_comes_of_with_corrections_is_cured(here: dict[int, str]) -> None:
    found = run(Request(("whisper", "vit"), ("fp32",)), judge=judged, cure=cured)
    assert {r.program.target: r.cure for r in found.results} == {
        "whisper": ("descending",),
        "vit": (),
    }


def test_a_search_that_does_not_end_costs_no_outcome(here: dict[int, str]) -> None:
    here |= {0: "took too long and was stopped"}  # the first case, and then the first search
    request = Request(("vit", "whisper"), ("fp32",))
    _, *results = run(request, judge=judged, cure=cured).results
    assert [(r.corrected, r.cure) for r in results] == [(WHOLE, ()), (WHOLE, ("descending",))]


@pytest.mark.parametrize(
    ("stock", "corrected", "better"),
    [
        (Verdict.WRONG, Verdict.OUTSIDE, True),
        (Verdict.OUTSIDE, Verdict.RIGHT, True),
        (Verdict.CANNOT_RUN, Verdict.LACKS_KERNEL, True),
        (Verdict.CANNOT_RUN, Verdict.WRONG, False),
        (Verdict.RIGHT, Verdict.OUTSIDE, False),
        (Verdict.WRONG, Verdict.NOT_JUDGED, False),
        (Verdict.NOT_JUDGED, Verdict.RIGHT, False),
    ],
)
def test_which_outcome_is_better(stock: Verdict, corrected: Verdict, better: bool) -> None:
    assert Result(LLAMA, Outcome(stock), Outcome(corrected)).cured == better


@pytest.mark.parametrize(
    ("vit", "told"),
    [(("index-rank",), "fp32: descending; bf16: index-rank"), (("descending",), "descending"),
     ((), "fp32: descending; bf16: not found")],
)  # fmt: skip
def test_a_cure_is_told_by_precision_where_they_differ(vit: tuple[str, ...], told: str) -> None:
    other = Result(replace(LLAMA, precision="bf16"), WRONG, WHOLE, vit)
    text = page(replace(BOTH, results=(BOTH.results[0], other)))
    assert f"| llama | decode | **wrong** | whole | **wrong** | whole | {told} |" in text


def test_without_transformers_a_sentence_says_how(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert importlib.util.find_spec("transformers") is None
    assert typed(monkeypatch, "zoo", "--architectures", "all") == 2
    assert "nox -s zoo" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--architectures", "lama"), "no architecture 'lama'"),
        (("--architectures", " ,"), "must give names"),
        (("--ops", ""), "must give names"),
        (("--architectures", "all", "--precision", "fp8"), "must be one of fp32, bf16"),
        (("--architectures", "all", "--ops", "sort"), "give one of them"),
        (("--precision", "fp32"), "which is missing"),
        (("--architectures", "all", "--jobs", "999"), "--jobs must be at most"),
    ],
)
def test_bad_options_are_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    told: str,
) -> None:
    assert typed(monkeypatch, "zoo", *options) == 2
    assert told in capsys.readouterr().err


def test_shards_are_put_together_by_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for number, result in enumerate(BOTH.results):
        write_sweep(replace(BOTH, results=(result,)), tmp_path / f"{number}.json")
    shards = [word for n in (1, 0) for word in ("--merge", str(tmp_path / f"{n}.json"))]
    page_file = tmp_path / "page.md"
    command = ("zoo", "--architectures", "all", *shards, "--markdown", str(page_file))
    assert typed(monkeypatch, *command) == 0
    assert page_file.read_text() == page(BOTH)
    assert "bf16, stock: 1 partly" in capsys.readouterr().out
