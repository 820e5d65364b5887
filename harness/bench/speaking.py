"""Upstream's benchmark: say a sentence several times, each time in a new process.

A run loads, speaks and writes a WAV file, as one of upstream's runner does; the first one also
warms the machine's caches, so that averages are told with and without it.
"""

from __future__ import annotations

import dataclasses
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.bench.figures import Benchmark, Contender, Subject, read_speech
from harness.errors import ExecutionError, InputError, one_of
from harness.parity.plan import Plan
from harness.parity.request import RUNNER, Request
from harness.parity.speaking import EAGER, open_speaker, with_room_for_chunks
from harness.process import call_self, complaint, flags
from harness.runtime.select import NAMES
from harness.synthesis import Utterance
from harness.synthesis.timing import Timing

__all__ = ["TARGET", "bench_speaking", "contestants", "subject_of", "subject_of_request"]

TARGET = 1.15
"""How many times eager's time in fp32 the portable executor may take, both on one machine."""

Work = Callable[[], tuple[str, Timing]]
"""Speaks once; the executor's name and its figures."""


def bench_speaking(
    contestants: Mapping[str, Request],
    runs: int,
    progress: Callable[[str], None] = lambda text: None,
) -> Benchmark:
    """Time every executor `runs` times; all take their turn before any speaks again.

    `contestants` is by the executor's name as `synth` takes it. Raises a `HarnessError` where
    something cannot be made; an `ExecutionError` if a run failed.
    """
    works = [_ready(*contestant, progress) for contestant in contestants.items()]
    told: list[list[tuple[str, Timing]]] = [[] for _ in works]
    for number in range(runs):
        # Who goes first changes, so that what one leaves behind falls to each alike.
        for work, runs_of_it in list(zip(works, told, strict=True))[:: -1 if number % 2 else 1]:
            executor, run = work()
            runs_of_it.append((executor, run))
            progress(
                f"run {number + 1} of {runs} on {executor}: {run.audio_seconds:.2f} s of audio in "
                f"{run.generate_ms:.0f} ms"
            )
    contenders = [Contender(found[0][0], tuple(run for _, run in found)) for found in told]
    subject = subject_of_request(next(iter(contestants.values())))
    return Benchmark(subject, f"{platform.machine()} {platform.system()}", tuple(contenders))


def contestants(executors: Sequence[str], request: Request) -> dict[str, Request]:
    """What each executor speaks with, by its name as `synth` takes it.

    All say what `request` says; its runner is for the executor of that name. Raises `InputError`
    for an unknown name, or the runner without its path or the reverse.
    """
    known = (*NAMES, EAGER, RUNNER)
    for name in executors:
        one_of("executor", name, known)
    if (request.runner is not None) != (RUNNER in executors):
        raise InputError("--executor runner and --runner-path go together; give both")
    return {
        name: dataclasses.replace(
            request,
            executor="auto" if name == EAGER else name,
            runner=request.runner if name == RUNNER else None,
        )
        for name in executors
    }


def subject_of_request(request: Request) -> Subject:
    """What is said, with which weights; nothing is exported for it."""
    speaker = open_speaker(request, eager=True)
    return subject_of(speaker.plan, request.utterance)


def subject_of(plan: Plan, utterance: Utterance) -> Subject:
    """What is said, with which weights."""
    checkpoint = plan.checkpoint
    return Subject(utterance, checkpoint.name, checkpoint.digest, plan.precision.name)


def _ready(name: str, request: Request, progress: Callable[[str], None]) -> Work:
    """Make what the runs need, so that none of them exports, and say how one is run."""
    words = _flags(name, request)
    if request.utterance.streaming:
        request = with_room_for_chunks(request)
    speaker = open_speaker(request, eager=name == EAGER, progress=progress)
    if name == EAGER:
        return lambda: _in_a_process(name, words)
    speaker.prepare()
    if name == RUNNER:
        return lambda: (RUNNER, speaker.say(request.utterance).timing)
    speaker.close()
    return lambda: _in_a_process(name, words)


def _flags(name: str, request: Request) -> list[str]:
    utterance = request.utterance
    return flags(
        {
            "text": utterance.text,
            "voice": utterance.voice,
            "seed": utterance.seed,
            "temperature": utterance.temperature,
            "max-new-tokens": utterance.max_new_tokens,
            "checkpoint": request.checkpoint,
            "precision": request.precision,
            "executor": name,
            "artifacts": request.artifacts,
            "max-seq-len": request.max_seq_len,
            "max-codec-frames": request.max_codec_frames,
            "streaming": utterance.streaming,
        }
    )


def _in_a_process(name: str, words: list[str]) -> tuple[str, Timing]:
    with tempfile.TemporaryDirectory(prefix="voxtral-parity-") as directory:
        wav, figures = Path(directory) / "speech.wav", Path(directory) / "speech.json"
        started = time.perf_counter()
        done = call_self(["synth", *words, "--output", wav, "--json", figures])
        wall = (time.perf_counter() - started) * 1e3
        if done.returncode:
            raise ExecutionError(f"the {name} executor did not speak: {complaint(done)}")
        executor, run = read_speech(figures)
    return executor, dataclasses.replace(run, wall_ms=wall)
