"""Upstream's C++ runner says things with a run's two files, and is judged by what it leaves.

It is a program that speaks, and calls no method at anybody's wish: of all that `check` judges,
the whole path is what remains, by its codes and its WAV files.
"""

from __future__ import annotations

import platform
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.compare import Status, Verdict, statistics, to_pcm16
from harness.compare.decisions import Decisions, common_frames, judge_decisions
from harness.compare.pcm import judge_pcm
from harness.errors import ExecutionError, InputError, MachineError
from harness.files import file_digest
from harness.fingerprint import Fingerprint
from harness.methods import CODEC, MODEL, select_methods
from harness.parity.declared import declared_chunks
from harness.parity.request import RUNNER
from harness.parity.speaking import Spoken, Utterance
from harness.parity.whole import (
    SUBJECT,
    TIES,
    decisions,
    judge_equal,
    judge_heard,
    poor_frames,
    published,
)
from harness.runner import RunnerArgs, RunnerResult, check_program, run_runner
from harness.synthesis import Speech, codec_lookback
from harness.synthesis.timing import Timing

if TYPE_CHECKING:
    from harness.parity.run import Parity

__all__ = ["RunnerSpeaker", "judge_runner"]


class RunnerSpeaker:
    """Speaks as upstream's runner.

    Parameters
    ----------
    parity
        Gives checkpoint and artifacts, and says where the program is.
    """

    name = RUNNER

    def __init__(self, parity: Parity) -> None:
        self.parity = parity
        assert parity.request.runner is not None
        self._program = parity.request.runner

    def prepare(self) -> None:
        """Make both artifacts; whether the program is there is asked first.

        Raises
        ------
        UnavailableError
            It is not.
        """
        check_program(self._program)
        for name in (MODEL, CODEC):
            self.parity.artifact(name)

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Which program, on what machine."""
        notes = (
            f"{self._program.name}, sha256 {file_digest(self._program)[:12]}…",
            "the runner calls no method by itself: the whole path alone is judged",
        )
        return Fingerprint(RUNNER, f"{platform.machine()} {platform.system()}", {}, notes)

    def hear(self, utterance: Utterance, *, speaker: bool = False) -> RunnerResult:
        """Let it speak; `speaker` also holds its standard output to be the samples alone.

        Raises
        ------
        InputError
            There is no such voice, or it cannot do what is wished.
        UnavailableError, MachineError, ExecutionError
            See `run_runner`; also, its WAV has another sampling rate than the model.
        """
        parity = self.parity
        if not utterance.seed_step:
            raise InputError("the runner always takes the seed step; leave --no-seed-step out")
        voice = parity.checkpoint.find_voice(utterance.voice)
        args = RunnerArgs(
            model=parity.artifact(MODEL).path,
            codec=parity.artifact(CODEC).path,
            tokenizer=parity.checkpoint.tokenizer,
            text=utterance.text,
            voice=None if voice is None else str(voice),
            seed=utterance.seed,
            temperature=utterance.temperature,
            max_new_tokens=utterance.max_new_tokens,
            streaming=utterance.streaming,
            speaker=speaker,
        )
        heard = run_runner(
            self._program,
            args,
            frame_samples=parity.checkpoint.config.downsample_factor,
            timeout=parity.request.runner_timeout,
        )
        if heard.sampling_rate != parity.sizes.sampling_rate:
            raise ExecutionError(
                f"the runner's WAV has {heard.sampling_rate} Hz, the model "
                f"{parity.sizes.sampling_rate} Hz"
            )
        return heard

    def speak(self, utterance: Utterance) -> Spoken:
        """Speak, with the figures that the runner reports of itself."""
        heard = self.hear(utterance)
        figures = heard.figures
        timing = Timing(
            frames=figures.frames,
            audio_seconds=heard.pcm.size / heard.sampling_rate,
            generate_ms=figures.generate_ms,
            first_audio_ms=figures.first_audio_ms,
            total_ms=figures.wall_ms,
        )
        return Spoken(heard.pcm, heard.sampling_rate, heard.codes, figures.ended, timing)


def judge_runner(speaker: RunnerSpeaker) -> list[Verdict]:
    """Every verdict on the runner: against eager, streamed against offline, and repeated.

    It speaks three times. What it does not finish is not judged: the fault may be its own as
    well as the files'.
    """
    parity = speaker.parity
    utterance = Utterance.of(parity.script)
    speaker.prepare()
    try:
        parity.progress("the runner speaks offline")
        first = speaker.hear(utterance)
        parity.progress("the runner streams to its standard output")
        streamed = speaker.hear(utterance, speaker=True)
        parity.progress("the runner speaks offline once more")
        again = speaker.hear(utterance)
    except (ExecutionError, MachineError) as error:
        return [Verdict(SUBJECT, "whole path", "execution", Status.UNJUDGED, str(error))]
    found = []
    if parity.allowance in TIES:
        found += _judge_against_eager(parity, first, parity.speech)
    anchor = published(parity.checkpoint, utterance)
    told = statistics(first.pcm, first.sampling_rate, first.figures.frames)
    found += judge_heard(first.pcm, told, utterance, anchor, parity.ear)
    assert first.codes is not None
    assert again.codes is not None
    pairs = (("codes", first.codes, again.codes), ("16-bit codes", first.pcm, again.pcm))
    return [*found, _judge_stream(parity, first, streamed), judge_equal("said twice", pairs)]


def _judge_against_eager(parity: Parity, heard: RunnerResult, eager: Speech) -> list[Verdict]:
    """Codes frame by frame, and the WAV of the frames that both have."""
    assert heard.codes is not None
    told = Decisions(codes=heard.codes, ended=heard.figures.ended)
    ties = TIES[parity.allowance]
    codes = judge_decisions(SUBJECT, "codes, free-running", told, decisions(eager), ties)
    if heard.codes.shape[0] != eager.codes.shape[0]:
        return [codes]
    samples = common_frames(heard.codes, eager.codes) * parity.checkpoint.config.downsample_factor
    return [codes, _judge_pcm(parity, "WAV, free-running", heard.pcm[:samples],
                              to_pcm16(eager.waveform[:samples]))]  # fmt: skip


def _judge_stream(parity: Parity, offline: RunnerResult, streamed: RunnerResult) -> Verdict:
    """The streamed WAV against the offline one, where both windows had enough context."""
    case = "streaming ≡ offline"
    if offline.pcm.size != streamed.pcm.size:
        return _judge_pcm(parity, case, streamed.pcm, offline.pcm)
    frames, chunks = offline.figures.frames, declared_chunks(parity.artifact(MODEL).path)
    poor = np.zeros(frames, bool)
    lookback = codec_lookback(parity.checkpoint)
    poor[poor_frames(frames, parity.sizes.max_codec_frames, chunks, lookback)] = True
    rich = ~np.repeat(poor, parity.checkpoint.config.downsample_factor)
    return _judge_pcm(parity, case, streamed.pcm[rich], offline.pcm[rich])


def _judge_pcm(parity: Parity, case: str, candidate: np.ndarray, reference: np.ndarray) -> Verdict:
    (codec,) = select_methods(["codec"])
    allowance = codec.allowances[parity.allowance]
    rate = parity.sizes.sampling_rate
    return judge_pcm(SUBJECT, case, candidate, reference, allowance, rate)
