"""Figures of speech: averages, their files, and what cannot be compared."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from harness.bench.figures import (
    Benchmark,
    Contender,
    Subject,
    read_benchmark,
    read_speech,
    reload_note,
    write_benchmark,
    write_speech,
)
from harness.bench.table import over, print_benchmark
from harness.errors import InputError
from harness.synthesis import Utterance
from harness.synthesis.timing import Timing

SUBJECT = Subject(Utterance("Hello"), "small", "ab" * 32, "fp32")


def timed(*generate_ms: float, executor: str = "portable") -> Contender:
    """2 s of audio a run."""
    return Contender(
        executor, tuple(Timing(25, True, 2.0, ms, ms + 5, ms + 50) for ms in generate_ms)
    )


BENCH = Benchmark(
    SUBJECT, "x86_64 Linux", (timed(3000, 1000, 2000), timed(900, 800, 700, executor="eager"))
)


def test_the_first_run_is_not_warm() -> None:
    portable, _ = BENCH.contenders
    assert portable.average["generate_ms"] == 2000
    assert portable.average["rtf"] == 1.0
    assert portable.warm is not None
    assert portable.warm["generate_ms"] == 1500
    assert portable.warm["rtf"] == 0.75
    assert portable.warm["first_audio_ms"] == 1505
    assert portable.warm["wall_ms"] == 1550


def test_a_single_run_has_no_warm_average() -> None:
    assert timed(1000).warm is None


def test_published_averages_come_out_as_published() -> None:
    published = Contender(
        "native",
        tuple(Timing(43, True, 3.44, ms, ms, wall) for ms, wall in
              ((3132, 5190), (2634, 3150), (2607, 3130))),
    )  # fmt: skip
    assert published.average["rtf"] == pytest.approx(0.811, abs=5e-4)
    assert published.warm is not None
    assert published.warm["rtf"] == pytest.approx(0.762, abs=5e-4)


def test_a_ratio_is_of_warm_averages_where_both_have_one() -> None:
    assert over(timed(3000, 1000), timed(900, 500)) == 2.0
    assert over(timed(3000), timed(900, 500)) == 3000 / 700


def test_a_benchmark_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    write_benchmark(path, BENCH)
    assert read_benchmark(path) == BENCH
    data = json.loads(path.read_text())
    assert data["schema"] == "2"
    assert data["contenders"][0]["runs"][0]["rtf"] == 1.5
    assert data["contenders"][0]["warm"]["rtf"] == 0.75


def test_a_speech_is_read_as_it_was_written(tmp_path: Path) -> None:
    run = Timing(25, False, 2.0, 1000.0, 1100.0)
    write_speech(tmp_path / "s.json", SUBJECT, "native", run)
    assert read_speech(tmp_path / "s.json") == ("native", run)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("text", "Bye", "its text is 'Hello', this one's 'Bye'"),
        ("digest", "cd" * 32, "its digest is"),
        ("precision", "bf16", "its precision is 'fp32', this one's 'bf16'"),
        ("streaming", True, "its streaming is False, this one's True"),
        ("max_new_tokens", 8, "its max new tokens is 2048, this one's 8"),
        ("text", "word " * 2000, "its text is 'Hello', this one's 'word word"),
    ],
)
def test_another_subject_is_refused(field: str, value: object, sentence: str) -> None:
    if field in ("digest", "precision"):
        other = dataclasses.replace(SUBJECT, **{field: value})
    else:
        other = dataclasses.replace(
            SUBJECT, utterance=dataclasses.replace(SUBJECT.utterance, **{field: value})
        )
    with pytest.raises(InputError, match=sentence) as refused:
        BENCH.check_same(other)
    assert len(str(refused.value)) < 300


def test_the_same_subject_is_not() -> None:
    BENCH.check_same(dataclasses.replace(SUBJECT))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "figures of speech .* is not readable JSON"),
        ("[" * 100_000, "figures of speech .* is not readable JSON"),
        ("[]", "holds no figures of speech"),
        ('{"schema": "1"}', "expected schema '2', got '1'"),
        ('{"schema": "2"}', "'contenders'"),
        ('{"schema": "2", "contenders": []}', "no run in it"),
    ],
)
def test_another_file_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence):
        read_benchmark(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audio_seconds", 0),
        ("audio_seconds", "2"),
        ("generate_ms", -1.0),
        ("generate_ms", None),
        ("first_audio_ms", 10**400),
        ("wall_ms", "NaN"),
    ],
)
def test_a_run_that_cannot_have_been_is_refused(tmp_path: Path, field: str, value: object) -> None:
    path = tmp_path / "b.json"
    write_benchmark(path, BENCH)
    data = json.loads(path.read_text())
    data["contenders"][0]["runs"][0][field] = value
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="holds no figures of speech"):
        read_benchmark(path)


def test_an_older_file_lacks_what_was_added_since(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    write_benchmark(path, BENCH)
    data = json.loads(path.read_text())
    del data["subject"]["rounding"]
    for contender in data["contenders"]:
        for run in contender["runs"]:
            del run["warm_up_ms"]
    path.write_text(json.dumps(data))
    assert read_benchmark(path) == BENCH
    data["subject"]["rounding"] = "down"
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match="rounding: expected one of"):
        read_benchmark(path)


@pytest.mark.parametrize(
    ("warm_ups", "note"),
    [
        ((300.0, 500.0), "cannot be compared with other executors'; its warm-up, a first load of "
         "four of five methods, took 400 ms"),
        ((None, None), "hold its second load of model.pte and cannot be compared"),
    ],
)  # fmt: skip
def test_what_the_runners_times_hold_is_said(warm_ups: tuple[float | None, ...], note: str) -> None:
    run = BENCH.contenders[0].runs[0]
    runs = [dataclasses.replace(run, warm_up_ms=warm_up) for warm_up in warm_ups]
    assert note in reload_note(runs)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_benchmark(tmp_path / "nowhere.json")


def printed(benchmark: Benchmark, saved: Benchmark | None = None) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100)
    print_benchmark(benchmark, console, saved, Path("before.json") if saved else None)
    return out.getvalue()


def test_the_table_has_every_run_and_both_averages() -> None:
    told = printed(BENCH)
    rows = [line.split() for line in told.splitlines()]
    assert ["portable", "1", "2.00", "3000", "1.500", "3005", "3050"] in rows
    assert ["average", "2.00", "2000", "1.000", "2005", "2050"] in rows
    assert ["warm", "average", "2.00", "1500", "0.750", "1505", "1550"] in rows
    assert "portable takes 2.00 times as long as eager (at most 1.15 wanted: missed)" in told


def test_a_met_target_is_told() -> None:
    fast = dataclasses.replace(BENCH, contenders=(timed(1150), timed(1000, executor="eager")))
    assert "portable takes 1.15 times as long as eager (at most 1.15 wanted: met)" in printed(fast)


def test_it_is_told_how_much_slower_than_before() -> None:
    saved = Benchmark(SUBJECT, "arm64 Darwin", (timed(500, 500),))
    told = printed(BENCH, saved)
    assert "portable takes 3.00 times as long as in before.json" in told
    assert "eager is not in before.json, which has portable" in told
    assert "before.json was measured on arm64 Darwin, this on x86_64 Linux" in told
