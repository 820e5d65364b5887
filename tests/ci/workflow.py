"""Read a workflow of GitHub Actions and run the shell steps of its jobs here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FORK", "ROOT", "Workspace", "jobs", "read"]

ROOT = Path(__file__).parents[2]

FORK = (
    "github.event_name == 'pull_request' "
    "&& github.event.pull_request.head.repo.full_name != github.repository"
)
"""What comes to ``true`` in a pull request from a fork."""

_EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def read(name: str) -> dict[str, Any]:
    """A workflow as YAML; ``on`` is the key True, as YAML 1.1 has it."""
    found: dict[str, Any] = yaml.safe_load(
        (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    )
    return found


def jobs(name: str) -> dict[str, dict[str, Any]]:
    """The jobs of a workflow."""
    found: dict[str, dict[str, Any]] = read(name)["jobs"]
    return found


class Workspace:
    """A checkout on a runner: a directory, an environment of few variables, and what GitHub knows.

    Parameters
    ----------
    directory
        Empty; the scripts of ``.github`` are copied there.
    commit
        ``GITHUB_SHA``.
    context
        What expressions come to, by their text: ``{"vars.PARITY_MAC": "on"}``; others are empty.
    """

    def __init__(self, directory: Path, commit: str, context: Mapping[str, str]) -> None:
        self.directory, self.context = directory, dict(context)
        scripts = directory / ".github"
        scripts.mkdir(parents=True)
        for script in (ROOT / ".github").iterdir():
            if script.is_file():
                (scripts / script.name).write_bytes(script.read_bytes())
                (scripts / script.name).chmod(0o755)
        self.summary = directory / "summary.md"
        cache = os.environ.get("VOXTRAL_PARITY_CACHE", "")
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin",
            "HOME": os.environ.get("HOME", str(directory)),
            "PYTHONPATH": str(ROOT),
            "GITHUB_ACTIONS": "true",
            "GITHUB_SHA": commit,
            "GITHUB_STEP_SUMMARY": str(self.summary),
            **({"VOXTRAL_PARITY_CACHE": cache} if cache else {}),
        }

    def run(self, job: Mapping[str, Any]) -> tuple[int, str]:
        """The shell steps of a job, in order; the exit code and the output of the whole.

        After a step that fails, only those with ``if: always()`` run, as on GitHub.
        """
        worst, said = 0, ""
        for step in job["steps"]:
            if "run" not in step or (worst and step.get("if") != "always()"):
                continue
            extra = {name: self._expand(str(text)) for name, text in step.get("env", {}).items()}
            assert not _EXPRESSION.search(step["run"]), "expressions go through env"
            made = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=self.directory,
                env={**self.environment, **extra},
                capture_output=True,
                text=True,
                check=False,
            )
            said += made.stdout + made.stderr
            worst = worst or made.returncode
        return worst, said

    def needs(self, **results: str) -> None:
        """What the jobs ended with."""
        told = {name: {"result": result, "outputs": {}} for name, result in results.items()}
        self.context["toJSON(needs)"] = json.dumps(told)

    def _expand(self, text: str) -> str:
        return _EXPRESSION.sub(lambda match: self.context.get(match[1], ""), text)
