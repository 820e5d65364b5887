"""Voxtral's six methods under the options of one run, each judged when a test asks for it."""

from __future__ import annotations

import dataclasses
import datetime
from functools import cached_property

from harness.export.control import control_template
from harness.methods import METHODS, Method, select_methods
from harness.parity import Request
from harness.parity.artifacts import Artifacts, export, open_artifacts
from harness.parity.check import judged, open_models, report
from harness.parity.control import observe_control
from harness.parity.evidence import Evidence
from harness.parity.links import observe_exact
from harness.parity.observation import ControlObservation, Observation
from harness.parity.observe import observe
from harness.parity.plan import Plan, resolve
from harness.parity.record import record
from harness.plugin.options import Chosen
from harness.reference.models import Models
from harness.report import Report
from harness.runtime.pair import ArtifactPair
from harness.runtime.protocol import Executor
from harness.runtime.select import choose

__all__ = ["Voxtral"]


class Voxtral:
    """The methods by the file that they are in: whoever judges one file needs no other."""

    def __init__(self, chosen: Chosen) -> None:
        self._chosen = chosen
        self._lines: dict[str, _Line] = {}

    def report(self, name: str) -> Report:
        """Judge one method; a link that broke says at which node."""
        (method,) = select_methods([name])
        if method.artifact not in self._lines:
            self._lines[method.artifact] = _Line(self._chosen, method.artifact)
        return self._lines[method.artifact].report(method)


class _Line:
    """The line of one file; evidence and artifacts are made once, and come from the cache."""

    def __init__(self, chosen: Chosen, artifact: str) -> None:
        self.request = Request(
            checkpoint=chosen.checkpoint or "tiny",
            methods=tuple(method.name for method in METHODS if method.artifact == artifact),
            precision=chosen.precision or "fp32",
            executor=chosen.executor,
            require=chosen.require,
            artifacts=chosen.artifacts,
        )

    @cached_property
    def models(self) -> Models:
        """The eager models."""
        self._executor()  # what is not here is told first
        return open_models(self.request)

    @cached_property
    def plan(self) -> Plan:
        """What is judged."""
        return resolve(self.request, self.models.checkpoint)

    @cached_property
    def evidence(self) -> Evidence:
        """What eager does."""
        return record(self.plan, self.models)

    @cached_property
    def artifacts(self) -> Artifacts:
        """The file."""
        if self.request.artifacts is not None:
            return open_artifacts(self.plan, self.request.artifacts)
        return export(self.plan, self.models)

    @cached_property
    def control(self) -> ControlObservation:
        """Whether the delegate is what runs; once for all methods."""
        return observe_control(control_template(), self._executor)

    def report(self, method: Method) -> Report:
        """Judge one of its methods, as `check` does."""
        from harness.localize.explain import explained

        started = datetime.datetime.now(datetime.UTC)
        plan = dataclasses.replace(self.plan, methods=(method.name,))
        observation = self._observe(plan)
        checked = judged(plan, self.evidence, self.artifacts, observation)
        if any(v.status == "fail" and v.kind in ("exact", "local") for v in checked.verdicts):
            checked = explained(self.request, checked, self.models)
        return report(checked, started, "pytest")

    def _observe(self, plan: Plan) -> Observation:
        with ArtifactPair(self.artifacts.paths, self._executor) as run:
            seen = observe(plan, self.evidence, self.artifacts, run)
            exact = observe_exact(plan, self.evidence, self.artifacts)
            return dataclasses.replace(
                seen, executor=run.measured, exact=exact, control=self.control
            )

    def _executor(self) -> Executor:
        return choose(self.request.executor, self.request.require)
