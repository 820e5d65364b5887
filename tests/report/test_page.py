"""The page as markup; tests/report/test_browser.py opens it."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import re
import wave

import numpy as np
import pytest

from harness.compare import Status, Verdict
from harness.errors import InputError
from harness.report import Figures, Report, drawing, to_page
from harness.report.sounds import PLAYED_SECONDS, wav_uri


def text_of(page: str) -> str:
    body = re.sub(r"<(style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


@pytest.fixture(scope="module")
def page(explained: Report, figures: Figures) -> str:
    return to_page(explained, figures)


def test_the_parts_come_in_the_order_of_a_reviewer(page: str) -> None:
    said = text_of(page)
    places = [
        said.index(part)
        for part in (
            "FAIL A mismatch: codec; 1 verdict failed.",
            "What failed",
            "First wrong node: step 40, ReshapeNode (im2col) in codec_decoder.decoder_blocks.0",
            "Put the correction back: leave out --without adjacent-indices.",
            "model.py, line 974: return _conv1d_as_matmul(",
            "Proof. With the graph's value there, the output equals eager's.",
            "Type next voxtral-parity localize codec --codec-form unfold",
            "Methods",
            "Where errors arise",
            "Sound codec · speech",
            "Decisions 2 of 519 decisions are not eager's, who followed the same codes: 1 tie, "
            "1 fault.",
            "Environment",
            "Not judged Everything was judged.",
            "All verdicts",
        )
    ]
    assert places == sorted(places)


def test_the_wrong_step_is_named_in_its_plot(page: str) -> None:
    plots = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    label = "error of each of 40 steps of codec, 1 wrong"
    (steps,) = (plot for plot in plots if f'aria-label="{label}"' in plot)
    assert "first wrong: step 30, SiluNode (silu_30)" in steps
    assert drawing.FAULT in steps
    (exact,) = (plot for plot in plots if "from its graph in float64" in plot[:2000])
    assert "first wrong: step 40, ReshapeNode (im2col)" in exact


def test_no_two_elements_have_one_name(page: str) -> None:
    names = re.findall(r'\bid="([^"]*)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)) != set()
    for pair in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page):
        assert "".join(pair) in names


def test_nothing_is_fetched_and_nothing_runs(page: str) -> None:
    assert "<script" not in page
    assert "default-src 'none'" in page
    addresses = re.findall(r"(?:src|href)=[\"']([^\"']*)", page)
    assert {address[:5] for address in addresses if not address.startswith("#")} == {"data:"}
    without_names = re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert "http://" not in without_names
    assert "https://" not in without_names


def test_a_green_page_says_so_and_has_no_part_on_failures(green: Report, figures: Figures) -> None:
    said = text_of(to_page(green, figures))
    assert said.index("pass Every verdict passed.") < 100
    assert "What failed" not in said


def test_a_half_judged_page_is_not_green(green: Report) -> None:
    reason, command = "could not be judged: no memory", "voxtral-parity doctor"
    left = Verdict("codec", "speech", "execution", Status.UNJUDGED, reason, next=command)
    made = to_page(dataclasses.replace(green, verdicts=(*green.verdicts, left)))
    said = text_of(made)
    assert "not judged 1 verdict could not be judged; nothing is known to be wrong." in said
    assert "First: could not be judged: no memory." in said
    assert said.count("voxtral-parity doctor") == 1
    assert 'class="verdict unjudged"' in made


def test_a_page_without_arrays_says_so_and_draws_nothing(green: Report) -> None:
    made = to_page(green)
    assert "<svg" not in made
    assert "This page was made without the arrays of the run: no plots." in made


def test_a_run_that_judged_nothing_is_not_green(green: Report) -> None:
    made = to_page(dataclasses.replace(green, verdicts=()))
    assert 'class="verdict unjudged"' in made
    assert "Nothing was judged." in made


def test_what_a_verdict_says_is_text(green: Report) -> None:
    verdict = Verdict("<i>codec", "<img src=x>", "tensor", Status.FAIL, "<script>x</script>",
                      notes=("<b>\n" * 90,), next="a && b > c")  # fmt: skip
    made = to_page(dataclasses.replace(green, verdicts=(verdict,)))
    assert "<script" not in made
    assert "<img" not in made
    assert "<i>" not in made
    assert "a &amp;&amp; b &gt; c" in made
    assert "… 30 more lines in the JSON" in made


def test_the_same_run_gives_the_same_page(explained: Report, figures: Figures, page: str) -> None:
    assert to_page(explained, figures) == page


def test_a_sound_can_be_played_as_it_is() -> None:
    made = wav_uri(np.array([0.5, -1.0, np.nan, 3.0]), 24000)
    prefix, data = made.split(",")
    assert prefix == "data:audio/wav;base64"
    with wave.open(io.BytesIO(base64.b64decode(data))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 24000)
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [16383, -32767, 0, 32767]


def test_of_a_long_sound_the_begin_is_played() -> None:
    size = len(base64.b64decode(wav_uri(np.zeros(24000 * 60), 24000).split(",")[1]))
    assert size == pytest.approx(2 * 24000 * PLAYED_SECONDS, abs=100)


def test_without_matplotlib_the_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"leave --report out and take --json"):
        drawing.check_library()


def test_outputs_that_are_eagers_need_no_plot(green: Report, figures: Figures) -> None:
    (outputs,) = figures.outputs
    equal = dataclasses.replace(outputs, made=outputs.meant)
    made = to_page(green, dataclasses.replace(figures, outputs=(equal,)))
    assert "24,000 elements of 1 case, every one equal to eager's." in text_of(made)
    assert "histogram-codec" not in made
