"""Figures of speech as JSON: of one (``synth --json``) and of many (``bench --runs --json``).

docs/speech-schema.md describes every field.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.compare import Verdict
from harness.errors import InputError
from harness.files import replace_file
from harness.synthesis.timing import Timing

__all__ = [
    "SCHEMA",
    "Benchmark",
    "Contender",
    "Run",
    "Subject",
    "figures",
    "read_benchmark",
    "read_speech",
    "run_of_timing",
    "write_benchmark",
    "write_speech",
]

SCHEMA = "1"
"""Version of the JSON forms; a reader refuses any other."""


@dataclass(frozen=True)
class Subject:
    """What was said, with which weights: figures of other subjects are not comparable.

    Attributes
    ----------
    text, voice, seed, temperature, max_new_tokens, seed_step, streaming
        See `harness.parity.speaking.Utterance`.
    checkpoint, digest
        Name of the checkpoint and sha256 of its contents.
    precision
        In which it was exported.
    """

    text: str
    voice: str | None
    seed: int
    temperature: float
    max_new_tokens: int
    seed_step: bool
    streaming: bool
    checkpoint: str
    digest: str
    precision: str


@dataclass(frozen=True)
class Run:
    """Figures of one speech, as upstream's benchmark tells them.

    Attributes
    ----------
    frames, ended
        Frames made, and whether END_AUDIO came.
    audio_seconds
        Length of the sound.
    generate_ms
        See `harness.synthesis.timing.Timing`.
    first_audio_ms
        Until the first samples could be played; offline, all of them.
    wall_ms
        Of the whole process, which loads first; None where nobody timed it.
    """

    frames: int
    ended: bool
    audio_seconds: float
    generate_ms: float
    first_audio_ms: float
    wall_ms: float | None = None

    @property
    def rtf(self) -> float:
        """Seconds of generating for each second of sound."""
        return self.generate_ms / 1e3 / self.audio_seconds


@dataclass(frozen=True)
class Contender:
    """An executor, and its runs in order."""

    executor: str
    runs: tuple[Run, ...]

    @property
    def average(self) -> Mapping[str, float]:
        """Mean of every figure over all runs."""
        return _means(self.runs)

    @property
    def warm(self) -> Mapping[str, float] | None:
        """The same without the first run; None if there is no other."""
        return _means(self.runs[1:]) if len(self.runs) > 1 else None


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark found.

    Attributes
    ----------
    subject
        What every run said.
    device
        Machine and system.
    contenders
        In the order in which they were named.
    """

    subject: Subject
    device: str
    contenders: tuple[Contender, ...]

    def check_same(self, subject: Subject) -> None:
        """Refuse to be compared with a benchmark of something else.

        Raises
        ------
        InputError
            It said another text, with another checkpoint, in another precision, ….
        """
        theirs, ours = dataclasses.asdict(self.subject), dataclasses.asdict(subject)
        for name, value in ours.items():
            if theirs[name] != value:
                raise InputError(
                    f"the saved benchmark cannot be compared: its {name.replace('_', ' ')} is "
                    f"{_brief(theirs[name])}, this one's {_brief(value)}; run both with the same"
                )


def figures(run: Run) -> dict[str, float | None]:
    """The figures of a run that can be averaged, by name."""
    return {
        "audio_seconds": run.audio_seconds,
        "generate_ms": run.generate_ms,
        "rtf": run.rtf,
        "first_audio_ms": run.first_audio_ms,
        "wall_ms": run.wall_ms,
    }


def _means(runs: Sequence[Run]) -> dict[str, float]:
    table = [figures(run) for run in runs]
    return {
        name: statistics.fmean(row[name] or 0.0 for row in table)
        for name in table[0]
        if all(row[name] is not None for row in table)
    }


def run_of_timing(timing: Timing, *, ended: bool, wall_ms: float | None = None) -> Run:
    """The figures of a speech that a stopwatch took."""
    return Run(
        timing.frames,
        ended,
        timing.audio_seconds,
        timing.generate_ms,
        timing.first_audio_ms,
        wall_ms,
    )


def write_speech(
    path: Path, subject: Subject, executor: str, run: Run, words: Verdict | None = None
) -> None:
    """Write the figures of one speech, and what was heard in it, whole or not at all."""
    data = {"schema": SCHEMA, "subject": dataclasses.asdict(subject), "executor": executor}
    data["run"] = _run_json(run)
    if words is not None:
        data["words"] = {"status": str(words.status), "summary": words.summary, **words.metrics}
    _write(path, data)


def read_speech(path: Path) -> tuple[str, Run]:
    """Executor and figures of what `write_speech` wrote; raises as `read_benchmark`."""
    with _reading(path) as data:
        return str(data["executor"]), _run(data["run"])


def write_benchmark(path: Path, benchmark: Benchmark) -> None:
    """Write a benchmark, whole or not at all."""
    contenders = [
        {
            "executor": contender.executor,
            "runs": [_run_json(run) for run in contender.runs],
            "average": contender.average,
            "warm": contender.warm,
        }
        for contender in benchmark.contenders
    ]
    data = {"schema": SCHEMA, "subject": dataclasses.asdict(benchmark.subject)}
    _write(path, {**data, "device": benchmark.device, "contenders": contenders})


def read_benchmark(path: Path) -> Benchmark:
    """Read what `write_benchmark` wrote; averages are computed anew.

    Raises
    ------
    InputError
        The file cannot be read, is of another schema, or is no benchmark.
    """
    with _reading(path) as data:
        contenders = tuple(
            Contender(entry["executor"], tuple(_run(run) for run in entry["runs"]))
            for entry in data["contenders"]
        )
        if not contenders or not all(contender.runs for contender in contenders):
            raise ValueError("no run in it")
        return Benchmark(Subject(**data["subject"]), data["device"], contenders)


def _run_json(run: Run) -> dict[str, Any]:
    return {"frames": run.frames, "ended": run.ended, **figures(run)}


def _run(data: Mapping[str, Any]) -> Run:
    run = Run(**{field.name: data[field.name] for field in dataclasses.fields(Run)})
    if not (run.audio_seconds > 0 and run.generate_ms >= 0):
        raise ValueError(f"a run of {run.audio_seconds} s in {run.generate_ms} ms")
    return run


def _write(path: Path, data: Mapping[str, Any]) -> None:
    text = json.dumps(data, indent=1, ensure_ascii=False)
    try:
        with replace_file(path) as scratch:
            scratch.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _reading(path: Path) -> Iterator[Mapping[str, Any]]:
    """The JSON object in a file; what is wrong with it becomes one sentence."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise InputError(f"{path}: expected schema {SCHEMA!r}, got {data['schema']!r}")
        yield data
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{path} holds no figures of speech: {what}") from None


def _brief(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 70 else f"{told[:60]}…"
