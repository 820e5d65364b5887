"""A third opinion: the same evidence on XNNPACK, on ExecuTorch's own runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from harness.checkpoint import Checkpoint
from harness.compare import Verdict
from harness.compare.triangulate import Opinion, Sighting, triangulate
from harness.errors import ExecutionError, InputError
from harness.methods import Dimensions, Method
from harness.parity.evidence import EagerRun, Evidence
from harness.parity.judge import judge_outputs, refused, replay, unlowered
from harness.parity.run import Parity

if TYPE_CHECKING:
    from executorch.examples.models.voxtral_tts.model import VoxtralTTSModel

__all__ = ["OnXnnpack", "third_opinion"]

_NOTES = {
    "text_decoder": "text_decoder reaches XNNPACK as upstream's own module, because MLX's "
    "attention operators have no CPU kernels: what both lowerings share is the layers and weights.",
}


class OnXnnpack(Parity):
    """The parity run of `host` once more, lowered to XNNPACK; what eager did is shared.

    Parameters
    ----------
    host
        Any parity run.
    progress
        Called with one line a step.
    """

    def __init__(self, host: Parity, progress: Callable[[str], None] = lambda text: None) -> None:
        request = replace(
            host.request, executor="xnnpack", require=None, artifacts=None, without=()
        )
        super().__init__(request, progress)
        self._host = host

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The host's."""
        return self._host.checkpoint

    @cached_property
    def sizes(self) -> Dimensions:
        """The host's, also where they are those of given files."""
        return self._host.sizes

    @cached_property
    def model(self) -> VoxtralTTSModel:
        """The host's."""
        return self._host.model

    @cached_property
    def mapped_model(self) -> VoxtralTTSModel:
        """The host's."""
        return self._host.mapped_model

    @cached_property
    def eager_run(self) -> EagerRun:
        """The host's."""
        return self._host.eager_run

    @cached_property
    def fp32_run(self) -> EagerRun:
        """The host's."""
        return self._host.fp32_run


def third_opinion(
    parity: Parity, xnnpack: Parity | None = None, methods: Sequence[Method] | None = None
) -> list[Verdict]:
    """Triangulate methods of `parity`.

    Parameters
    ----------
    parity
        A run on MLX.
    xnnpack
        The same on XNNPACK; made if not given.
    methods
        Which; all that were requested if not given.

    Raises
    ------
    InputError
        `parity` itself runs on XNNPACK.
    """
    if parity.backend == "xnnpack":
        raise InputError(
            "triangulation compares another executor with xnnpack; leave --executor xnnpack out"
        )
    other = xnnpack or OnXnnpack(parity, parity.progress)
    found = []
    for method in parity.methods if methods is None else methods:
        parity.progress(f"triangulating {method.name}")
        sightings = [
            Sighting(
                item.case.label,
                item.outputs,
                _opinion(parity, method, item),
                _opinion(other, method, item),
            )
            for item in parity.evidence(method)
        ]
        notes = [_NOTES[method.name]] if method.name in _NOTES else []
        found.append(triangulate(method.name, sightings, notes))
    return found


def _opinion(parity: Parity, method: Method, evidence: Evidence) -> Opinion:
    artifact = parity.artifact(method.artifact)
    if method.name in artifact.failures:
        return Opinion(unlowered(method, artifact.failures[method.name], parity.backend), None)
    executor = parity.executor(method.artifact)
    try:
        outputs = replay(method, evidence.case, executor, parity.sizes)
    except (ExecutionError, InputError) as error:
        return Opinion(refused(method.name, evidence.case.label, error), None)
    verdict = judge_outputs(method, evidence, outputs, parity.sizes, parity.allowance)
    return Opinion(verdict, outputs)
