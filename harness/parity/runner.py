"""Upstream's C++ runner says an utterance with the artifacts, and leaves codes and WAV files.

It cannot call one method at a time: of all that `check` judges, free-running speech remains, and
what it traces of the first frames.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.budget.regimes import NARROW
from harness.checkpoint import Checkpoint
from harness.checkpoint.opening import MAX_VOICE_ROWS
from harness.checkpoint.voice_file import RUNNER_FOLDERS, voice_form
from harness.errors import ExecutionError, InputError
from harness.files import file_digest
from harness.fingerprint import UNMEASURED, Fingerprint
from harness.methods import CODEC, MODEL
from harness.parity.artifacts import Artifacts
from harness.parity.observation import By, Observation, Refusal, Spoken, SpokenTwice
from harness.parity.plan import Plan
from harness.parity.replay import guarded
from harness.parity.request import RUNNER
from harness.runner import RunnerArgs, RunnerResult, run_runner
from harness.runner.trace import Trace
from harness.synthesis import Utterance
from harness.synthesis.timing import SpeechResult

__all__ = ["RunnerProgram", "check_runner_voice", "observe_runner", "runner_fingerprint"]


@dataclass(frozen=True)
class RunnerProgram:
    """Upstream's runner, of what model, the artifacts by name, and the seconds it may take."""

    program: Path
    plan: Plan
    checkpoint: Checkpoint
    paths: Mapping[str, Path]
    timeout: float

    def say(
        self, utterance: Utterance, *, speaker: bool = False, trace: bool = False
    ) -> RunnerResult:
        """Let it speak; `speaker` also requires its standard output to be the samples alone.

        Raises
        ------
        InputError
            There is no such voice, or it cannot do what the utterance asks.
        UnavailableError, MachineError, ExecutionError
            See `run_runner`; also, its WAV has another sampling rate than the model.
        """
        if not utterance.seed_step:
            raise InputError("the runner always takes the seed step; leave --no-seed-step out")
        voice = check_runner_voice(self.checkpoint, utterance.voice)
        result = run_runner(
            self.program,
            RunnerArgs(
                model=self.paths[MODEL],
                codec=self.paths[CODEC],
                tokenizer=self.checkpoint.tokenizer,
                utterance=dataclasses.replace(
                    utterance, voice=None if voice is None else str(voice)
                ),
                speaker=speaker,
                trace=trace,
            ),
            frame_samples=self.plan.sizes.downsample_factor,
            timeout=self.timeout,
        )
        if result.sampling_rate != self.plan.sizes.sampling_rate:
            raise ExecutionError(
                f"the runner's WAV has {result.sampling_rate} Hz, the model "
                f"{self.plan.sizes.sampling_rate} Hz"
            )
        return result


def check_runner_voice(checkpoint: Checkpoint, voice: str | None) -> Path | None:
    """The file of a voice, None for none; `InputError` for one that the runner would misread.

    References
    ----------
    ``examples/models/voxtral_tts/voxtral_tts_runner.cpp`` (`load_pt_voice_tensor`).
    """
    path = checkpoint.find_voice(voice)
    if path is None or path.suffix != ".pt":
        return path
    form = voice_form(path, MAX_VOICE_ROWS * checkpoint.config.decoder.dim)
    if form.folder not in RUNNER_FOLDERS or form.key != "0":
        fault = (
            f"looks for its numbers in {', '.join(f'{n}/data/0' for n in RUNNER_FOLDERS[:-1])} "
            f"or data/0, and they are in {form.folder}/data/{form.key}"
        )
    elif form.dtype != "bfloat16":
        fault = f"reads any numbers as bfloat16, and they are {form.dtype}"
    elif form.spare:
        fault = f"reads all of its numbers, and {form.spare // 2:,} are not the tensor's"
    else:
        return path
    raise InputError(
        f"upstream's runner would misread voice {path}: it {fault}; save it again "
        'by torch.save(rows.bfloat16().clone(), open(FILE, "wb"))'
    )


def runner_fingerprint(program: Path) -> Fingerprint:
    """Which program, on what machine, in which regime of arithmetic.

    It runs no canaries. Upstream builds its delegate for Metal alone; built for another system it
    multiplies with MLX's kernels on the CPU, whose regime was measured (`portable:faithful`).
    """
    notes = [
        f"{program.name}, sha256 {file_digest(program)[:12]}…",
        "the runner cannot call one method at a time: free-running speech alone is judged, and "
        "what it traces of its first three frames",
    ]
    system, regime = platform.system(), UNMEASURED
    if system != "Darwin":
        regime = NARROW
        notes.append(
            f"{regime} is the regime of MLX's kernels on a CPU, as measured of portable:faithful: "
            "the runner runs no canaries"
        )
    device = f"{platform.machine()} {system}"
    return Fingerprint(RUNNER, device, {}, tuple(notes), regime=regime)


def observe_runner(
    plan: Plan,
    artifacts: Artifacts,
    runner: RunnerProgram,
    fingerprint: Fingerprint,
    progress: Callable[[str], None] = lambda text: None,
) -> Observation:
    """What the runner makes of the plan's utterance: offline, streamed, and offline again."""

    def speak() -> tuple[SpokenTwice, Trace | None]:
        progress("the runner speaks offline")
        first = runner.say(plan.utterance, trace=True)
        progress("the runner streams to its standard output")
        streamed = runner.say(plan.utterance, speaker=True)
        progress("the runner speaks offline once more")
        again = runner.say(plan.utterance)
        spoken = _spoken(first)
        twice = SpokenTwice(
            spoken, _spoken(again), spoken.codes, streamed.pcm, first.pcm, artifacts.chunks
        )
        return twice, first.trace

    said = guarded(speak)
    if isinstance(said, Refusal):  # the fault may be the runner's as well as the files'
        refusal = Refusal(By.HARNESS, said.reason, said.detail)
        return Observation(fingerprint, {}, None, refusal)
    twice, trace = said
    return Observation(fingerprint, {}, twice, trace=trace)


def _spoken(result: SpeechResult) -> Spoken:
    assert result.codes is not None
    return Spoken(result.codes.astype(np.int64), result.timing.ended, result.pcm)
