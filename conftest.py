"""Fixtures for every test live in `fixtures/`, one module a subject."""

from harness.memory import keep_freed_memory, pass_over_imports
from harness.threads import wait_asleep

pytest_plugins = [
    "harness.plugin.hooks",
    "pytester",
    "fixtures.checkpoints",
    "fixtures.exports",
    "fixtures.contents",
    "fixtures.mutants",
    "fixtures.programs",
    "fixtures.rooms",
    "fixtures.runner",
]

wait_asleep()
keep_freed_memory()


def pytest_collection_finish() -> None:
    """Behind the imports of all tests."""
    pass_over_imports()
