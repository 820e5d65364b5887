"""Fixtures for every test live in `fixtures/`, one module a subject."""

pytest_plugins = ["fixtures.checkpoints", "fixtures.exports"]
