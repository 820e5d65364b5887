"""A red bundle says which node is wrong, in which line of the model, and whose fault it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from fixtures.command_line import typed
from fixtures.rooms import Room
from harness.bundle import packing
from harness.bundle.contents import References, open_bundle
from harness.bundle.judging import judge_bundle
from harness.bundle.observing import read_observation
from harness.bundle.packing import pack, prepare
from harness.compare import Status
from harness.parity import Request
from harness.report import Finding, Localized, Place, read_json


@pytest.mark.slow
def test_a_wrong_export_is_explained_where_numpy_is_alone(
    mlx_room: Room, numpy_room: Room, tmp_path: Path
) -> None:
    wrong = Request(methods=("codec",), codec_form="unfold", without=("adjacent-indices",))
    path, seen, report = (tmp_path / name for name in ("wrong.bundle", "seen", "report.json"))
    pack(prepare(wrong), path, commit="")
    assert mlx_room.typed("bundle", "run", str(path), "--observe-only", str(seen)).returncode == 0
    done = numpy_room.typed("bundle", "judge", str(path), str(seen), "--json", str(report))
    assert done.returncode == 1, done.stderr
    told = read_json(report)
    (found,) = told.findings
    assert [finding.place.target for finding in found.findings] == ["aten.im2col.default"] * 2
    assert all("model.py, line" in finding.place.source for finding in found.findings)
    assert all(finding.correction == "adjacent-indices" for finding in found.findings)
    assert "torch.ops.aten.im2col" in found.findings[0].repro
    assert found.proved
    (exact,) = (v for v in told.verdicts if v.kind == "exact")
    assert exact.metrics["node"] == "im2col"
    assert "the lowering is at fault" in done.stdout
    speech = next(v for v in told.verdicts if v.kind == "waveform")
    assert speech.next == (
        "voxtral-parity localize codec --codec-form unfold --without adjacent-indices --repro repro"
    )


def test_a_right_export_has_no_wrong_node_in_its_bundle(whole: Path) -> None:
    with open_bundle(whole) as bundle:
        assert bundle.references.wrong == ()
        assert bundle.references.pins is not None


def test_a_wrong_step_is_explained_by_the_names_in_the_bundle(whole: Path, observed: Path) -> None:
    with open_bundle(whole) as bundle:
        made = read_observation(observed, bundle)
        seen = made.observation.local["predict_velocity"]
        at = next(i for i, s in enumerate(seen.steps) if s.worst.op == "SiluNode")
        step = seen.steps[at]
        assert step.worst.error is not None
        far = dataclasses.replace(step.worst.error, worst=3.0, made=2.0)
        off = dataclasses.replace(step, worst=dataclasses.replace(step.worst, error=far))
        wrong = dataclasses.replace(seen, steps=(*seen.steps[:at], off, *seen.steps[at + 1 :]))
        local = {**made.observation.local, "predict_velocity": wrong}
        observation = dataclasses.replace(made.observation, local=local)
        checked = judge_bundle(bundle, dataclasses.replace(made, observation=observation))
    (verdict,) = (v for v in checked.verdicts if v.status is Status.FAIL)
    assert (verdict.subject, verdict.kind) == ("predict_velocity", "local")
    assert verdict.metrics["operator"] == "aten.silu.default"
    assert verdict.metrics["owner"] == "the executor or its kernel"
    assert verdict.next == "voxtral-parity localize predict_velocity --repro repro"
    (found,) = checked.findings
    assert "F.silu" in found.findings[0].place.source
    assert found.findings[0].made == (2.0,)
    assert not found.proved


def test_a_program_that_means_something_else_is_explained_by_who_packed_it(
    whole: Path, observed: Path
) -> None:
    place = Place(3, "GatherNode", "index", "aten.index.Tensor", "head", "model.py, line 1: x[i]")
    finding = Finding(place, "exact", "the lowering", 0.5)
    known = Localized("semantic_head", "speech", 0, (finding,), True, "It was replaced.")
    with open_bundle(whole) as bundle:
        bundle = dataclasses.replace(bundle, references=References(wrong=(known,)))
        made = read_observation(observed, bundle)
        assert judge_bundle(bundle, made).findings == ()
        cases = {
            label: dataclasses.replace(case, outputs=tuple(2 * output for output in case.outputs))
            for label, case in made.observation.exact["semantic_head"].items()
        }
        exact = {**made.observation.exact, "semantic_head": cases}
        observation = dataclasses.replace(made.observation, exact=exact)
        checked = judge_bundle(bundle, dataclasses.replace(made, observation=observation))
    assert checked.findings == (known,)
    (verdict,) = (v for v in checked.verdicts if v.status is Status.FAIL)
    assert verdict.kind == "exact"
    assert verdict.metrics["source"] == "model.py, line 1: x[i]"
    assert "It was replaced." in verdict.notes


def test_who_packs_a_wrong_export_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = Localized("semantic_head", "speech", 0, (), False, "")
    monkeypatch.setattr(packing, "localize_exact", lambda line, method: found)
    path = tmp_path / "wrong.bundle"
    assert typed(monkeypatch, "bundle", "pack", "semantic_head", str(path)) == 0
    told = capsys.readouterr().err
    assert "semantic_head means something else than eager; the bundle is red" in told
    with open_bundle(path) as bundle:
        assert bundle.references.wrong == (found,)


def test_references_of_older_bundles_have_no_wrong_nodes(v1: Path) -> None:
    with open_bundle(v1) as bundle:
        assert bundle.references.wrong == ()
