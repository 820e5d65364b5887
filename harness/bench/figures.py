"""Figures of speech as JSON: of one (``synth --json``) and of many (``bench speech --json``).

docs/speech-schema.md describes every field.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.compare import Verdict
from harness.errors import InputError, brief, in_a_sentence
from harness.files import read_json, write_json
from harness.synthesis import Utterance
from harness.synthesis.timing import Timing
from harness.values import decode, encode

__all__ = [
    "Benchmark",
    "Contender",
    "Subject",
    "figures",
    "read_benchmark",
    "read_speech",
    "reload_note",
    "write_benchmark",
    "write_speech",
]

SCHEMA = "2"
"""Version of the JSON forms; a reader refuses any other."""


@dataclass(frozen=True)
class Subject:
    """What was said, with which weights: figures of other subjects are not comparable.

    `digest` is the sha256 of the checkpoint's contents, `precision` that of the export.
    """

    utterance: Utterance
    checkpoint: str
    digest: str
    precision: str

    def as_json(self) -> dict[str, Any]:
        """Every field by its name, the utterance's too."""
        fields: dict[str, Any] = encode(self)
        return {**fields.pop("utterance"), **fields}


@dataclass(frozen=True)
class Contender:
    """An executor, and its runs in order."""

    executor: str
    runs: tuple[Timing, ...]

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
    """What a benchmark found: of what, on which machine and system, by executor in order."""

    subject: Subject
    device: str
    contenders: tuple[Contender, ...]

    def check_same(self, subject: Subject) -> None:
        """Refuse to be compared with a benchmark of something else, as an `InputError`."""
        theirs, ours = self.subject.as_json(), subject.as_json()
        for name, value in ours.items():
            if theirs[name] != value:
                raise InputError(
                    f"the saved benchmark cannot be compared: its {name.replace('_', ' ')} is "
                    f"{brief(theirs[name])}, this one's {brief(value)}; run both with the same"
                )


def figures(run: Timing) -> dict[str, float | None]:
    """The figures of a run that can be averaged, by name."""
    told: dict[str, float | None] = encode(run)
    del told["frames"], told["ended"]
    return {**told, "rtf": run.rtf}


def reload_note(runs: Sequence[Timing]) -> str:
    """What to know of the times of upstream's runner, which loads `model.pte` a second time."""
    note = (
        "the runner's times hold its second load of model.pte and cannot be compared with other "
        "executors'"
    )
    seen = [run.warm_up_ms for run in runs if run.warm_up_ms is not None]
    if not seen:
        return note
    mean = statistics.fmean(seen)
    return f"{note}; its warm-up, a first load of four of five methods, took {mean:.0f} ms"


def _means(runs: Sequence[Timing]) -> dict[str, float]:
    table = [figures(run) for run in runs]
    return {
        name: statistics.fmean(row[name] or 0.0 for row in table)
        for name in table[0]
        if all(row[name] is not None for row in table)
    }


def write_speech(
    path: Path, subject: Subject, executor: str, run: Timing, words: Verdict | None = None
) -> None:
    """Write the figures of one speech, and what was heard in it, whole or not at all."""
    data = {"schema": SCHEMA, "subject": subject.as_json(), "executor": executor}
    data["run"] = _told(run)
    if words is not None:
        data["words"] = {"status": str(words.status), "summary": words.summary, **words.metrics}
    write_json(path, data)


def read_speech(path: Path) -> tuple[str, Timing]:
    """Executor and figures of what `write_speech` wrote; raises as `read_benchmark`."""
    with _reading(path) as data:
        return str(data["executor"]), _run(data["run"])


def write_benchmark(path: Path, benchmark: Benchmark) -> None:
    """Write a benchmark, whole or not at all."""
    contenders = [
        {
            "executor": contender.executor,
            "runs": [_told(run) for run in contender.runs],
            "average": contender.average,
            "warm": contender.warm,
        }
        for contender in benchmark.contenders
    ]
    data = {"schema": SCHEMA, "subject": benchmark.subject.as_json()}
    write_json(path, {**data, "device": benchmark.device, "contenders": contenders})


def read_benchmark(path: Path) -> Benchmark:
    """Read what `write_benchmark` wrote; averages are computed anew.

    Raises
    ------
    InputError
        The file cannot be read, is of another schema, or is no benchmark.
    """
    with _reading(path) as data:
        contenders = tuple(
            Contender(str(entry["executor"]), tuple(_run(run) for run in entry["runs"]))
            for entry in data["contenders"]
        )
        if not contenders or not all(contender.runs for contender in contenders):
            raise ValueError("no run in it")
        said = _decoded(data["subject"], Utterance)
        subject = _decoded({**data["subject"], "utterance": encode(said)}, Subject)
        return Benchmark(subject, str(data["device"]), contenders)


def _told(run: Timing) -> dict[str, Any]:
    return {**encode(run), "rtf": run.rtf}


def _run(data: Mapping[str, Any]) -> Timing:
    run: Timing = _decoded(data, Timing)
    times = [time for time in figures(run).values() if time is not None]
    if not all(math.isfinite(time) and time >= 0 for time in times):
        raise ValueError(f"a run of {brief(data)}")
    return run


def _decoded(data: Mapping[str, Any], kind: Any) -> Any:
    """The `kind` in an object that has others too; an older one may lack what has a default."""
    names = [field.name for field in dataclasses.fields(kind)]
    return decode({name: data[name] for name in names if name in data}, kind)


@contextmanager
def _reading(path: Path) -> Iterator[Mapping[str, Any]]:
    """The JSON object in a file; what is wrong with it becomes one sentence."""
    data = read_json(path, "figures of speech")
    try:
        if data["schema"] != SCHEMA:
            raise ValueError(f"expected schema {SCHEMA!r}, got {brief(data['schema'])}")
        yield data
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path} holds no figures of speech: {in_a_sentence(error)}") from None
