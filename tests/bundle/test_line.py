"""The same verdicts, bit for bit, whichever machine observes and whichever judges."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.exports import Line
from fixtures.rooms import COMMAND_LINE, Room, make_room
from harness.bundle.contents import Bundle, open_bundle
from harness.bundle.judging import judge_bundle, read_budget
from harness.bundle.observing import (
    BundleObservation,
    observe_bundle,
    read_observation,
)
from harness.bundle.packing import Packed, pack, prepare
from harness.compare import Status, Verdict
from harness.errors import InputError
from harness.parity import Request, check
from harness.parity.judge import judge
from harness.parity.judges.golden import find_golden
from harness.parity.judges.pins import find_pins
from harness.parity.observation import Observation
from harness.report import read_json


def judged(bundle: Bundle, observation: Observation, **options: Any) -> dict[str, Verdict]:
    made = BundleObservation(1, bundle.facts.sha256, "", 0.0, {}, observation)
    found = judge_bundle(bundle, made, **options).verdicts
    return {f"{verdict.subject}, {verdict.case}": verdict for verdict in found}


def test_a_bundle_gives_the_verdicts_of_check(whole: Path, observed: Path, tiny_line: Line) -> None:
    checked = check(tiny_line.request, models=tiny_line.models).verdicts
    with open_bundle(whole) as bundle:
        found = judge_bundle(bundle, read_observation(observed, bundle)).verdicts
    assert [repr(verdict) for verdict in found] == [repr(verdict) for verdict in checked]
    assert len(found) > 60
    kinds = {verdict.kind for verdict in found}
    assert {"exact", "local", "codes", "waveform", "golden", "repeat"} <= kinds


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "bf16-4w8w"])
def test_a_bundle_gives_the_verdicts_of_check_in_16_bits(precision: str, tmp_path: Path) -> None:
    request = Request(precision=precision, executor="portable")
    path = tmp_path / "some.bundle"
    pack(prepare(request), path, commit="")
    with open_bundle(path) as bundle:
        made = observe_bundle(bundle, "portable")
        assert bundle.evidence.followed is not None  # eager would have chosen others
        found = judge_bundle(bundle, made).verdicts
    there = check(request).verdicts
    assert [repr(verdict) for verdict in found] == [repr(verdict) for verdict in there]


def test_numpy_alone_judges_the_same(
    whole: Path, observed: Path, numpy_room: Room, tmp_path: Path
) -> None:
    assert numpy_room.lacks("torch", "executorch", "mlx", "scipy", "mistral_common")
    report = tmp_path / "report.json"
    done = numpy_room.typed("bundle", "judge", str(whole), str(observed), "--json", str(report))
    assert done.returncode == 0, done.stderr
    with open_bundle(whole) as bundle:
        made = read_observation(observed, bundle)
        assert read_json(report).verdicts == judge_bundle(bundle, made).verdicts
        by = made.versions["voxtral-parity"]
        facts = dataclasses.replace(bundle.facts, observed=made.observed, observed_by=by)
        assert read_json(report).bundle == facts
    assert bundle.facts.commit == "c0ffee0"


def test_mlx_and_numpy_alone_run_a_bundle_that_numpy_alone_judges(
    whole: Path, mlx_room: Room, numpy_room: Room, tmp_path: Path
) -> None:
    assert mlx_room.lacks("torch", "executorch", "scipy", "mistral_common", "filelock")
    seen, report = tmp_path / "seen", tmp_path / "report.json"
    done = mlx_room.typed("bundle", "run", str(whole), "--observe-only", str(seen))
    assert done.returncode == 0, done.stderr
    done = numpy_room.typed("bundle", "judge", str(whole), str(seen), "--json", str(report))
    assert done.returncode == 0, done.stdout[-3000:]
    kinds = {verdict.kind for verdict in read_json(report).verdicts}
    assert {"exact", "local", "codes", "waveform"} <= kinds


def test_an_executor_that_is_not_installed_is_one_sentence(v1: Path, numpy_room: Room) -> None:
    done = numpy_room.typed("bundle", "run", str(v1), "--executor", "portable")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(
        "voxtral-parity: the portable executor needs mlx"
    )


def test_the_exact_link_needs_no_mlx(v1: Path, numpy_room: Room) -> None:
    code = """
import sys
from pathlib import Path
from harness.bundle.contents import open_bundle
from harness.parity.links import observe_exact
with open_bundle(Path(sys.argv[1])) as bundle:
    exact = observe_exact(bundle.plan, bundle.evidence, bundle.artifacts)
    print(sum(len(seen.outputs) for cases in exact.values() for seen in cases.values()))
"""
    done = numpy_room.run("-c", code, str(v1))
    assert done.stdout.strip().isdecimal(), done.stderr
    assert int(done.stdout) >= 20


def test_a_fault_in_what_was_observed_is_red(whole: Path, observed: Path) -> None:
    with open_bundle(whole) as bundle:
        made = read_observation(observed, bundle).observation
        cases = {name: dict(found) for name, found in made.cases.items()}
        speech = cases["codec"]["speech"]
        halved = tuple(output * np.float32(0.5) for output in speech.outputs)
        cases["codec"]["speech"] = dataclasses.replace(speech, outputs=halved)
        found = judged(bundle, dataclasses.replace(made, cases=cases))
    assert found["codec, speech"].status is Status.FAIL
    failed = {verdict.subject for verdict in found.values() if verdict.status is Status.FAIL}
    assert failed == {"codec"}


def test_another_budget_judges_the_same_observation(
    v1: Path, v1_observation: Path, tmp_path: Path
) -> None:
    with open_bundle(v1) as bundle:
        made = read_observation(v1_observation, bundle)
        assert {v.status for v in judge_bundle(bundle, made).verdicts} == {Status.PASS}
        ledger = tmp_path / "strict.json"
        from harness.budget.ledger import FILE

        told = json.loads(FILE.read_text())
        for row in told["rows"]:
            row["allowed"] /= 1e3
        ledger.write_text(json.dumps(told))
        strict = judge_bundle(bundle, made, budget=read_budget(ledger)).verdicts
    kinds = {verdict.kind for verdict in strict if verdict.status is Status.FAIL}
    assert {"tensor", "exact"} <= kinds


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 1, "runs": {}, "rows": []}', '{"schema": 2}']
)
def test_a_budget_that_is_none_is_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"budget\.json is no ledger of allowances"):
        read_budget(path)


def test_an_observation_of_another_bundle_is_refused(
    whole: Path, v1: Path, v1_observation: Path, observed: Path
) -> None:
    with open_bundle(whole) as bundle, pytest.raises(InputError, match="judge it with the bundle"):
        read_observation(v1_observation, bundle)
    with open_bundle(v1) as bundle, pytest.raises(InputError, match="judge it with the bundle"):
        read_observation(observed, bundle)


def test_a_file_of_another_kind_is_no_observation(v1: Path, tmp_path: Path) -> None:
    path = tmp_path / "some.observation"
    with open_bundle(v1) as bundle:
        with pytest.raises(InputError, match="holds no BundleObservation"):
            read_observation(v1, bundle)
        path.write_text("{}")
        with pytest.raises(InputError, match="holds no BundleObservation"):
            read_observation(path, bundle)
        path.unlink()
        os.mkfifo(path)
        with pytest.raises(InputError, match="not a regular file"):
            read_observation(path, bundle)


def test_an_executor_of_another_lowering_is_refused(v1: Path) -> None:
    with open_bundle(v1) as bundle:
        with pytest.raises(InputError, match="lowered to mlx"):
            observe_bundle(bundle, "xnnpack")
        with pytest.raises(InputError, match="no bundle holds"):
            observe_bundle(bundle, "runner")


def test_a_bundle_of_some_methods_needs_no_evidence_of_the_others(
    packed: Callable[[tuple[str, ...]], Packed], tiny_line: Line, tmp_path: Path
) -> None:
    some = packed(("semantic_head", "predict_velocity"))
    assert set(some.evidence.cases) == {"semantic_head", "predict_velocity", "token_embedding"}
    path = tmp_path / "some.bundle"
    pack(some, path, commit="")
    plan = dataclasses.replace(tiny_line.plan, methods=some.plan.methods, speaks=False)
    artifacts = dataclasses.replace(
        tiny_line.artifacts, files={"model.pte": tiny_line.artifacts.files["model.pte"]}
    )
    there = judge(
        plan, tiny_line.evidence, artifacts, tiny_line.observation,
        golden=find_golden(plan, tiny_line.observation.executor), pins=find_pins(plan),
    )  # fmt: skip
    with open_bundle(path) as bundle:
        here = judged(bundle, tiny_line.observation)
    assert [repr(verdict) for verdict in here.values()] == [repr(verdict) for verdict in there]
    assert sum(verdict.kind == "golden" for verdict in there) == 2
    shutil.rmtree(tmp_path)


def test_what_could_not_be_lowered_is_a_failed_verdict(
    packed: Callable[[tuple[str, ...]], Packed], tmp_path: Path
) -> None:
    some = packed(("semantic_head", "predict_velocity"))
    (file,) = some.artifacts.files.values()
    failures = dict.fromkeys(some.plan.methods, "ValueError: no handler")
    made = dataclasses.replace(
        file.made, path=tmp_path / "absent", bytes=0, sha256="", failures=failures
    )
    nothing = dataclasses.replace(file, made=made, sha256="", facts=None)
    artifacts = dataclasses.replace(some.artifacts, files={"model.pte": nothing})
    path = tmp_path / "none.bundle"
    pack(dataclasses.replace(some, artifacts=artifacts), path, commit="")
    with open_bundle(path) as bundle:
        found = judge_bundle(bundle, observe_bundle(bundle, "portable")).verdicts
    failed = {v.subject for v in found if v.status is Status.FAIL}
    assert failed == {"semantic_head", "predict_velocity"}
    assert any("no handler" in verdict.summary for verdict in found)


@pytest.mark.slow
def test_executorch_runs_a_bundle_without_mlx(tmp_path: Path, numpy_room: Room) -> None:
    """As on a Mac, where the runtime brings its own MLX; XNNPACK stands in for that here."""
    path, seen = tmp_path / "codec.bundle", tmp_path / "seen"
    pack(prepare(Request(methods=("codec",), executor="xnnpack")), path, commit="")
    room = make_room(tmp_path / "room", (*COMMAND_LINE, "executorch", "torch"))
    assert room.lacks("mlx")
    done = room.typed("bundle", "run", str(path), "--observe-only", str(seen))
    assert done.returncode == 0, done.stderr
    done = numpy_room.typed("bundle", "judge", str(path), str(seen))
    assert done.returncode == 0, done.stdout[-3000:]
