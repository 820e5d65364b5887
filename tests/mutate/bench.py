"""What a fault is, and the route from a faulty export, program or executor to verdicts.

Everything is made in memory or in the item's own directory. What is lowered of a wrong module is
kept in the cache under the program that it was lowered from, which no right program shares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from fixtures.exports import Line
from harness.anymodel.lowering import program_facts
from harness.budget import COMMITTED
from harness.cache import Recipe, fetch
from harness.compare import Status, Verdict
from harness.errors import HarnessError
from harness.export.artifacts import given_artifact
from harness.export.lower import lower_to_mlx
from harness.export.programs import PROGRAMS
from harness.files import file_digest
from harness.fingerprint import Fingerprint
from harness.localize import find as localize
from harness.methods import METHODS, Method, select_methods
from harness.methods.precision import PRECISIONS
from harness.parity.artifacts import ArtifactContents, Artifacts
from harness.parity.evidence import CaseEvidence, Evidence
from harness.parity.judge import judge
from harness.parity.judges.golden import find_golden, judge_golden
from harness.parity.judges.speech import judge_speech
from harness.parity.links import observe_exact
from harness.parity.observation import CaseObservation
from harness.parity.observe import observe
from harness.parity.plan import Plan
from harness.parity.record import follow_codes
from harness.pte.facts import read_facts
from harness.runtime.pair import ArtifactPair
from harness.runtime.portable import PortableExecutor
from harness.runtime.protocol import Executor
from harness.upstream import quiet
from tests.mutate.pte import Graph, Pte, opened

__all__ = ["EVERY", "KINDS", "Bench", "Fault", "Patch", "Trial", "failed", "method_of"]

Patch = pytest.MonkeyPatch

EVERY = tuple(PRECISIONS)

KINDS = (
    "historical", "module", "graph", "weight", "quantisation", "runtime", "synthesis", "output",
    "metadata",
)  # fmt: skip
"""Where a fault lies. Those that eager shares are `tests/parity/test_pins.py`'s."""


@dataclass(frozen=True)
class Trial:
    """What the harness said of one fault.

    Attributes
    ----------
    verdicts
        Every one of the mutated run.
    node, module
        The exported node that is wrong, and the module that called it, where there is one.
    place
        How a refusal names the wrong instruction.
    """

    verdicts: tuple[Verdict, ...]
    node: str = ""
    module: str = ""
    place: str = ""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    name, kind
        What is wrong, unique, and one of `KINDS`.
    subject
        The method, file or ``"speech"`` whose verdict must fail.
    run
        Makes the fault and judges it.
    precisions
        In which it exists.
    equivalent
        Why it changes nothing that could be judged; it must then stay green.
    """

    name: str
    kind: str
    subject: str
    run: Callable[[Bench], Trial]
    precisions: tuple[str, ...] = EVERY
    equivalent: str = ""

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind


class Bench:
    """Where one fault is made and judged: an unmutated line, and what belongs to one test item.

    `whole` judges on all cases; else on the few of `_thin`, which see most faults sooner. Where not
    `watched`, the steps of a changed file are not judged: each is held against what that file says.
    """

    def __init__(
        self,
        line: Line,
        patch: Patch,
        directory: Path,
        *,
        whole: bool = False,
        watched: bool = True,
    ) -> None:
        self.line, self.patch, self.directory = line, patch, directory
        self.watched = watched
        self.wrong: dict[str, Any] = {}
        # Whatever is wrong from here on, these are not.
        self.artifacts = line.artifacts
        self.evidence = line.evidence if whole else _thin(line.evidence)

    @property
    def precision(self) -> str:
        return self.line.plan.precision.name

    def pte(self, artifact: str) -> Pte:
        """An artifact, decoded."""
        return opened(self.artifacts.files[artifact].made.path)

    def pte_of(self, method: str) -> Pte:
        """The artifact of a method, decoded."""
        return self.pte(method_of(method).artifact)

    def graph(self, method: str) -> Graph:
        """A method's delegate."""
        found = method_of(method)
        return self.pte(found.artifact).graphs[found.entry]

    def node(self, method: str, kind: str, spot: int = 0) -> tuple[int, Any, str, str]:
        """A node by its type and number among these: its place, itself, and where it is from."""
        graph = self.graph(method)
        places = [i for i, node in enumerate(graph.nodes) if type(node).__name__ == kind]
        place = places[spot]
        return place, graph.nodes[place], *graph.origins.get(place, ("", ""))

    def on_file(self, method: str, pte: Pte) -> tuple[Verdict, ...]:
        """The verdicts on a method and its file, of a changed file."""
        artifact = method_of(method).artifact
        return self.on_path(method, pte.save(self.directory / artifact))

    def on_path(self, method: str, path: Path | None = None) -> tuple[Verdict, ...]:
        """The verdicts on a method and its file, of a file or of the line's own."""
        watched = self.watched or path is None
        make = PortableExecutor if watched else _Unwatched
        return self._judged(method, self._given(method, path), make)

    def on_executor(self, method: str, make: Callable[[], Executor]) -> tuple[Verdict, ...]:
        """The verdicts on a method that another executor runs."""
        return self._judged(method, self._given(method, None), make)

    def on_export(self, method: str, **options: Any) -> tuple[Verdict, ...]:
        """The verdicts on a method, exported alone as the code now stands."""
        _ = self.model
        program = PROGRAMS[method](self.model, self.line.sizes, **options)
        self.wrong = {method: program}
        # What the file lacks besides, the other methods and metadata, is not the fault.
        found = self.on_path(method, self.lowered(method, program))
        return tuple(verdict for verdict in found if verdict.subject == method)

    def lowered(self, method: str, program: Any, without: Sequence[str] = ()) -> Path:
        """The file of a program alone, found again by all that it is made of."""
        found = method_of(method)
        facts = {"entry": found.entry, **program_facts(program, self.precision, without)}

        def make(directory: Path) -> None:
            path = directory / found.artifact
            lower_to_mlx({found.entry: program}, {}, path, without=without)

        recipe = Recipe("mutants", found.artifact, facts, f"a wrong {method}, {self.precision}")
        return fetch(recipe, make).path / found.artifact

    @cached_property
    def model(self) -> Any:
        """The eager model that is exported."""
        return self.line.model

    def on_speech(self, install: Callable[[Patch], None]) -> tuple[Verdict, ...]:
        """The verdicts on speech whose loop is patched on the candidate's side only."""
        line, nothing = self.line, {method.name: () for method in METHODS}
        silent = dataclasses.replace(self.evidence, cases=nothing)
        with self.patch.context() as patch:
            install(patch)
            with ArtifactPair(self.artifacts.paths, _Unwatched) as run:
                observation = observe(line.plan, silent, self.artifacts, run)
            exact = observe_exact(line.plan, silent, self.artifacts)
        observation = dataclasses.replace(observation, exact=exact)
        evidence = self.evidence
        if observation.speech is not None:
            first = observation.speech.first
            evidence = follow_codes(line.plan, evidence, line.models, first.codes, first.ended)
        return tuple(judge_speech(line.plan, evidence, observation, COMMITTED))

    def _given(self, method: str, path: Path | None) -> Artifacts:
        name = method_of(method).artifact
        if path is None:
            return Artifacts({name: self.artifacts.files[name]})
        made = given_artifact(path.parent, name)
        return Artifacts({name: ArtifactContents(made, file_digest(path), read_facts(path))})

    def _judged(
        self, method: str, artifacts: Artifacts, make: Callable[[], Executor]
    ) -> tuple[Verdict, ...]:
        plan = dataclasses.replace(self.line.plan, methods=(method,), speaks=False)
        with ArtifactPair(artifacts.paths, make) as run:
            observation = observe(plan, self.evidence, artifacts, run)
            measured = self._measured(run, make)
        exact = self._exact(plan, artifacts)
        observation = dataclasses.replace(observation, executor=measured, exact=exact)
        # Of an unusual utterance nothing is kept; the golden is judged by itself, on eager's codes.
        unusual = dataclasses.replace(plan, usual=False)
        found = judge(unusual, self.evidence, artifacts, observation)
        golden = find_golden(plan, observation.executor)
        found += tuple(judge_golden(plan, self.evidence, observation, golden))
        # What the precision costs eager is no fault of the candidate's.
        found = tuple(verdict for verdict in found if verdict.kind != "sqnr")
        broken: dict[tuple[str, str], Verdict] = {}
        for verdict in found:  # of a program that refuses every case, the first says it all
            if verdict.status is Status.FAIL and verdict.kind in ("exact", "execution"):
                broken.setdefault((verdict.subject, verdict.kind), verdict)
        located = {id(v): self._located(plan, artifacts, v) for v in broken.values()}
        return tuple(located.get(id(verdict), verdict) for verdict in found)

    def _located(self, plan: Plan, artifacts: Artifacts, verdict: Verdict) -> Verdict:
        """A red verdict of the exact link, or of a program that does not run, with its node."""
        line = localize.Line(
            plan, self.evidence, artifacts, self.line.models, COMMITTED, _traced=self.wrong
        )
        method = method_of(verdict.subject)
        if self.wrong:  # the graph is that of the wrong model, and what it is compared with not
            self.patch.undo()
        else:  # an unpatched model has the same graph in every item
            self.patch.setitem(PROGRAMS, verdict.subject, self._traced(verdict.subject))
        try:
            found = localize.localize_exact(line, method)
        except HarnessError:
            found = None
        if found is None or not found.findings:
            return verdict
        place = found.findings[0].place
        told = {"node": place.node, "module": place.module, "step": place.step}
        return dataclasses.replace(verdict, metrics={**verdict.metrics, **told})

    def _traced(self, method: str) -> Callable[..., Any]:
        kept: dict[str, Any] = self.line.__dict__.setdefault("traced", {})
        trace = PROGRAMS[method]

        def traced(*given: Any, **options: Any) -> Any:
            if method not in kept:
                with quiet():
                    kept[method] = trace(*given, **options)
            return kept[method]

        return traced

    def _measured(self, run: ArtifactPair, make: Callable[[], Executor]) -> Fingerprint:
        """The executor and how exactly it multiplies; of the usual one, this is measured once."""
        if make not in (PortableExecutor, _Unwatched):
            return run.measured
        kept: dict[str, Fingerprint] = self.line.__dict__.setdefault("measured", {})
        return kept.setdefault("usual", kept.get("usual") or run.measured)

    def _exact(self, plan: Plan, artifacts: Artifacts) -> dict[str, dict[str, CaseObservation]]:
        """What the file means; of the line's own, which no fault touches, it is found once."""
        (method,), (name,) = plan.methods, artifacts.files
        if artifacts.files[name] is not self.artifacts.files[name]:
            return observe_exact(plan, self.evidence, artifacts)
        kept: dict[Any, Any] = self.line.__dict__.setdefault("exact of its own", {})
        key = method, sum(len(item.case.calls) for item in self.evidence.cases[method])
        if key not in kept:
            kept[key] = observe_exact(plan, self.evidence, artifacts)
        return dict(kept[key])


class _Unwatched:
    """The portable executor, which does not let its steps be seen."""

    def __init__(self) -> None:
        self._executor = PortableExecutor()

    def __getattr__(self, name: str) -> Any:
        if name == "watch":
            raise AttributeError(name)
        return getattr(self._executor, name)


_CALLS = {"text_decoder": 4, "predict_velocity": 14}
"""Calls of the recorded speech that a first look takes; of the other methods all."""

_CASES = {"token_embedding": 2, "audio_token_embedding": 3, "codec": 3}
"""Cases of a method that a first look takes."""


def _thin(evidence: Evidence) -> Evidence:
    """Few calls of few cases: what is red on them is red on all."""
    cases = {}
    for name, items in evidence.cases.items():
        recorded = items[0]
        count = _CALLS.get(name, len(recorded.outputs))
        case = dataclasses.replace(recorded.case, calls=recorded.case.calls[:count])
        first = CaseEvidence(case, recorded.outputs[:count])
        others = [item for item in items[1:] if item.case.states or name != "text_decoder"]
        cases[name] = (first, *others[: _CASES.get(name, 3) - 1])
    exact = dict(evidence.exact)
    for name, items in cases.items():
        meant = evidence.exact.get(name, {})
        labels = [item.case.label for item in items]
        exact[name] = {label: meant[label] for label in labels if label in meant}
    return dataclasses.replace(evidence, cases=cases, exact=exact)


def method_of(name: str) -> Method:
    """A method by name."""
    (method,) = select_methods([name])
    return method


def failed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Those that are red."""
    return [verdict for verdict in verdicts if verdict.status is Status.FAIL]
