"""Speech against the clock, on any executor, eager's included, or by upstream's runner."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import Checkpoint
from harness.compare import to_pcm16
from harness.errors import ExecutionError, InputError
from harness.methods import MODEL
from harness.parity.artifacts import Artifacts, export, open_artifacts
from harness.parity.check import open_models
from harness.parity.plan import UPSTREAM_CAPACITIES, Plan, capacities, resolve
from harness.parity.request import RUNNER, Request
from harness.parity.runner import RunnerProgram
from harness.runner import check_program
from harness.runtime.pair import ArtifactPair
from harness.runtime.select import choose
from harness.synthesis import (
    RUNNER_CHUNKS,
    Chunks,
    Runner,
    Utterance,
    make_prompt,
    speak,
    stream_windows,
)
from harness.synthesis.timing import SpeechResult, Stopwatch
from harness.synthesis.warmup import warm_up

__all__ = ["EAGER", "Speaker", "open_speaker", "with_room_for_chunks"]

EAGER = "eager"
"""The executor that is the reference itself."""

Play = Callable[[NDArray[np.float32]], None]


def open_speaker(
    request: Request,
    *,
    eager: bool = False,
    progress: Callable[[str], None] = lambda text: None,
    play: Play = lambda samples: None,
) -> Speaker:
    """Who speaks as `request` asks; nothing is exported or loaded before `Speaker.prepare`.

    Parameters
    ----------
    request
        Weights, precision, executor and capacities; its utterance is checked.
    eager
        Whether to speak with the eager model of the same precision.
    progress
        Called with one line a step.
    play
        Called with samples as soon as they are there.

    Raises
    ------
    InputError
        What is asked makes no sense, or could never be said.
    """
    if eager and request.require is not None:
        raise InputError("eager is no executor that --require can name; leave --require out")
    if eager and request.regime is not None:
        raise InputError("eager emulates no GPU's arithmetic; leave --regime or eager out")
    if request.runner is not None:
        check_program(request.runner)
    elif not eager:
        choose(request.executor, request.require, request.regime)
    models = open_models(request, progress)
    checkpoint = models.checkpoint
    plan = resolve(request, checkpoint)
    request.utterance.check(checkpoint, plan.sizes.max_seq_len)

    def artifacts() -> Artifacts:
        if request.artifacts is not None:
            return open_artifacts(plan, request.artifacts)
        return _all_lowered(export(plan, models, progress=progress))

    if request.executor == RUNNER:
        return _RunnerSpeaker(plan, checkpoint, request, artifacts)

    def load() -> _Loaded:
        if eager:
            return _Loaded(models.eager, EAGER, plan.precision.float_type)
        opened = artifacts()
        run = ArtifactPair(
            opened.paths,
            partial(choose, request.executor, request.require, request.regime),
            progress,
        )
        for name in opened.paths:
            run.executor(name)
        facts = opened.files[MODEL].facts
        rows = None if facts is None else facts.metadata.get("voice_embed_len")
        return _Loaded(
            run,
            run.fingerprint.executor,
            run.executor(MODEL).inputs("text_decoder")[0].dtype,  # a given file knows best
            opened.chunks,
            rows if isinstance(rows, int) and rows else None,
        )

    return _MethodSpeaker(plan, checkpoint, load, progress, play)


def with_room_for_chunks(request: Request) -> Request:
    """`request` with a codec long enough to stream, where a preset's usual one is not.

    `tiny` decodes 40 frames at once: its usual sentence, but no chunk of 25 after 25 of context.
    """
    usual = capacities(request.checkpoint)[1]
    frames = min(request.utterance.max_new_tokens, UPSTREAM_CAPACITIES[1])
    needed = max(window.end - window.start for window in stream_windows(frames))
    if request.max_codec_frames is not None or request.artifacts is not None or usual >= needed:
        return request
    return dataclasses.replace(request, max_codec_frames=needed)


@dataclass(frozen=True)
class _Loaded:
    """What runs the six methods, its name, and what its files say."""

    run: Runner
    name: str
    dtype: str
    chunks: Chunks = RUNNER_CHUNKS
    voice_embed_len: int | None = None


class _MethodSpeaker:
    """Speaks with the six methods, eager's or an executor's."""

    def __init__(
        self,
        plan: Plan,
        checkpoint: Checkpoint,
        load: Callable[[], _Loaded],
        progress: Callable[[str], None],
        play: Play,
    ) -> None:
        self.plan, self.checkpoint = plan, checkpoint
        self._load, self._progress, self._play = load, progress, play

    @cached_property
    def _loaded(self) -> _Loaded:
        return self._load()

    @property
    def name(self) -> str:
        return self._loaded.name

    def prepare(self) -> None:
        warm_up(self._loaded.run, self.checkpoint, self._loaded.dtype)

    def say(self, utterance: Utterance) -> SpeechResult:
        plan, loaded = self.plan, self._loaded
        watch = Stopwatch(plan.sizes.sampling_rate, self._progress, self._play)
        utterance = plan.semantics.spoken(utterance)
        prompt = make_prompt(self.checkpoint, utterance, voice_embed_len=loaded.voice_embed_len)
        limits = dataclasses.replace(plan.limits, dtype=loaded.dtype)
        speech = speak(
            loaded.run, plan.config, prompt, utterance, limits,
            chunks=loaded.chunks, listener=watch,
        )  # fmt: skip
        if not speech.frames:
            raise ExecutionError(
                f"no audio: the {self.name} executor chose END_AUDIO before the first frame; "
                "give another text, --seed or --temperature"
            )
        timing = watch.stop(ended=speech.ended, streaming=utterance.streaming)
        pcm, rate = to_pcm16(speech.waveform), plan.sizes.sampling_rate
        return SpeechResult(pcm, rate, speech.codes, timing)

    def close(self) -> None:
        if isinstance(self._loaded.run, ArtifactPair):
            self._loaded.run.close()


class _RunnerSpeaker:
    """Speaks as upstream's runner, with the figures that it reports of itself."""

    name = RUNNER

    def __init__(
        self,
        plan: Plan,
        checkpoint: Checkpoint,
        request: Request,
        artifacts: Callable[[], Artifacts],
    ) -> None:
        self.plan, self.checkpoint = plan, checkpoint
        self._request, self._open = request, artifacts

    @cached_property
    def _program(self) -> RunnerProgram:
        assert self._request.runner is not None
        paths, timeout = self._open().paths, self._request.runner_timeout
        return RunnerProgram(self._request.runner, self.plan, self.checkpoint, paths, timeout)

    def prepare(self) -> None:
        _ = self._program

    def say(self, utterance: Utterance) -> SpeechResult:
        return self._program.say(utterance)

    def close(self) -> None:
        """It ends by itself."""


Speaker = _MethodSpeaker | _RunnerSpeaker
"""Says utterances with one model: `prepare` loads what a stopwatch should not count, `say` speaks
or raises `ExecutionError` where speech ends before its first frame, `close` releases executors."""


def _all_lowered(artifacts: Artifacts) -> Artifacts:
    for file in artifacts.files.values():
        for method, reason in file.made.failures.items():
            raise ExecutionError(f"{method} cannot be lowered, so that nothing speaks: {reason}")
    return artifacts
