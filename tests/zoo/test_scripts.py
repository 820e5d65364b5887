"""Every script of a report shows its bug, on a stand-in for the native runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.stand_in import run_script
from harness.zoo import Bug, bugs, read_sweep
from harness.zoo.program import Program
from harness.zoo.reports import script, showing, write_reports

SWEEP = Path(__file__).parents[2] / "docs" / "zoo.json"
# A script's input has memory planned for it, unlike the sweep's, and may be empty.
FOUND = [bug for bug in bugs(read_sweep(SWEEP)) if bug.name != "empty-input"]
UNSEEN = ("add-scalar-rounded-scalars", "sub-scalar-rounded-scalars")
"""In float64 alone: torch's own CPU kernel rounds the number to 16 bits, too."""
FEW = ("sort-descending", "shared-shared-weight")

ABS = Program("aten.abs.default", "", "torch.ops.aten.abs.default(a)", ("torch.rand((2, 3)) - 1",))


def shows(bug: Bug, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = showing(bug)
    assert now is not None, f"{bug.name}: no program shows it"
    text = script(now.program)
    assert len(text.splitlines()) < 20
    eager, made = run_script(text, directory, monkeypatch)
    assert made
    assert made != eager


@pytest.mark.parametrize("bug", [b for b in FOUND if b.name in FEW], ids=lambda bug: bug.name)
def test_a_script_shows_its_bug(bug: Bug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shows(bug, tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize(
    "bug", [b for b in FOUND if b.name not in (*FEW, *UNSEEN)], ids=lambda bug: bug.name
)
def test_every_script_shows_its_bug(
    bug: Bug, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shows(bug, tmp_path, monkeypatch)


def test_what_is_right_prints_the_same_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eager, made = run_script(script(ABS), tmp_path, monkeypatch)
    assert eager == made


def test_what_eager_does_too_gets_no_report(tmp_path: Path) -> None:
    (bug,) = (bug for bug in FOUND if bug.name == UNSEEN[0])
    assert list(write_reports([bug], read_sweep(SWEEP), tmp_path)) == [(bug, None)]
    assert list(tmp_path.iterdir()) == []
