"""What the workflows must have, whatever else they do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.ci.workflow import FORK, ROOT, Workspace, jobs, read

WORKFLOWS = [path.name for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))]


def steps(name: str) -> list[dict[str, Any]]:
    found = [step for job in jobs(name).values() for step in job["steps"]]
    assert found
    return found


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_of_others_are_pinned_by_hash(name: str) -> None:
    used = [step["uses"] for step in steps(name) if "uses" in step]

    for action in used:
        assert action.startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_may_read_and_no_more(name: str) -> None:
    workflow = read(name)

    assert workflow["permissions"] == {"contents": "read"}
    assert "concurrency" in workflow
    assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads `on` as true
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] <= 120


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_expression_is_pasted_into_a_shell(name: str) -> None:
    for step in steps(name):
        assert "${{" not in step.get("run", "")


def test_the_gate_needs_every_job_and_always_runs() -> None:
    found = jobs("parity.yml")
    gate = found.pop("gate")

    assert set(gate["needs"]) == set(found)
    assert gate["if"] == "always()"


def test_only_the_hosted_mac_is_advisory() -> None:
    found = jobs("parity.yml")
    (judged,) = (step["run"] for step in found["gate"]["steps"] if step.get("name") == "Gate")

    assert [name for name, job in found.items() if job.get("continue-on-error")] == ["hosted"]
    assert re.findall(r"--advisory (\w+)", judged) == ["hosted"]
    assert re.findall(r"--off (\w+)", judged) == ["native"]
    assert "--allow-virtual-gpu --every-step" in str(found["hosted"])
    assert "--allow-virtual-gpu" not in str(found["native"])


def test_a_runner_of_ones_own_runs_no_code_of_a_fork() -> None:
    guard = jobs("parity.yml")["native"]["if"]

    assert "github.event.pull_request.head.repo.full_name == github.repository" in guard
    assert "vars.PARITY_MAC == 'on'" in guard


@pytest.mark.parametrize(
    ("mac", "fork", "required"),
    [("on", "false", True), ("", "false", False), ("", "true", True)],
)
def test_a_fork_whose_run_sees_no_variables_misses_the_mac(
    tmp_path: Path, mac: str, fork: str, required: bool
) -> None:
    runner = Workspace(tmp_path / "run", "c0ffee", {"vars.PARITY_MAC": mac, FORK: fork})
    command = tmp_path / "bin" / "voxtral-parity"
    command.parent.mkdir()
    command.write_text('#!/bin/bash\necho "typed: $*"\n')
    command.chmod(0o755)
    runner.environment["PATH"] = f"{command.parent}:{runner.environment['PATH']}"
    names = {"pack": "Say what the gate must find", "gate": "Gate"}
    said = {}
    for job, name in names.items():
        found = [step for step in jobs("parity.yml")[job]["steps"] if step.get("name") == name]
        code, said[job] = runner.run({"steps": found})
        assert code == 0, said[job]

    assert ("--on native" in said["pack"]) == required
    assert ("--off native" not in said["gate"]) == required
    assert ("::error title=native::a pull request from a fork" in said["gate"]) == (fork == "true")


def test_the_cache_is_keyed_on_the_lock_file() -> None:
    text = (ROOT / ".github" / "actions" / "setup" / "action.yml").read_text(encoding="utf-8")

    assert "cache-dependency-path: constraints.txt" in text
    assert "-c constraints.txt" in text
    assert re.findall(r"uses: [\w/-]+@(\S+)", text) == ["a26af69be951a213d495a4c3e4e4022e16d87065"]


def test_nightly_sessions_are_of_the_noxfile() -> None:
    sessions = jobs("nightly.yml")["long"]["strategy"]["matrix"]["session"]
    known = re.findall(r"^def (\w+)\(session: nox.Session", (ROOT / "noxfile.py").read_text(), re.M)

    assert "conformance" in sessions
    assert set(sessions) <= set(known)


def test_what_nightly_upgrades_alone_names_no_extra() -> None:
    drift = jobs("nightly.yml")["drift"]
    (install,) = (step["run"] for step in drift["steps"] if "--no-deps" in step.get("run", ""))
    newest = drift["strategy"]["matrix"]["newest"]

    assert "--upgrade" in install
    for packages in newest:
        assert "[" not in packages  # pip ignores an extra there
        assert ("mlx" in packages.split()) == ("mlx-cpu" in packages.split())
