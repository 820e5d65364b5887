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
from harness.bundle.contents import (
    CONTROL,
    LEDGER,
    SCHEMAS,
    TAPS,
    VALUES,
    References,
    Tapped,
    Taps,
)
from harness.bundle.manifest import Origin, packages, tapped_file
from harness.errors import InputError, in_a_sentence
from harness.export.artifacts import is_refusal
from harness.export.control import control_template
from harness.export.lower import lower_to_mlx
from harness.export.taps import tapped
from harness.golden import Golden, GoldenKey, default_root
from harness.golden import read as read_golden
from harness.golden.store import list_goldens
from harness.localize.find import Line, localize_exact
from harness.localize.repro import with_repros
from harness.localize.steps import read_steps
from harness.methods import SOUND, Method
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
    taps: Taps | None = None


def prepare(
    request: Request, progress: Progress = lambda text: None, *, taps: Path | None = None
) -> Packed:
    """Record and export what `request` asks for.

    Parameters
    ----------
    request
        What to pack.
    progress
        Called with one line a step.
    taps
        Directory in which to write the methods' programs with taps, if any are wanted.

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
    if taps is not None and (request.artifacts is not None or request.executor == "xnnpack"):
        raise InputError(
            "--taps lowers each method to MLX again, with the value of every node an output; leave "
            "--artifacts and --backend xnnpack out"
        )
    models = open_models(request, progress)
    plan = resolve(request, models.checkpoint)
    evidence = record(plan, models, fresh=request.fresh, progress=progress)
    if request.artifacts is None:
        artifacts = export(plan, models, fresh=request.fresh, progress=progress)
    else:
        artifacts = open_artifacts(plan, request.artifacts)
    evidence = _followed(request, plan, models, evidence, artifacts, progress)
    line = Line(plan, evidence, artifacts, models, COMMITTED, progress)
    made = None if taps is None else _tap(line, taps)
    references = References(_goldens(plan), find_pins(plan), published(plan), _wrong(line))
    return Packed(plan, _needed(plan, evidence), artifacts, references, made)


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
            members |= _with_names(artifact, file.made.path)
        if packed.taps is not None:
            members[TAPS] = scratch / TAPS
            save(members[TAPS], packed.taps)
            for program in packed.taps.programs.values():
                if not program.failure:
                    members |= _with_names(program.path.name, program.path)
        write_bundle(path, origin, members)
    return bundle_digest(path)


def _with_names(name: str, path: Path) -> dict[str, Path]:
    """A program as a member, and the names beside it, if there are any."""
    names = names_file(path)
    return {name: path} | ({names_file(Path(name)).name: names} if names.is_file() else {})


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


def _tap(line: Line, directory: Path) -> Taps:
    """Lower each method that could be lowered again, with the value of every node an output."""
    return Taps({method.name: _tapped(line, method, directory) for method in _lowered(line)})


def _tapped(line: Line, method: Method, directory: Path) -> Tapped:
    line.progress(f"lowering {method.name} again, tapped")
    names, _ = read_steps(line.artifacts.paths[method.artifact], method.entry)
    path = directory / tapped_file(method.name)
    try:
        program = line.trace(method)
        nodes = tapped(program, names.values)
        lower_to_mlx({method.entry: program}, {}, path, without=line.plan.without, taps=True)
    except Exception as error:
        if not is_refusal(error):
            raise
        return Tapped(path, failure=in_a_sentence(error))
    return Tapped(path, nodes)


def _lowered(line: Line) -> list[Method]:
    """The methods that are in the files."""
    files = {name: file.facts for name, file in line.artifacts.files.items()}
    return [
        method
        for method in line.plan.selected
        if (facts := files[method.artifact]) is not None and method.entry in facts.methods
    ]


def _wrong(line: Line) -> tuple[Localized, ...]:
    """Where the programs stop meaning what eager means: the models that show it are here alone."""
    plan = line.plan
    if plan.lowering != "mlx":
        return ()
    if plan.sizes.dim >= WIDE:  # beside the models of the real size, a program has no room
        line.models.release()
    found: list[Localized] = []
    for method in _lowered(line):
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
