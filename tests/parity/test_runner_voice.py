"""A voice that upstream's runner would misread is refused before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fixtures.command_line import typed
from harness.checkpoint import Checkpoint
from harness.errors import InputError
from harness.parity.runner import check_runner_voice

ROWS = torch.arange(3 * 256).reshape(3, 256) / 256


def by_an_open_file(path: Path) -> None:
    with path.open("wb") as file:
        torch.save(ROWS.bfloat16(), file)


def in_float32(path: Path) -> None:
    with path.open("wb") as file:
        torch.save(ROWS.float(), file)


def under_its_own_name(path: Path) -> None:
    torch.save(ROWS.bfloat16(), path)


def as_a_part(path: Path) -> None:
    with path.open("wb") as file:
        torch.save(ROWS.bfloat16()[:2], file)


def test_what_the_runner_reads_as_it_is_meant_passes(tiny: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    by_an_open_file(path)
    assert check_runner_voice(tiny, str(path)) == path
    under_its_own_name(tmp_path / "archive.pt")
    assert check_runner_voice(tiny, str(tmp_path / "archive.pt")) is not None
    assert check_runner_voice(tiny, "casual_male") is not None


@pytest.mark.parametrize(
    ("save", "fault"),
    [
        (in_float32, "it reads any numbers as bfloat16, and they are float32"),
        (under_its_own_name, "and they are in mine/data/0"),
        (as_a_part, "it reads all of its numbers, and 256 are not the tensor's"),
    ],
)
def test_what_it_would_misread_is_refused(
    tiny: Checkpoint, tmp_path: Path, save: Callable[[Path], None], fault: str
) -> None:
    path = tmp_path / "mine.pt"
    save(path)
    with pytest.raises(InputError, match=f"would misread voice .*{fault}; save it again by"):
        check_runner_voice(tiny, str(path))


def test_check_says_so_before_eager_speaks(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path, runner: Path
) -> None:
    in_float32(tmp_path / "mine.pt")
    voice = ("--voice", str(tmp_path / "mine.pt"))
    assert typed(monkeypatch, "check", "--runner-path", str(runner), *voice) == 2
    said = capfd.readouterr().err
    assert "they are float32" in said.strip().splitlines()[-1]
    assert "eager speaks" not in said
