"""A reviewer opens the pages of three real runs: a red, a green and a half-judged one.

They need Chromium, which not every machine has: `nox -s browser` runs them, and they fail without.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.command_line import typed
from harness.report import Figures, Report, write_page
from tests.report.browser import find, opened

pytestmark = pytest.mark.browser

_RUNS = {
    "red": (1, "check", "codec", "--codec-form", "unfold", "--without", "adjacent-indices"),
    "green": (0, "check"),
    "half": (2, "check", "predict_velocity", "--regime", "tf32", "--qlinear", "8w"),
}

_LAID_OUT = """[...document.querySelectorAll(SELECTOR)].filter(e => e.checkVisibility())
  .map(e => e.getBoundingClientRect()).map(r => [r.left, r.top, r.width, r.height])"""


@pytest.fixture(scope="module", params=_RUNS)
def run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """Which run, and its page."""
    find()
    code, *arguments = _RUNS[request.param]
    directory = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        options = ("--executor", "portable", "--report", str(directory))
        assert typed(patch, *arguments, *options) == code
    return request.param, directory / "index.html"


def test_a_page_is_laid_out_complains_of_nothing_and_asks_for_nothing(
    run: tuple[str, Path], tmp_path: Path
) -> None:
    name, path = run
    assert path.stat().st_size < 5_000_000
    with opened(path, tmp_path) as page:
        assert page.troubles == []
        assert "file" in page.requests
        assert page.requests <= {"file", "data"}
        assert page("document.documentElement.scrollWidth") <= 1120
        headings = page("[...document.querySelectorAll('h2')].map(e => e.innerText)")
        assert ("What failed" in headings) == (name == "red")
        assert headings[-4:] == ["Decisions", "Environment", "Not judged", "All verdicts"]
        plots = page(_LAID_OUT.replace("SELECTOR", "'svg'"))
        assert len(plots) >= {"red": 6, "green": 6, "half": 0}[name]
        for left, _, width, height in plots:
            assert left >= 0
            assert 400 <= width <= 1080
            assert 180 <= height <= 400
        ready = "Promise.all([...document.querySelectorAll('audio')].map(a => a.readyState || " \
                "new Promise(r => a.onloadedmetadata = r)))"  # fmt: skip
        page(f"{ready}.then(() => 0)")
        seconds = page("[...document.querySelectorAll('audio')].map(a => a.duration)")
        assert [round(each, 2) for each in seconds] == {
            "red": [1.12] * 2, "green": [1.12] * 4, "half": [],
        }[name]  # fmt: skip
        printed = page.printed()
    assert printed.startswith(b"%PDF")
    assert len(printed) > 50_000


def test_op_line_and_fix_stand_on_the_first_screen(run: tuple[str, Path], tmp_path: Path) -> None:
    name, path = run
    with opened(path, tmp_path) as page:
        shown = page("""[...document.querySelectorAll('h1, p, dd, pre')]
            .filter(e => e.getBoundingClientRect().bottom < 900 && e.checkVisibility())
            .map(e => e.innerText).join('\\n')""")
    if name == "red":
        assert "ReshapeNode (im2col) in codec_decoder.decoder_blocks.0" in shown
        assert "aten.im2col.default" in shown
        assert "model.py, line 974" in shown
        assert "Put the correction back: leave out --without adjacent-indices." in shown
    elif name == "half":
        assert "could not be judged; nothing is known to be wrong" in shown
        assert "no allowance is known for mlx in fp32-4w8w in this regime" in shown
    else:
        assert "Every verdict passed." in shown


def test_a_page_that_fetches_and_complains_is_noticed(
    green: Report, figures: Figures, tmp_path: Path
) -> None:
    write_page(green, tmp_path / "index.html", figures)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    broken = page.replace("<h2", '<img src="http://127.0.0.1:9/x.png"><script>f()</script><h2', 1)
    (tmp_path / "index.html").write_text(broken, encoding="utf-8")
    with opened(tmp_path / "index.html", tmp_path / "profile") as seen:
        assert len(seen.troubles) >= 2
