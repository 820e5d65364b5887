"""pytest as a stranger runs it, in a directory of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest


@pytest.fixture(autouse=True)
def _keep_imports(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Let pytester forget the stranger's own modules alone.

    At a test's end it forgets all that were imported meanwhile, and neither numpy nor torch's
    libraries of operators can be imported twice.
    """
    strangers = str(tmp_path_factory.getbasetemp())

    class Snapshot:
        def restore(self) -> None:
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", "") or "").startswith(strangers):
                    del sys.modules[name]

    monkeypatch.setattr(
        pytest.Pytester, "_Pytester__take_sys_modules_snapshot", lambda self: Snapshot()
    )


@pytest.fixture
def stranger(pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """Run pytest in this process with the plugin, on what `pytester` has written."""

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
