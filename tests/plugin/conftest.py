"""pytest as a stranger runs it, in a directory of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest


@pytest.fixture
def stranger(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., pytest.RunResult]:
    """Run pytest in this process with the plugin, on what `pytester` has written.

    For tests that need no torch: behind a run pytester forgets all modules that were imported
    meanwhile, and numpy cannot be imported twice, so that only the stranger's own are forgotten.
    """

    class Snapshot:
        def restore(self) -> None:
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", "") or "").startswith(str(pytester.path)):
                    del sys.modules[name]

    monkeypatch.setattr(pytester, "_Pytester__take_sys_modules_snapshot", Snapshot)

    def run(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_inprocess(
            "-p", "harness.plugin.hooks", "-p", "no:cacheprovider", *arguments
        )

    return run


@pytest.fixture
def alone(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run pytest with the plugin in a process of its own."""

    def run(*arguments: str) -> pytest.RunResult:
        command = (sys.executable, "-m", "pytest", "-p", "harness.plugin.hooks", *arguments)
        return pytester.run(*command)

    return run
