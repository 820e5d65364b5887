"""Sessions of voxtral-parity; `nox -l` lists them. All share one environment."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests", "lint", "types", "parity"]
nox.options.reuse_existing_virtualenvs = True

PYPROJECT = Path("pyproject.toml")
DEV = nox.project.dependency_groups(nox.project.load_toml(PYPROJECT), "dev")


def shared(**options: object):
    """A session in the one environment that all of them share."""
    return nox.session(venv_location=".nox/voxtral-parity", **options)


def install(session: nox.Session) -> None:
    """Install the project and its tools, once for each pyproject.toml."""
    stamp = Path(session.virtualenv.location) / "installed"
    wanted = hashlib.sha256(PYPROJECT.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    session.install("-e", ".", *DEV)
    stamp.write_text(wanted)


@shared()
def tests(session: nox.Session) -> None:
    """Run the project's own tests on all cores."""
    install(session)
    session.run("pytest", "-n", "auto", *session.posargs)


@shared()
def lint(session: nox.Session) -> None:
    """Check style and formatting with ruff."""
    install(session)
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@shared()
def types(session: nox.Session) -> None:
    """Check types with mypy."""
    install(session)
    session.run("mypy", *session.posargs)


@shared()
def parity(session: nox.Session) -> None:
    """Run the main job: all six methods, synthetic checkpoint, this machine's best executor."""
    install(session)
    session.run("voxtral-parity", "check", *session.posargs)


@shared(default=False)
def killtest(session: nox.Session) -> None:
    """Kill real exports at random moments (`-- --times 50`), then check that a run is green."""
    install(session)
    session.run("python", "tests/export/kill_export.py", *session.posargs)
