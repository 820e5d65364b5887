"""Run a bundle: what an executor of this machine does with it, and the same as a file."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Collection, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from harness.bundle.contents import Bundle, Tapped
from harness.bundle.manifest import packages
from harness.compare import Status
from harness.errors import InputError
from harness.files import open_file
from harness.localize.tapped import VANISHED, Off, judged, through_taps, up_to_wrong
from harness.localize.watching import WatchedThroughTaps
from harness.methods import Method
from harness.parity.archive import load, save
from harness.parity.control import observe_control
from harness.parity.evidence import CaseEvidence
from harness.parity.links import observe_exact, observe_local
from harness.parity.observation import By, LocalObservation, Observation, Refusal
from harness.parity.observe import limits_of, observe
from harness.parity.replay import guarded
from harness.parity.request import RUNNER
from harness.report import Localized
from harness.runtime.pair import ArtifactPair
from harness.runtime.protocol import Executor
from harness.runtime.select import choose, refuse_virtual
from harness.synthesis import follow
from harness.values import timestamp

__all__ = [
    "VERSION",
    "BundleObservation",
    "observe_bundle",
    "read_observation",
    "write_observation",
]

Progress = Callable[[str], None]

VERSION = 1
"""Of the form of an observation's file."""


@dataclass(frozen=True)
class BundleObservation:
    """What became of a bundle on one machine; a file of its own.

    Attributes
    ----------
    version
        Of the file's form.
    bundle
        sha256 of the bundle file, in hex.
    observed, seconds
        When: UTC, ISO 8601, and how long it took; empty where nobody knows.
    versions
        Package → version on that machine.
    observation
        What the executor did.
    tapped
        Of methods whose outputs were off there, and whose steps were not to be seen: what their
        tapped programs showed, by the method's name.
    """

    version: int
    bundle: str
    observed: str
    seconds: float
    versions: dict[str, str]
    observation: Observation
    tapped: Mapping[str, Localized] = field(default_factory=dict)


def observe_bundle(
    bundle: Bundle,
    executor: str = "auto",
    require: str | None = None,
    progress: Progress = lambda text: None,
    *,
    allow_virtual_gpu: bool = False,
    every_step: bool = False,
) -> BundleObservation:
    """Run a bundle's programs.

    Parameters
    ----------
    bundle
        It must stay open.
    executor, require
        As in `harness.runtime.select.choose`; of a bundle that was lowered to XNNPACK, ``auto``
        is that.
    progress
        Called with one line a step.
    allow_virtual_gpu
        Whether the GPU of a virtual machine may run it.
    every_step
        Whether the steps of an executor that shows outputs alone are watched through the bundle's
        tapped programs.

    Raises
    ------
    InputError
        The executor runs no programs of the bundle's lowering, or `every_step` needs tapped
        programs that the bundle does not have.
    HarnessError
        An executor cannot be had, or cannot load a file.
    """
    executor = _suited(bundle, executor, require)
    if every_step and bundle.taps is None:
        raise InputError(
            "--every-step runs the programs that `bundle pack --taps` packs, and the bundle has "
            "none; pack it again with --taps, or leave --every-step out"
        )
    started = datetime.datetime.now(datetime.UTC)
    plan, evidence, artifacts = bundle.plan, bundle.evidence, bundle.artifacts
    make = partial(choose, executor, require)
    if not allow_virtual_gpu:
        with closing(make()) as chosen:
            refuse_virtual(chosen)
    with ArtifactPair(artifacts.paths, make, progress) as run:
        seen = observe(plan, evidence, artifacts, run, progress=progress)
        progress("measuring how exactly the executor multiplies")
        seen = dataclasses.replace(seen, executor=run.measured)
        seen = _along(bundle, seen, run, progress)
    shown = frozenset(seen.local)  # by the executor itself
    if every_step:
        seen = dataclasses.replace(seen, local=_watched(bundle, seen, make, progress))
    if bundle.control is not None:
        progress("running a control")
        seen = dataclasses.replace(seen, control=observe_control(bundle.control, make))
    seen = dataclasses.replace(seen, exact=observe_exact(plan, evidence, artifacts, progress))
    tapped = _look(bundle, seen, shown, make, progress)
    took = datetime.datetime.now(datetime.UTC) - started
    return BundleObservation(
        VERSION,
        bundle.facts.sha256,
        timestamp(started),
        took.total_seconds(),
        packages(),
        seen,
        tapped,
    )


def write_observation(made: BundleObservation, path: Path) -> None:
    """Write an observation, whole or not at all."""
    save(path, made)


def read_observation(path: Path, bundle: Bundle) -> BundleObservation:
    """An observation of this very bundle.

    Raises
    ------
    InputError
        The file is missing, damaged, no observation, or one of another bundle.
    """
    open_file(path, "observation").close()  # no pipe, which would be waited for
    found = load(path, BundleObservation)
    if found.version != VERSION:
        raise InputError(
            f"{path.name} is an observation of version {found.version}, and this voxtral-parity "
            f"reads version {VERSION}; use the voxtral-parity that wrote it, or a newer one"
        )
    mine = bundle.facts.sha256
    if found.bundle != mine:
        raise InputError(
            f"{path.name} was observed of the bundle with sha256 {found.bundle[:12]}…, and this "
            f"one has {mine[:12]}…; judge it with the bundle that was run"
        )
    return found


def _suited(bundle: Bundle, executor: str, require: str | None) -> str:
    """The executor's name, if it runs programs of the bundle's lowering."""
    if executor == RUNNER:
        raise InputError(
            "the runner takes a checkpoint, which no bundle holds; use `check --executor runner`"
        )
    lowering = bundle.plan.lowering
    asked = [name for name in (executor, require) if name not in (None, "auto")]
    if lowering == "xnnpack":
        executor = "xnnpack" if executor == "auto" and require is None else executor
        wrong = [name for name in asked if name != "xnnpack"]
    else:
        wrong = [name for name in asked if name == "xnnpack"]
    if wrong:
        raise InputError(
            f"the bundle was lowered to {lowering}, which the executor {wrong[0]} does not run; "
            f"pack it with --backend {'mlx' if lowering == 'xnnpack' else 'xnnpack'} for that"
        )
    return executor


def _watched(
    bundle: Bundle, seen: Observation, make: Callable[[], Executor], progress: Progress
) -> dict[str, LocalObservation]:
    """What each step did, of methods whose executor does not show it: seen through taps."""
    local = dict(seen.local)
    for method in bundle.plan.selected:
        program = bundle.tapped.get(method.name)
        if program is None or method.name in local or method.name not in seen.cases:
            continue
        if program.failure:
            why = f"it could not be lowered with taps when it was packed ({program.failure})"
            local[method.name] = LocalObservation(refusal=Refusal(By.HARNESS, why))
            continue
        progress(f"watching the steps of {method.name} through taps")
        found = guarded(partial(_steps, bundle, method, program, seen, make))
        local[method.name] = (
            LocalObservation(refusal=found) if isinstance(found, Refusal) else found
        )
    return local


def _steps(
    bundle: Bundle,
    method: Method,
    program: Tapped,
    seen: Observation,
    make: Callable[[], Executor],
) -> LocalObservation:
    items, regime = bundle.evidence.cases[method.name], seen.executor.measured
    with closing(make()) as executor:
        watched = WatchedThroughTaps(executor, program.path, method.entry, program.nodes, regime)
        with closing(watched):
            found = observe_local(bundle.plan, method, items, watched, {})
    return dataclasses.replace(found, hidden=watched.hidden)


def _look(
    bundle: Bundle,
    seen: Observation,
    shown: Collection[str],
    make: Callable[[], Executor],
    progress: Progress,
) -> dict[str, Localized]:
    """What tapped programs show of methods whose outputs are off, and none of whose steps is."""
    found: dict[str, Localized] = {}
    others = {*shown, *(one.method for one in bundle.references.wrong)}
    allowance = bundle.budget.local
    others |= {name for name, local in seen.local.items() if local.wrong(allowance)}
    for method in bundle.plan.selected:
        program = bundle.tapped.get(method.name)
        if program is None or program.failure or method.name in others:
            continue
        progress(f"looking whether {method.name} is off")
        told = guarded(partial(_look_into, bundle, method, program, seen, make))
        if isinstance(told, Refusal):
            why = f"The node could not be found: {told.reason}"
            told = Localized(method.name, "", 0, (), False, why)
        if told is not None:
            found[method.name] = told
    return found


def _look_into(
    bundle: Bundle,
    method: Method,
    program: Tapped,
    seen: Observation,
    make: Callable[[], Executor],
) -> Localized | None:
    """What a tapped program shows of a method; None where no case of it is off."""
    item = _off(bundle, method, seen)
    if item is None:
        return None
    off, regime = Off.of_method(bundle, method, item), seen.executor.measured
    with closing(make()) as executor:
        found = through_taps(off, program.path, program.nodes, executor, regime)
    return off.told([], False, VANISHED.rstrip()) if found is None else found


def _off(bundle: Bundle, method: Method, seen: Observation) -> CaseEvidence | None:
    """The first case whose outputs are off, up to the call that makes it so."""
    regime = seen.executor.regime
    for item in bundle.evidence.cases[method.name]:
        made = seen.cases.get(method.name, {}).get(item.case.label)
        if made is None or not made.outputs or not item.outputs:
            continue
        if judged(bundle, method, item, made.outputs, regime).status is Status.FAIL:
            return up_to_wrong(bundle, method, item, made.outputs, regime)
    return None


def _along(bundle: Bundle, seen: Observation, run: ArtifactPair, progress: Progress) -> Observation:
    """`seen`, with what the executor decides along eager's codes where it chose others.

    Not where eager followed these when the bundle was packed.
    """
    if seen.speech is None:
        return seen
    plan, eager, said = bundle.plan, bundle.evidence.speech, seen.speech.first
    followed = bundle.evidence.followed
    if any(
        np.array_equal(said.codes, known.codes) and said.ended == known.ended
        for known in (eager, *(() if followed is None else (followed,)))
    ):
        return seen
    progress("following eager's codes")
    limits = limits_of(plan, run)
    forced = (eager.codes, eager.ended)
    along = guarded(
        lambda: follow(run, plan.config, bundle.evidence.prompt, plan.utterance, limits, forced)
    )
    if isinstance(along, Refusal):
        why = f"it cannot follow eager's codes: {along.reason}"
        refusal = Refusal(along.by, why, along.detail)
        return dataclasses.replace(seen, speech=None, speech_refusal=refusal)
    return dataclasses.replace(seen, along=along)
