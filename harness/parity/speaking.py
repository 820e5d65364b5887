"""Speech on any executor, eager's included, with the sizes that its files declare."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from harness.compare import to_pcm16
from harness.errors import ExecutionError
from harness.methods import CODEC, MODEL
from harness.parity.declared import declared, declared_chunks
from harness.parity.evidence import Script
from harness.parity.request import CAPACITIES, SEED, TEXT, UPSTREAM_CAPACITIES, Request
from harness.parity.run import Parity
from harness.runtime.pair import ArtifactPair
from harness.synthesis import RUNNER_CHUNKS, Chunks, Listener, Runner, Speech, speak, stream_windows
from harness.synthesis.frames import check_capacity
from harness.synthesis.prompt import build_prompt, check_text
from harness.synthesis.speech import Float32
from harness.synthesis.timing import Stopwatch, Timing
from harness.synthesis.warmup import warm_up

__all__ = [
    "EAGER",
    "Speaker",
    "Spoken",
    "Utterance",
    "check_utterance",
    "room_for_chunks",
]

EAGER = "eager"
"""The executor that is the reference itself."""

MAX_NEW_TOKENS = 2048
"""Upstream's most frames of one speech."""


@dataclass(frozen=True)
class Utterance:
    """What to say, and how: the flags of upstream's runner."""

    text: str = TEXT
    voice: str | None = None
    seed: int = SEED
    temperature: float = 0.0
    max_new_tokens: int = MAX_NEW_TOKENS
    seed_step: bool = True
    streaming: bool = False

    @classmethod
    def of(cls, script: Script) -> Utterance:
        """What eager was asked to say, for another to say it."""
        return cls(script.text, script.voice, script.seed, max_new_tokens=script.frames)


@dataclass(frozen=True)
class Spoken:
    """What came of an utterance, whoever spoke.

    Attributes
    ----------
    pcm
        Codes of the WAV, int16, shape (samples,).
    sampling_rate
        In Hz.
    codes
        int64, shape (n_codebooks, frames); None where the speaker tells none.
    ended
        Whether END_AUDIO came.
    timing
        How long it took.
    """

    pcm: NDArray[np.int16]
    sampling_rate: int
    codes: NDArray[np.int64] | None
    ended: bool
    timing: Timing


class Speaker:
    """Says things with a run's artifacts, or with the eager model.

    Parameters
    ----------
    parity
        Gives checkpoint, artifacts and executors.
    eager
        Whether to speak with the eager model of the same precision.
    play
        Called by `speak` with samples as soon as they are there.
    """

    def __init__(
        self,
        parity: Parity,
        *,
        eager: bool = False,
        play: Callable[[Float32], None] = lambda samples: None,
    ) -> None:
        self.parity = parity
        self._eager, self._play = eager, play

    @cached_property
    def run(self) -> Runner:
        """What runs the six methods."""
        return self.parity.eager if self._eager else ArtifactPair(self.parity.executor)

    @property
    def name(self) -> str:
        """Name of the executor."""
        return EAGER if self._eager else self.parity.executor(MODEL).fingerprint.executor

    @cached_property
    def _dtype(self) -> str:
        """What the methods take: a given file knows best."""
        if self._eager:
            return self.parity.precision.float_type
        return self.parity.executor(MODEL).inputs("text_decoder")[0].dtype

    @cached_property
    def chunks(self) -> Chunks:
        """How to stream: as upstream does, or as the file says."""
        if self._eager:
            return RUNNER_CHUNKS
        return declared_chunks(self.parity.artifact(MODEL).path)

    @cached_property
    def _voice_embed_len(self) -> int | None:
        """Rows of a voice, where the file says it."""
        return declared(self.parity.artifact(MODEL).path).get("voice_embed_len") or None

    def prepare(self) -> None:
        """Load everything that speaking needs, so that a stopwatch does not count it."""
        parity = self.parity
        if self._eager:
            _ = parity.eager
        else:
            for name in (MODEL, CODEC):
                parity.executor(name)
            _ = self.chunks, self._voice_embed_len
        warm_up(self.run, parity.checkpoint, self._dtype)

    def say(self, utterance: Utterance, listener: Listener | None = None) -> Speech:
        """Speak.

        Raises
        ------
        InputError
            See `speak`.
        ExecutionError
            Speech ended before its first frame.
        """
        parity = self.parity
        hint = None if self._eager else self._voice_embed_len
        speech = speak(
            self.run,
            parity.checkpoint,
            utterance.text,
            utterance.voice,
            seed=utterance.seed,
            temperature=utterance.temperature,
            max_frames=utterance.max_new_tokens,
            max_seq_len=parity.sizes.max_seq_len,
            codec_frames=parity.sizes.max_codec_frames,
            dtype=self._dtype,
            seed_step=utterance.seed_step,
            chunks=self.chunks if utterance.streaming else None,
            voice_embed_len=hint,
            listener=listener,
        )
        if not speech.frames:
            raise ExecutionError(
                f"no audio: the {self.name} executor chose END_AUDIO before the first frame"
            )
        return speech

    def speak(self, utterance: Utterance) -> Spoken:
        """Speak against the clock."""
        rate = self.parity.sizes.sampling_rate
        watch = Stopwatch(rate, self.parity.progress, self._play)
        speech = self.say(utterance, watch)
        timing = watch.stop(streaming=utterance.streaming)
        return Spoken(to_pcm16(speech.waveform), rate, speech.codes, speech.ended, timing)


def check_utterance(parity: Parity, utterance: Utterance) -> None:
    """Refuse what could never be said, before anything is exported for it.

    Raises
    ------
    InputError
        The text is empty or, even without a voice, too long; or there is no such voice.
    """
    check_text(utterance.text)
    parity.checkpoint.find_voice(utterance.voice)
    least = build_prompt(parity.checkpoint, utterance.text, None, voice_rows=0).shape[1]
    check_capacity(least + utterance.seed_step, parity.sizes.max_seq_len)


def room_for_chunks(request: Request, frames: int) -> Request:
    """`request` with a codec long enough to stream `frames`, where a preset's usual one is not.

    `tiny` decodes 40 frames at once: its usual sentence, but no chunk of 25 after 25 of context.
    """
    usual = CAPACITIES.get(request.checkpoint, UPSTREAM_CAPACITIES)[1]
    windows = stream_windows(min(frames, UPSTREAM_CAPACITIES[1]))
    needed = max(window.end - window.start for window in windows)
    if request.max_codec_frames is not None or request.artifacts is not None or usual >= needed:
        return request
    return dataclasses.replace(request, max_codec_frames=needed)
