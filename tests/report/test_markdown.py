from __future__ import annotations

import dataclasses

from harness.compare import Status, Verdict
from harness.report import Report, to_markdown
from harness.report.markdown import LIMIT


def test_the_verdict_comes_first(green: Report, red: Report) -> None:
    assert to_markdown(green).splitlines()[0] == "## ✅ voxtral-parity: every verdict passed"
    lines = to_markdown(red).splitlines()
    assert lines[0] == "## ❌ voxtral-parity: a mismatch"
    assert lines[2].startswith("16 verdicts: 6 passed, 8 failed, 2 unjudged · exit code 1")


def test_a_run_that_judged_nothing_is_not_green(green: Report) -> None:
    told = to_markdown(dataclasses.replace(green, verdicts=()))
    assert told.startswith("## ❔ voxtral-parity: nothing was judged")


def test_the_first_wrong_node_and_the_next_command_are_told(explained: Report) -> None:
    told = to_markdown(explained)
    assert "**First wrong: step 40, ReshapeNode (im2col) in codec\\_decoder" in told
    assert "leave out --without adjacent-indices" in told
    assert "```sh\nvoxtral-parity localize codec --codec-form unfold" in told


def test_it_stays_below_the_limit_and_counts_what_it_left_out(green: Report) -> None:
    long = tuple(
        Verdict("codec", f"case {n}", "tensor", Status.FAIL, "ä" * 3000) for n in range(900)
    )
    report = dataclasses.replace(green, verdicts=long)
    told = to_markdown(report)
    assert 0.9 * LIMIT < len(told.encode()) <= LIMIT
    assert "more verdicts did not pass; see the report." in told
    assert "<summary>Environment</summary>" in told
    assert len(to_markdown(report, limit=2000).encode()) <= 2000


def test_text_cannot_become_markup(green: Report) -> None:
    verdict = Verdict("codec", "<b>|*x*", "tensor", Status.FAIL, "a\n# b", notes=("```\nend",))
    told = to_markdown(dataclasses.replace(green, verdicts=(verdict,)))
    assert "### ❌ codec · \\<b\\>\\|\\*x\\*" in told
    assert "\na \\# b\n" in told
    assert "````\n```\nend\n````" in told
