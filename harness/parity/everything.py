"""Every verdict that a run asks for, in the order of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.compare import Verdict
from harness.fingerprint import Fingerprint
from harness.methods import METHODS
from harness.parity import facts
from harness.parity.kept_sound import KeptSound
from harness.parity.quantization import judge_file_size
from harness.parity.runner import RunnerSpeaker, judge_runner
from harness.parity.triangulate import third_opinion
from harness.parity.whole import judge_speech
from harness.runtime.select import choose

if TYPE_CHECKING:
    from harness.parity.run import Parity

__all__ = ["judge_everything"]


def judge_everything(parity: Parity) -> tuple[list[Verdict], Fingerprint]:
    """Every verdict on what is asked for, and what they are of."""
    if parity.request.runner is not None:  # to speak is all that can be asked of it
        speaker = RunnerSpeaker(parity)
        return [*judge_runner(speaker), *_integrity(parity)], speaker.fingerprint
    verdicts = [verdict for method in parity.methods for verdict in parity.judge(method)]
    verdicts += _integrity(parity)
    # Others may export other forms of the same methods, and XNNPACK packs weights otherwise.
    if parity.request.artifacts is None and parity.backend == "mlx":
        verdicts += _sizes(parity)
    if parity.request.triangulate:
        verdicts += third_opinion(parity)
    verdicts += _whole_path(parity)
    sound = KeptSound(parity)
    if sound.expected():
        verdicts += sound.judge()
    executor = next(iter(parity.loaded.values()), None)
    if executor is None:
        executor = choose(parity.request.executor, parity.request.require)
    return verdicts, executor.fingerprint


def _whole_path(parity: Parity) -> list[Verdict]:
    """Let the executor speak, if all six methods are asked for and could be exported."""
    whole = len(parity.methods) == len(METHODS) and parity.request.whole_path
    if not whole or any(artifact.failures for artifact in parity.made.values()):
        return []
    parity.progress("speaking by itself, twice")
    return judge_speech(parity)


def _integrity(parity: Parity) -> list[Verdict]:
    return list(filter(None, map(facts.judge_integrity, parity.made.values())))


def _sizes(parity: Parity) -> list[Verdict]:
    return [
        judge_file_size(name, artifact.path, parity.checkpoint, parity.sizes, parity.precision)
        for name, artifact in parity.made.items()
        if not artifact.failures
    ]
