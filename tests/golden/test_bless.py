from __future__ import annotations

import dataclasses
import math
import shutil
from pathlib import Path

import pytest

from harness.checkpoint import Checkpoint
from harness.cli import golden
from harness.compare import Status, Verdict
from harness.errors import HarnessError, InputError
from harness.golden import Golden, GoldenKey, bless, read
from harness.golden.judge import changes

REASON = "codec gains retuned in the preset"


@pytest.fixture
def reasoned(run: Golden) -> Golden:
    return dataclasses.replace(run, reason=REASON)


def altered(run: Golden, **changed: object) -> Golden:
    return dataclasses.replace(run, statistics=dataclasses.replace(run.statistics, **changed))


def test_blessing_again_gives_what_it_replaced(
    root: Path, reasoned: Golden, parity: list[Verdict]
) -> None:
    louder = altered(reasoned, peak=0.75)
    previous = bless(root, louder, parity)
    assert previous is not None
    assert (previous.reason, previous.statistics) == (
        "first light of the codec",
        reasoned.statistics,
    )
    assert read(root, louder.key) == louder
    assert [c.gate.name for c in changes(previous, louder) if not c.gate.passed] == ["peak"]


def test_the_first_blessing_replaces_nothing(
    tmp_path: Path, reasoned: Golden, parity: list[Verdict]
) -> None:
    assert bless(tmp_path, reasoned, parity) is None


@pytest.mark.parametrize("reason", ["", "   ", "update", " a        b "])
def test_a_blessing_needs_a_reason(
    root: Path, run: Golden, parity: list[Verdict], reason: str
) -> None:
    with pytest.raises(InputError, match="a reason of at least 10 characters"):
        bless(root, dataclasses.replace(run, reason=reason), parity)


@pytest.mark.parametrize("status", [Status.FAIL, Status.UNJUDGED])
def test_a_blessing_is_refused_while_parity_is_not_green(
    root: Path, reasoned: Golden, parity: list[Verdict], status: Status
) -> None:
    before = reasoned.key.path(root).read_bytes()
    red = Verdict("codec", "edges", "waveform", status, "gain 0.50")
    with pytest.raises(InputError, match="1 of 2 parity verdicts did not pass, first codec, edges"):
        bless(root, reasoned, [*parity, red])
    with pytest.raises(InputError, match="no parity verdict was given"):
        bless(root, reasoned, [])
    assert reasoned.key.path(root).read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"rms_dbfs": -math.inf}, "rms_dbfs is -inf"),
        ({"crest_db": math.nan}, "crest_db is nan"),
        ({"envelope_dbfs": (-20.0, math.nan, -20.0)}, "envelope_dbfs is"),
        ({"frames": 37}, "3 frames of codes for statistics of 37 frames"),
    ],
)
def test_only_finite_and_fitting_numbers_are_kept(
    root: Path, reasoned: Golden, parity: list[Verdict], changed: dict[str, object], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        bless(root, altered(reasoned, **changed), parity)


def test_a_golden_that_nothing_could_be_compared_with_is_not_kept(
    root: Path, reasoned: Golden, parity: list[Verdict]
) -> None:
    other = dataclasses.replace(reasoned, key=GoldenKey("tiny", "codec", "bf16", "exact-f32"))
    with pytest.raises(InputError, match="no golden drift is declared for precision 'bf16'"):
        bless(root, other, parity)
    assert read(root, other.key) is None


def test_no_directory_is_made_for_a_mistyped_root(
    tmp_path: Path, reasoned: Golden, parity: list[Verdict]
) -> None:
    with pytest.raises(InputError, match="does not exist"):
        bless(tmp_path / "goldn", reasoned, parity)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_golden_as_it_was(
    root: Path, reasoned: Golden, parity: list[Verdict], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = reasoned.key.path(root)
    before = path.read_bytes()

    def full(self: Path, *args: object, **kwargs: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HarnessError, match="No space left"):
        bless(root, reasoned, parity)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_checkpoint_that_no_golden_can_name_is_refused_before_the_work(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(tiny.directory, tmp_path / "tiny")
    monkeypatch.setattr("harness.parity.check", lambda *given: pytest.fail("it ran"))
    with pytest.raises(InputError, match=r"checkpoint must be letters, .*got 'tiny .directory"):
        golden.golden_check(str(copy))


def test_a_reason_is_asked_for_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golden, "_checked", lambda *given: pytest.fail("it ran"))
    with pytest.raises(InputError, match="a reason of at least 10 characters"):
        golden.golden_bless("")
