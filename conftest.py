"""Fixtures for every test live in `fixtures/`, one module a subject."""

from harness.memory import keep_freed_memory

pytest_plugins = [
    "fixtures.checkpoints",
    "fixtures.exports",
    "fixtures.programs",
    "fixtures.runner",
]

keep_freed_memory()
