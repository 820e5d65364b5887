"""A bundle that shows the wrong node where its executor shows nothing but outputs."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from fixtures.blind import Blind, Native, Ops, louder, sharper
from fixtures.command_line import typed
from fixtures.rooms import Room
from harness.bundle import observing, packing
from harness.bundle.container import write_bundle
from harness.bundle.contents import Tapped, Taps, open_bundle
from harness.bundle.judging import judge_bundle
from harness.bundle.observing import observe_bundle, read_observation, write_observation
from harness.bundle.packing import Packed, pack, prepare
from harness.compare import Status, Verdict
from harness.errors import InputError, MachineError, UnavailableError
from harness.localize import tapped
from harness.parity import Request
from harness.parity.archive import save
from harness.parity.check import Checked
from harness.report import read_json
from tests.bundle.conftest import Shared
from tests.bundle.test_container import ORIGIN

METHOD = "predict_velocity"


@pytest.fixture(scope="session")
def with_taps(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Packed]:
    """What goes into a bundle of one method in a precision, with its tapped program."""

    @cache
    def made(precision: str, method: str) -> Packed:
        folder = tmp_path_factory.mktemp("taps")
        return prepare(Request(methods=(method,), precision=precision), taps=folder)

    return made


@pytest.fixture(scope="session")
def velocity(with_taps: Callable[[str, str], Packed], shared: Shared) -> Path:
    """A bundle of one method in fp32, with its tapped program."""
    return shared(
        "velocity.bundle", lambda path: pack(with_taps("fp32", METHOD), path, commit="c0ffee0")
    )


def judged(
    path: Path,
    executor: Blind,
    monkeypatch: pytest.MonkeyPatch,
    seen: Path,
    **options: Any,
) -> Checked:
    """Observed on one executor, written, and judged by who reads that."""
    monkeypatch.setattr(observing, "choose", lambda *_: executor)
    with open_bundle(path) as bundle:
        write_observation(observe_bundle(bundle, **options), seen)
        return judge_bundle(bundle, read_observation(seen, bundle))


def reds(checked: Checked) -> list[Verdict]:
    return [verdict for verdict in checked.verdicts if verdict.status is Status.FAIL]


@pytest.mark.parametrize(
    ("precision", "method", "ops", "operator", "line"),
    [
        pytest.param(
            "fp32", METHOD, sharper(), "aten.softmax.int", "softmax", marks=pytest.mark.slow
        ),
        ("bf16-4w8w", "text_decoder", louder("SiluNode", 1.05), "aten.silu.default", "F.silu"),
    ],
)
def test_a_wrong_kernel_is_named(
    precision: str,
    method: str,
    ops: Ops,
    operator: str,
    line: str,
    with_taps: Callable[[str, str], Packed],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path, seen = tmp_path / "some.bundle", tmp_path / "seen"
    pack(with_taps(precision, method), path, commit="")
    checked = judged(path, Native(ops), monkeypatch, seen)
    first, *others = reds(checked)
    assert (first.subject, first.kind) == (method, "tensor")
    assert {first.metrics["op"]} == set(ops)
    assert first.metrics["operator"] == operator
    assert line in str(first.metrics["source"])
    assert first.metrics["owner"] == "the executor or its kernel"
    assert f"localize {method}" in first.next
    assert "--executor native" in first.next
    assert not any("op" in verdict.metrics for verdict in others)  # once is enough
    (found,) = checked.findings
    assert found.proved
    assert "seen through taps" in found.proof

    right = judged(path, Native({}), monkeypatch, seen, every_step=True)
    assert {verdict.status for verdict in right.verdicts} == {Status.PASS}
    assert right.findings == ()
    (steps,) = [verdict for verdict in right.verdicts if verdict.kind == "local"]
    assert steps.subject == method
    assert steps.elements > 40


@pytest.mark.parametrize("precision", ["bf16-4w8w", pytest.param("bf16", marks=pytest.mark.slow)])
def test_every_step_shows_what_no_output_of_16_bits_shows(
    precision: str,
    with_taps: Callable[[str, str], Packed],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path, wrong = tmp_path / "some.bundle", Native(louder("SiluNode", 1.005))
    pack(with_taps(precision, "text_decoder"), path, commit="")
    checked = judged(path, wrong, monkeypatch, tmp_path / "seen", every_step=True)
    (red,) = reds(checked)
    assert (red.case, red.kind, red.metrics["op"]) == ("each step", "local", "SiluNode")
    assert "more steps showed no value of their own" in " ".join(red.notes)
    assert "aten.silu.default" in str(red.metrics["operator"])
    assert {finding.place.op for found in checked.findings for finding in found.findings} == {
        "SiluNode"
    }


def test_steps_that_could_not_be_watched_are_not_judged(
    velocity: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checked = judged(velocity, Crashing({}), monkeypatch, tmp_path / "seen", every_step=True)
    (steps,) = [verdict for verdict in checked.verdicts if verdict.case == "each step"]
    assert steps.status is Status.UNJUDGED
    assert "no memory for so many outputs" in steps.summary + "".join(steps.notes)


def test_every_step_needs_taps(
    v1: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "bundle", "run", str(v1), "--every-step") == 2
    assert "`bundle pack --taps` packs, and the bundle has none" in capsys.readouterr().err


def test_mlx_runs_it_without_torch_and_numpy_alone_judges_it(
    velocity: Path, mlx_room: Room, numpy_room: Room, tmp_path: Path
) -> None:
    assert mlx_room.lacks("torch", "executorch")
    code = """
import sys
from pathlib import Path
sys.path.append(sys.argv[3])
from fixtures.blind import Native, louder
from harness.bundle import observing
from harness.bundle.contents import open_bundle
observing.choose = lambda *_: Native(louder("SiluNode"))
with open_bundle(Path(sys.argv[1])) as bundle:
    observing.write_observation(observing.observe_bundle(bundle), Path(sys.argv[2]))
"""
    seen, report = tmp_path / "seen", tmp_path / "report.json"
    root = str(Path(__file__).parents[2])
    done = mlx_room.run("-c", code, str(velocity), str(seen), root)
    assert done.returncode == 0, done.stderr
    done = numpy_room.typed("bundle", "judge", str(velocity), str(seen), "--json", str(report))
    assert done.returncode == 1, done.stderr
    assert "the executor or its kernel is at fault" in done.stdout
    (found,) = read_json(report).findings
    assert {finding.place.target for finding in found.findings} == {"aten.silu.default"}


@pytest.mark.parametrize("every_step", [False, True])
def test_a_fault_that_vanishes_under_observation_is_said_to(
    every_step: bool, velocity: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = Native(louder("SiluNode"), most=1)
    checked = judged(velocity, wrong, monkeypatch, tmp_path / "seen", every_step=every_step)
    assert not any(verdict.kind == "local" for verdict in reds(checked))
    first = reds(checked)[0]
    assert "op" not in first.metrics
    assert "The fault vanishes under observation" in first.notes[-1]


def test_outputs_that_are_red_under_another_budget_alone_say_that_nobody_looked(
    velocity: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    judged(velocity, Native(louder("SiluNode")), monkeypatch, seen)
    with open_bundle(velocity) as bundle:
        made = dataclasses.replace(read_observation(seen, bundle), tapped={})
        first = reds(judge_bundle(bundle, made))[0]
    assert "its tapped program was not run" in first.notes[-1]


def test_without_taps_the_verdict_says_what_would_name_the_node(
    packed: Callable[[tuple[str, ...]], Packed], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "some.bundle"
    pack(packed((METHOD,)), path, commit="")
    with zipfile.ZipFile(path) as file:
        assert not any("tap" in name for name in file.namelist())
    seen = tmp_path / "seen"
    first = reds(judged(path, Native(louder("SiluNode")), monkeypatch, seen))[0]
    assert "`voxtral-parity bundle pack --taps`" in first.notes[-1]
    assert f"`voxtral-parity check {METHOD} --executor native`" in first.notes[-1]
    with open_bundle(path) as bundle:  # neither helps with a file of others
        given = dataclasses.replace(bundle, plan=dataclasses.replace(bundle.plan, given=True))
        first = reds(judge_bundle(given, read_observation(seen, bundle)))[0]
    assert "that others exported is unknown" in first.notes[-1]


def test_an_executor_whose_values_are_seen_needs_no_taps(velocity: Path) -> None:
    with open_bundle(velocity) as bundle:
        made = observe_bundle(bundle, "portable")
    assert METHOD in made.observation.local
    assert made.tapped == {}


class Crashing(Native):
    """Has no room for a program of many outputs."""

    def load(self, path: Path) -> None:
        if "tapped" in path.name:
            raise MachineError("no memory for so many outputs")
        super().load(path)


def test_trouble_with_the_tapped_program_leaves_the_verdict(
    velocity: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = louder("SiluNode")
    first = reds(judged(velocity, Crashing(wrong), monkeypatch, tmp_path / "seen"))[0]
    assert first.notes[-1] == "The node could not be found: no memory for so many outputs"

    def absent() -> Any:
        raise UnavailableError("the portable executor needs mlx")

    monkeypatch.setattr(tapped, "portable", absent)
    first = reds(judged(velocity, Native(wrong), monkeypatch, tmp_path / "again"))[0]
    assert first.notes[-1] == "The node could not be found: the portable executor needs mlx"


def test_a_method_that_cannot_be_lowered_with_taps_is_packed_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refusing(*given: Any, **options: Any) -> None:
        raise RuntimeError("no such pass")

    monkeypatch.setattr(packing, "lower_to_mlx", refusing)
    path = tmp_path / "some.bundle"
    pack(prepare(Request(methods=(METHOD,)), taps=tmp_path), path, commit="")
    first = reds(judged(path, Native(louder("SiluNode")), monkeypatch, tmp_path / "seen"))[0]
    assert "lowered with taps when it was packed (RuntimeError: no such pass)" in first.notes[-1]


def test_a_damaged_tapped_program_is_one_sentence(
    velocity: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content, name = bytearray(velocity.read_bytes()), f"{METHOD}.tapped.pte"
    content[content.index(name.encode() + b"\1\0\20\0") + 1000] ^= 1  # behind the member's header
    path = tmp_path / "damaged.bundle"
    path.write_bytes(content)
    assert typed(monkeypatch, "bundle", "run", str(path), "--executor", "portable") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if not x.startswith("· ")]
    assert f"is damaged: {name} has sha256" in line


@pytest.mark.parametrize("method", [METHOD, "../outside", "unknown"])
def test_taps_without_their_program_are_refused(
    method: str, velocity: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(velocity) as file:
        names = [name for name in file.namelist() if not name.startswith((METHOD, "manifest"))]
        file.extractall(tmp_path, names)
    save(tmp_path / "taps.safetensors", Taps({method: Tapped(Path("x"), ("node",))}))
    path = tmp_path / "short.bundle"
    write_bundle(path, ORIGIN, {name: tmp_path / name for name in names})
    with (
        pytest.raises(InputError, match=r"not whole: it has no .*\.tapped\.pte"),
        open_bundle(path),
    ):
        pass


def test_older_bundles_have_no_taps(v1: Path) -> None:
    with open_bundle(v1) as bundle:
        assert bundle.taps is None
