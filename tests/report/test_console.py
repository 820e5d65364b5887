from __future__ import annotations

import dataclasses
import io
import re

import pytest
from rich.console import Console

from harness.compare import Status, Verdict
from harness.report import Report, print_report, print_verdicts, to_text


def rows(text: str, start: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(start)]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_nothing_is_wider_than_asked_or_cut(red: Report, width: int) -> None:
    lines = to_text(red, width).splitlines()
    assert max(len(line) for line in lines) <= width
    for verdict in red.verdicts:
        assert any(verdict.subject in line for line in lines)
    for line in rows("\n".join(lines), "✗"):
        assert not line.endswith("…")


def test_header_says_what_ran_on_what(green: Report) -> None:
    text = to_text(green, 120)
    assert "checkpoint  tiny (sha256 1a2b3c4d1a2b…)" in text
    assert "executor    portable on x86_64 CPU, 2 cores" in text
    assert "executorch 1.5.1, mlx 0.32.4" in text
    assert (
        "artifact    model.pte, 15,204,352 bytes, sha256 5e5e5e5e5e5e…, exported in 21.4 s" in text
    )
    assert "codec_decoder.pte, 4,812,800 bytes, sha256 7f7f7f7f7f7f…, from the cache" in text
    assert "seed step: on (executorch's C++ runner, voxtral-tts.c)" in text


def test_a_given_file_is_not_said_to_come_from_the_cache(green: Report) -> None:
    given = tuple(dataclasses.replace(file, origin="given") for file in green.artifacts)
    text = to_text(dataclasses.replace(green, artifacts=given), 120)
    assert "from the cache" not in text
    assert "sha256 7f7f7f7f7f7f…, given" in text


def test_a_row_holds_the_numbers_that_decide(green: Report) -> None:
    (row,) = [line for line in rows(to_text(green, 100), "✓") if "text_decoder" in line]
    assert row.split() == [
        "✓", "text_decoder", "speech", "5,632", "2.4e-7", "1.0e-5", "3%", "130.3", "1.000000",
    ]  # fmt: skip


def test_a_wide_terminal_shows_calls_and_the_worst_index(green: Report) -> None:
    (row,) = [line for line in rows(to_text(green, 140), "✓") if "text_decoder" in line]
    assert " 22 " in row
    assert row.endswith("call 6, (0, 0, 181)")


def test_the_codec_has_its_levels_before_and_after_the_cast(green: Report) -> None:
    text = to_text(green, 80)
    assert "both float   0.88127  -1.10        0    0  -14.02  -58.09" in text
    assert "both 16-bit  0.88125  -1.10        0    0  -14.02  -58.09" in text


def test_levels_that_differ_are_shown_side_by_side(green: Report) -> None:
    def quieter(verdict: Verdict) -> Verdict:
        metrics = dict(verdict.metrics)
        if "reference.float.peak" in metrics:
            metrics["reference.float.peak"] = 0.5
        return dataclasses.replace(verdict, metrics=metrics)

    text = to_text(dataclasses.replace(green, verdicts=tuple(map(quieter, green.verdicts))), 80)
    assert re.search("candidate float +0.88127", text)
    assert re.search("reference float +0.5", text)
    assert re.search("both 16-bit +0.88125", text)


def test_a_failure_has_a_paragraph_with_its_gates(red: Report) -> None:
    text = to_text(red, 100)
    paragraph = text[text.index("FAIL text_decoder · random S=7") :]
    paragraph = paragraph[: paragraph.index("\n\n")]
    assert "Greatest difference 3.3 at call 13, (0, 0, 34), up to 3.7e-5 allowed" in paragraph
    assert "call 13" in paragraph.splitlines()[-2]
    assert paragraph.endswith("Allowances: ten times what was measured on x86-64.")


def test_numbers_beside_a_nan_are_not_shown(red: Report) -> None:
    (row,) = [line for line in rows(to_text(red, 80), "✗") if " t=0 " in line]
    assert row.split() == ["✗", "predict_velocity", "t=0", "35", "–", "–", "–", "–"]


def test_undelegated_ops_are_listed(red: Report) -> None:
    assert "not delegated: aten::index_put" in to_text(red, 140)


def test_a_golden_shows_old_and_new_side_by_side(red: Report) -> None:
    text = to_text(red, 100)
    assert re.search(r"peak +0\.850604 +0\.425302 +0\.50 +1\.0e-4 +5,000×  of old", text)
    assert 'If the change is meant: `voxtral-parity golden bless --reason "…"`.' in text


def test_an_unjudged_verdict_says_what_to_do(red: Report) -> None:
    text = to_text(red, 100)
    assert "UNJUDGED semantic_head · zeros" in text
    assert "Judge this method on an input that makes its output vary." in text


@pytest.mark.parametrize(
    ("name", "closing"),
    [
        ("green", "6 verdicts: 6 passed, 0 failed, 0 unjudged → exit code 0, every verdict passed"),
        ("red", "16 verdicts: 6 passed, 8 failed, 2 unjudged → exit code 1, a mismatch"),
    ],
)
def test_the_last_line_says_how_it_ended(
    name: str, closing: str, request: pytest.FixtureRequest
) -> None:
    assert to_text(request.getfixturevalue(name), 100).splitlines()[-1] == closing


def test_verdicts_alone_are_printed_as_below_the_header(red: Report) -> None:
    file = io.StringIO()
    print_verdicts(red.verdicts, Console(file=file, width=100, color_system=None))
    below = [line.rstrip() for line in file.getvalue().splitlines()]
    whole = to_text(red, 100).splitlines()
    assert whole[-len(below) :] == below
    assert whole[-len(below) - 1] == ""
    assert whole[-len(below) - 2].startswith("run ")


def test_a_run_that_judged_nothing_says_so(green: Report) -> None:
    empty = dataclasses.replace(green, verdicts=())
    assert empty.exit_code == 2
    assert to_text(empty).splitlines()[-1] == (
        "0 verdicts: 0 passed, 0 failed, 0 unjudged → exit code 2, nothing was judged"
    )


def test_a_long_note_is_cut_and_says_where_the_rest_is(green: Report) -> None:
    log = "\n".join(f"line {n}" for n in range(300))
    verdict = Verdict("codec", "lowering", "execution", Status.FAIL, "no", notes=(log,))
    text = to_text(dataclasses.replace(green, verdicts=(verdict,)))
    assert "line 19" in text
    assert "line 20" not in text
    assert "… 280 more lines; `--json` keeps them all." in text


def test_brackets_in_a_message_are_no_markup(green: Report) -> None:
    verdict = Verdict("codec", "[red]", "execution", Status.FAIL, "axis [/] of [1, 2]")
    text = to_text(dataclasses.replace(green, verdicts=(verdict,)))
    assert "FAIL codec · [red]" in text
    assert "Axis [/] of [1, 2]." in text


def test_a_log_without_unicode_gets_plain_ascii(red: Report) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    print_report(red, Console(file=file, width=100, color_system=None))
    file.flush()
    text = raw.getvalue().decode("ascii")
    assert "+ |text_decoder" in text
    assert "X |predict_velocity" in text
    assert text.endswith("-> exit code 1, a mismatch\n")


def test_a_dumb_terminal_gets_no_escape_codes(red: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    file = io.StringIO()
    print_report(red, Console(file=file, width=80, force_terminal=True))
    assert "\x1b" not in file.getvalue()


def test_a_terminal_gets_colour(red: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    file = io.StringIO()
    print_report(red, Console(file=file, width=80, force_terminal=True, color_system="standard"))
    assert "\x1b[1;31mFAIL" in file.getvalue()


def test_an_allowance_nearly_used_up_has_a_line(green: Report) -> None:
    note = "Near: RMS of own uses 93% of what is allowed."
    near = dataclasses.replace(green.verdicts[0], notes=(note,))
    text = to_text(dataclasses.replace(green, verdicts=(near, *green.verdicts[1:])), 80)
    assert re.search(r"NEAR .*RMS of own uses 93% of what is allowed\.", text)
    assert "NEAR" not in to_text(green, 80)
