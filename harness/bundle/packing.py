"""Make a bundle: record and export as `check` does, and write everything that judging needs."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from harness.budget import COMMITTED
from harness.budget.ledger import FILE
from harness.bundle.container import bundle_digest, write_bundle
from harness.bundle.contents import CONTROL, LEDGER, SCHEMAS, VALUES, References
from harness.bundle.manifest import Origin, packages
from harness.errors import InputError
from harness.export.control import control_template
from harness.golden import Golden, GoldenKey, default_root
from harness.golden import read as read_golden
from harness.golden.store import list_goldens
from harness.localize.find import Line, localize_exact
from harness.localize.repro import with_repros
from harness.methods import SOUND
from harness.methods.cases import WIDE
from harness.parity.archive import save
from harness.parity.artifacts import Artifacts, export, open_artifacts
from harness.parity.check import open_models
from harness.parity.evidence import Evidence
from harness.parity.judges.pins import find_pins
from harness.parity.observation import Refusal
from harness.parity.observe import say_once
from harness.parity.plan import Plan, resolve
from harness.parity.record import follow_codes, record
from harness.parity.replay import guarded
from harness.parity.request import RUNNER, Request
from harness.parity.words import published
from harness.pte.names import names_file
from harness.pte.schema import schema_texts
from harness.reference.models import Models
from harness.report import Localized
from harness.runtime.pair import ArtifactPair
from harness.runtime.select import choose
from harness.values import timestamp

__all__ = ["Packed", "pack", "prepare"]

Progress = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Packed:
    """What goes into a bundle."""

    plan: Plan
    evidence: Evidence
    artifacts: Artifacts
    references: References


def prepare(request: Request, progress: Progress = lambda text: None) -> Packed:
    """Record and export what `request` asks for.

    Raises
    ------
    InputError
        The request asks for what no bundle can hold.
    """
    if request.executor == RUNNER or request.triangulate or request.regime or request.asr:
        raise InputError(
            "a bundle is run by executors that call methods; leave the runner, --triangulate, "
            "--regime and --asr out"
        )
    models = open_models(request, progress)
    plan = resolve(request, models.checkpoint)
    evidence = record(plan, models, fresh=request.fresh, progress=progress)
    if request.artifacts is None:
        artifacts = export(plan, models, fresh=request.fresh, progress=progress)
    else:
        artifacts = open_artifacts(plan, request.artifacts)
    evidence = _followed(request, plan, models, evidence, artifacts, progress)
    wrong = _wrong(Line(plan, evidence, artifacts, models, COMMITTED, progress))
    references = References(_goldens(plan), find_pins(plan), published(plan), wrong)
    return Packed(plan, _needed(plan, evidence), artifacts, references)


def pack(packed: Packed, path: Path, *, commit: str, ledger: Path = FILE) -> str:
    """Write a bundle, whole or not at all; its sha256 in hex.

    Parameters
    ----------
    packed
        What goes into it.
    path
        The file.
    commit
        See `Origin`.
    ledger
        The allowances to keep.
    """
    origin = Origin(timestamp(), commit, packages())
    with tempfile.TemporaryDirectory(prefix="voxtral-bundle-") as name:
        scratch = Path(name)
        members: dict[str, Path] = {LEDGER: ledger, SCHEMAS: scratch / SCHEMAS}
        members[SCHEMAS].write_text(json.dumps(schema_texts()), encoding="utf-8")
        if packed.plan.lowering == "mlx":
            members[CONTROL] = scratch / CONTROL
            members[CONTROL].write_bytes(control_template())
        for kind in VALUES:
            members[f"{kind}.safetensors"] = scratch / f"{kind}.safetensors"
            save(scratch / f"{kind}.safetensors", getattr(packed, kind))
        for artifact, file in packed.artifacts.files.items():
            if not file.sha256:
                continue  # nothing could be lowered
            members[artifact] = file.made.path
            names = names_file(file.made.path)
            if names.is_file():
                members[names_file(Path(artifact)).name] = names
        write_bundle(path, origin, members)
    return bundle_digest(path)


def _followed(
    request: Request,
    plan: Plan,
    models: Models,
    evidence: Evidence,
    artifacts: Artifacts,
    progress: Progress,
) -> Evidence:
    """`evidence`, with what eager decides along the codes that this machine's executor chooses.

    In 16 bits an executor soon chooses others than eager; who computes as this one does is judged
    on the same, and anybody else along eager's own codes.
    """
    if not plan.speaks or not artifacts.whole:
        return evidence
    progress("speaking, for eager to follow")
    with ArtifactPair(artifacts.paths, partial(choose, request.executor), progress) as run:
        said = guarded(lambda: say_once(plan, evidence, run))
    if isinstance(said, Refusal):
        return evidence  # whoever runs the bundle will be told
    return follow_codes(
        plan, evidence, models, said.codes, said.ended, fresh=request.fresh, progress=progress
    )


def _wrong(line: Line) -> tuple[Localized, ...]:
    """Where the programs stop meaning what eager means: the models that show it are here alone."""
    plan, files = line.plan, line.artifacts.files
    if plan.lowering != "mlx":
        return ()
    if plan.sizes.dim >= WIDE:  # beside the models of the real size, a program has no room
        line.models.release()
    found: list[Localized] = []
    for method in plan.selected:
        facts = files[method.artifact].facts
        if facts is not None and method.entry in facts.methods:
            line.progress(f"running {method.name} in float64")
            wrong = localize_exact(line, method)
            found += [] if wrong is None else [with_repros(line, wrong)]
    return tuple(found)


def _goldens(plan: Plan) -> tuple[Golden, ...]:
    """Those of the plan's sound, in every regime."""
    if not plan.usual:
        return ()
    try:
        root = default_root()
    except InputError:
        return ()  # installed without a checkout: there are no goldens
    mine = (plan.checkpoint.name, SOUND.name, plan.precision.name)
    keys = [key for key in list_goldens(root) if _place(key) == mine]
    found = (read_golden(root, key) for key in keys)
    return tuple(one for one in found if one is not None)


def _place(key: GoldenKey) -> tuple[str, str, str]:
    return key.checkpoint, key.method, key.precision


_OF_PINS = "token_embedding"
"""Whose recorded calls tell how long the prompt is, which the pins of every method need."""


def _needed(plan: Plan, evidence: Evidence) -> Evidence:
    """What judging the plan's methods needs."""
    wanted = {*plan.methods}
    cases = {
        name: items if name in wanted else items[:1]
        for name, items in evidence.cases.items()
        if name in wanted or name == _OF_PINS
    }
    evidence = dataclasses.replace(
        evidence,
        cases=cases,
        fp32={name: kept for name, kept in evidence.fp32.items() if name in wanted},
        exact={name: kept for name, kept in evidence.exact.items() if name in wanted},
    )
    if plan.speaks:
        return evidence
    silent = dataclasses.replace(evidence.speech, waveform=np.zeros(0, np.float32))
    return dataclasses.replace(evidence, speech=silent, own=None, exact_own=None)
