"""The jobs of the workflow from packing to the gate, run here; then pieces go missing in between.

A stand-in plays the Mac: it runs the bundles on the portable executor and says that it was native.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.report import read_json, to_json
from tests.ci.workflow import FORK, Workspace, jobs

pytestmark = pytest.mark.slow

COMMIT = "0123456789abcdef0123456789abcdef01234567"
JOBS = {"lint": "success", "tests": "success", "pack": "success", "portable": "success",
        "native": "success", "hosted": "failure"}  # fmt: skip


def workspace(
    directory: Path, commit: str = COMMIT, mac: str = "on", fork: str = "false"
) -> Workspace:
    return Workspace(directory, commit, {"vars.PARITY_MAC": mac, FORK: fork})


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the jobs `pack` and `portable` and the stand-in upload."""
    directory = tmp_path_factory.mktemp("ci") / "pack"
    runner = workspace(directory)
    for name in ("pack", "portable"):
        code, said = runner.run(jobs("parity.yml")[name])
        assert code == 0, said
    uploads = directory.parent / "uploads"
    shutil.copytree(directory / "bundles", uploads / "bundles")
    shutil.copy(directory / "expected.json", uploads)
    portable = uploads / "results" / "results-portable"
    shutil.copytree(directory / "results", portable)
    for path in sorted(portable.rglob("result.json")):
        report = read_json(path)
        played = dataclasses.replace(report.executor, executor="native", device="a Mac, played")
        target = uploads / "results" / "results-native" / "native" / path.parent.name / path.name
        target.parent.mkdir(parents=True)
        target.write_text(to_json(dataclasses.replace(report, executor=played)))
    return uploads


def gate(
    packed: Path, directory: Path, edit: Callable[[Path], object], **changes: str
) -> tuple[int, str]:
    """What the job `gate` says of edited uploads: its exit code and its output."""
    options = {key: changes.pop(key) for key in ("commit", "mac", "fork") if key in changes}
    runner = workspace(directory / "gate", **options)
    shutil.copytree(packed, runner.directory, dirs_exist_ok=True)
    edit(runner.directory)
    runner.needs(**{**JOBS, **changes})
    code, said = runner.run(jobs("parity.yml")["gate"])
    return code, " ".join(said.split())


def test_everything_there_is_green(packed: Path, tmp_path: Path) -> None:
    code, said = gate(packed, tmp_path, lambda root: None)

    assert code == 0, said
    assert "::error" not in said
    assert "gate" in (tmp_path / "gate" / "summary.md").read_text()


def native(root: Path, precision: str = "bf16") -> Path:
    return root / "results" / "results-native" / "native" / f"tiny-{precision}" / "result.json"


def remove(root: Path) -> None:
    shutil.rmtree(native(root).parents[2])


def remove_all(root: Path) -> None:
    shutil.rmtree(root / "results")


def empty(root: Path) -> None:
    native(root).write_text("")


def truncate(root: Path) -> None:
    native(root).write_bytes(native(root).read_bytes()[:-1000])


def swap(root: Path) -> None:
    one, other = native(root), native(root, "fp32")
    both = one.read_bytes(), other.read_bytes()
    one.write_bytes(both[1])
    other.write_bytes(both[0])


def copy(root: Path) -> None:
    native(root).write_bytes(native(root, "fp32").read_bytes())


def age(root: Path) -> None:
    report = json.loads(native(root).read_text())
    then = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    report["started"] = then.isoformat(timespec="seconds")
    native(root).write_text(json.dumps(report))


def other_commit(root: Path) -> None:
    report = json.loads(native(root).read_text())
    report["bundle"]["commit"] = "f" * 40
    native(root).write_text(json.dumps(report))


def fewer(root: Path) -> None:
    report = json.loads(native(root).read_text())
    report["verdicts"] = [v for v in report["verdicts"] if v["subject"] != "codec"]
    native(root).write_text(json.dumps(report))


def fail(root: Path) -> None:
    report = json.loads(native(root).read_text())
    report["verdicts"][-1]["status"] = "fail"
    native(root).write_text(json.dumps(report))


@pytest.mark.parametrize(
    ("edit", "code", "said"),
    [
        (remove, 2, "no result; the job that runs it did not upload one"),
        (remove_all, 2, "no result; the job that runs it did not upload one"),
        (empty, 2, "not a report"),
        (truncate, 2, "not a report"),
        (copy, 2, "2 results, expected one"),
        (age, 2, "before the bundle"),
        (other_commit, 2, "it is of commit fff"),
        (fewer, 2, "codec"),
        (fail, 1, "1 of"),
        (lambda root: (root / "expected.json").unlink(), 2, "expected.json"),
        (lambda root: (root / "expected.json").write_text("{}"), 2, "which results are expected"),
    ],
)
def test_a_piece_that_is_not_as_it_was_is_red(
    packed: Path, tmp_path: Path, edit: Callable[[Path], object], code: int, said: str
) -> None:
    found, told = gate(packed, tmp_path, edit)

    assert found == code
    assert said in told


def test_results_in_each_others_folders_are_told_by_their_bundles(
    packed: Path, tmp_path: Path
) -> None:
    assert gate(packed, tmp_path, swap)[0] == 0  # what a file says counts, not where it lies


@pytest.mark.parametrize("job", ["lint", "tests", "pack", "portable", "native"])
@pytest.mark.parametrize(("result", "code"), [("failure", 1), ("skipped", 2), ("cancelled", 2)])
def test_a_job_that_did_not_end_well_is_red(
    packed: Path, tmp_path: Path, job: str, result: str, code: int
) -> None:
    found, told = gate(packed, tmp_path, lambda root: None, **{job: result})

    assert found == code
    assert f"job {job}" in told


def test_bundles_of_another_commit_are_red(packed: Path, tmp_path: Path) -> None:
    found, told = gate(packed, tmp_path, lambda root: None, commit="e" * 40)

    assert found == 2
    assert "pack them again" in told


def test_a_mac_that_is_switched_off_may_be_skipped_but_its_results_are_missed(
    packed: Path, tmp_path: Path
) -> None:
    found, told = gate(packed, tmp_path, lambda root: None, mac="off", native="skipped")

    assert found == 0, told  # the results are there all the same
    assert "switched off by a variable of the repository" in told


def test_a_fork_that_reaches_no_mac_is_red(packed: Path, tmp_path: Path) -> None:
    found, told = gate(packed, tmp_path, remove, mac="", fork="true", native="skipped")

    assert found == 2
    assert "a pull request from a fork does not reach a Mac" in told
    assert "tiny-bf16.bundle on native" in told
