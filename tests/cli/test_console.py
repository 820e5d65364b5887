"""What the user named is shown as it is: no control codes, no markup."""

from __future__ import annotations

import pytest

from harness.cli.console import progress

NAME = "line\nbreak [bold]x[/] [/]\x1b[31m"


def test_a_step_is_one_line_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as say:
        say(f"opening {NAME}")
    step, took = capsys.readouterr().err.splitlines()
    assert step == "· opening line\\nbreak [bold]x[/] [/]\\x1b[31m"
    assert took.startswith("· took ")


def test_a_step_is_no_markup_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    with progress() as say:
        say(f"opening {NAME}")
    assert "opening line\\nbreak [bold]x[/] [/]\\x1b[31m" in capsys.readouterr().err
