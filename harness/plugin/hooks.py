"""What pytest calls; the entry point of the plugin."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any

import pytest

from harness.errors import HarnessError, in_a_sentence
from harness.plugin.fixtures import FOUND, golden_audio, golden_tensor, parity
from harness.plugin.options import add_options, chosen
from harness.plugin.outcome import CouldNotJudgeError
from harness.plugin.session import KEY, Session
from harness.plugin.unused import delete, unused

__all__ = ["golden_audio", "golden_tensor", "parity"]

_COULD_NOT = 2
"""Exit code of a run that could not do what was asked, as of the command line."""

_COLLECTED = "parity_collected"
"""Under which a worker of xdist sends the node ids that it found at its end."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the options."""
    config.stash[KEY] = session = Session(chosen(config))
    config.pluginmanager.register(_Collector(session))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add to a test's report what it found; a worker of xdist sends it on."""
    report: Any = yield
    found = item.stash.get(FOUND, None)
    if call.when == "call":
        report.parity = {} if found is None else dataclasses.asdict(found)
    if call.excinfo is not None and call.excinfo.errisinstance(CouldNotJudgeError):
        report.could_not_judge = True
    made: pytest.TestReport = report
    return made


def pytest_report_teststatus(report: Any) -> tuple[str, str, str] | None:
    """Count what could not be judged as an error, whichever part of a test it ended."""
    if report.failed and getattr(report, "could_not_judge", False):
        return "error", "E", "ERROR"
    return None


class _Collector:
    """Takes what tests found, in the process that reports."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        self._session.collected.add(item.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        told = getattr(node, "workeroutput", {})
        self._session.collected.update(told.get(_COLLECTED, ()))

    def pytest_runtest_logreport(self, report: Any) -> None:
        told = getattr(report, "parity", None)
        if told is not None:
            self._session.take(report.nodeid, report.outcome, told)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Write the report; goldens that no test uses fail the run."""
    config: Any = session.config
    kept: Session = config.stash[KEY]
    if hasattr(config, "workerinput"):
        config.workeroutput[_COLLECTED] = sorted(kept.collected)
        return
    kept.unused = unused(session, kept)
    if kept.unused and exitstatus == pytest.ExitCode.OK and not kept.chosen.update:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    try:
        kept.written = kept.write_report()
        if kept.chosen.update:
            delete(kept.unused)
    except (HarnessError, OSError) as error:
        kept.trouble = in_a_sentence(error)
        if session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = _COULD_NOT


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say which goldens are not used, where the report is, or why there is none."""
    kept = config.stash[KEY]
    if kept.trouble:
        terminalreporter.line(f"error: {kept.trouble}", red=True)
    if kept.unused:
        deleted = kept.chosen.update and not kept.trouble
        done = "deleted" if deleted else "not used by any test"
        terminalreporter.section(f"goldens {done}", yellow=True)
        for path in kept.unused:
            terminalreporter.line(str(path))
        if not deleted:
            terminalreporter.line('delete them with --parity-update --parity-reason "…"')
    if kept.written is not None:
        terminalreporter.line(f"parity report: {kept.written}")
