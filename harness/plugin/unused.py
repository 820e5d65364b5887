"""Goldens beside test files that no test uses."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from harness.plugin.session import Session

__all__ = ["delete", "unused"]


def unused(session: pytest.Session, kept: Session) -> list[Path]:
    """Goldens of the test files that ran, which none of their tests used.

    A golden whose test passed without it is not used. One whose test is no longer there is not used
    either, unless some tests were left out of this run. A test that was skipped, deselected or
    could not be set up tells nothing of its goldens.
    """
    config = session.config
    used = {Path(path) for found in kept.tests.values() for path in found.goldens}
    files = {config.rootpath / nodeid.split("::", 1)[0] for nodeid in kept.tests}
    everything = _ran_everything(session)
    found = []
    for file in sorted(files):
        for path in sorted((file.parent / "goldens" / file.stem).glob("*.json")):
            test = _test_of(path)
            known = test in kept.collected or test in kept.tests
            if path not in used and (test in kept.passed or (everything and not known)):
                found.append(path)
    return found


def _ran_everything(session: pytest.Session) -> bool:
    """Whether no test of a file that ran was left out."""
    config = session.config
    option = config.option
    picked = option.keyword or option.markexpr or getattr(option, "lf", False)
    picked = picked or getattr(option, "deselect", None) or getattr(option, "stepwise", False)
    picked = picked or any("::" in str(argument) for argument in config.args)
    return not (picked or session.shouldstop or session.shouldfail)


def _test_of(path: Path) -> str:
    """Node id of the test that a golden was made by; empty where it does not say."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["test"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def delete(paths: Sequence[Path]) -> None:
    """Delete goldens, and directories that they leave empty."""
    for path in paths:
        path.unlink(missing_ok=True)
        for directory in (path.parent, path.parent.parent):
            with contextlib.suppress(OSError):
                directory.rmdir()
