"""One hostile case of the command line, and what every case must satisfy.

Whatever a user gives, the command line answers with a documented exit code and one short
sentence, leaves nothing half-written behind, and stays within bounds of time and memory.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import stat
import wave
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.hostile.world import World, copy_site

__all__ = ["ANY", "DONE", "EITHER", "REFUSED", "Case", "Desk", "Outcome", "complaints"]

DONE, REFUSED, EITHER, ANY = {0}, {2}, {0, 2}, {0, 1, 2}
"""Exit codes that a case allows."""

MAX_MESSAGE = 600
"""Characters of a message on stderr."""

MAX_OUTPUT = 100_000
"""Characters on stdout."""

MAX_MEMORY = 2560 << 20
"""Bytes that a command may hold at its peak."""

_FAULTS = (
    *("Traceback (most recent call last)", "panicked at", "Fatal Python error"),
    "internal error",
)
"""What a fault of the program itself prints."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

YESTERDAY = '{"tool_version": "yesterday", "verdicts": []}'


@dataclass
class Desk:
    """What one case has to itself: a directory, and how its command is started.

    Attributes
    ----------
    directory
        The working directory of the command, empty at first.
    environment
        Variables to set; None removes one.
    umask, file_size
        Of the process; `file_size` bytes are the longest file that it may write.
    stdout
        ``file``, ``closed``, ``full`` (``/dev/full``) or ``gone`` (a pipe that nobody reads).
    outputs
        Files that must afterwards be absent, as they were, or whole.
    reports
        Files that must not hold yesterday's report afterwards.
    forbidden
        Paths that must not exist afterwards.
    kinds
        What a path is (`stat.S_IFMT`) and must still be afterwards; None for anything.
    private
        Files that others must not be able to read afterwards.
    vanish
        Remove the working directory, which is then an empty one, at the start.
    site
        Where the package is imported from.
    """

    world: World
    directory: Path
    environment: dict[str, str | None] = field(default_factory=dict)
    umask: int = 0o022
    file_size: int | None = None
    stdout: str = "file"
    outputs: list[Path] = field(default_factory=list)
    reports: list[Path] = field(default_factory=list)
    forbidden: list[Path] = field(default_factory=list)
    kinds: dict[Path, int | None] = field(default_factory=dict)
    private: list[Path] = field(default_factory=list)
    vanish: bool = False
    site: Path = field(init=False)

    def __post_init__(self) -> None:
        self.site = self.world.site

    def path(self, name: str) -> Path:
        """A path in the directory, its parents made."""
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def checkpoint(self) -> Path:
        """A copy of `tiny` whose files can be replaced."""
        copy = self.directory / "T"
        shutil.copytree(self.world.checkpoint, copy, copy_function=_link)
        return copy

    def artifacts(self) -> Path:
        """A copy of the exported pair whose files can be replaced."""
        copy = self.directory / "A"
        shutil.copytree(self.world.artifacts, copy, copy_function=_link)
        return copy

    def cache(self) -> Path:
        """A warm cache that only this case uses."""
        copy = self.directory / "cache"
        # A lock that is linked would be held by whoever uses the world's.
        locks = shutil.ignore_patterns(".locks")
        shutil.copytree(self.world.cache, copy, copy_function=_link, ignore=locks)
        self.environment["VOXTRAL_PARITY_CACHE"] = str(copy)
        return copy

    def goldens(self) -> Path:
        """The goldens of a checkout that only this case uses; the case must be `fresh`."""
        self.site = self.directory / "site"
        copy_site(self.world.site, self.site)
        return self.site / "golden"

    def old_report(self, name: str = "report.json") -> Path:
        """Yesterday's report, where today's is to be written."""
        path = self.path(name)
        path.write_text(YESTERDAY)
        self.reports.append(path)
        return path


def _link(source: str, target: str) -> None:
    """Link instead of copying; whoever changes a file replaces it."""
    os.link(source, target)


@dataclass(frozen=True)
class Case:
    """A command line and the exit codes that are right for it.

    Attributes
    ----------
    family, name
        Together they name the case: ``family/name``.
    set_up
        Prepares the desk and returns the arguments after ``voxtral-parity``.
    codes
        Exit codes allowed.
    seconds
        CPU time allowed.
    fresh
        Start a new interpreter; else the command runs in a fork of a process that has the export
        stack imported, which is quicker.
    signal_after
        Seconds after the start at which SIGINT is sent.
    """

    family: str
    name: str
    set_up: Callable[[Desk], Sequence[str]]
    codes: set[int]
    seconds: float = 10.0
    fresh: bool = False
    signal_after: float | None = None

    def __str__(self) -> str:
        return f"{self.family}/{self.name}"


@dataclass(frozen=True)
class Outcome:
    """What a command did: `code` is negative for a signal and None if it had to be killed."""

    code: int | None
    stdout: str
    stderr: str
    cpu_seconds: float
    peak_bytes: int
    interrupted: bool = False


def complaints(case: Case, desk: Desk, outcome: Outcome, before: set[Path]) -> list[str]:
    """What was not as documented; `before` are the files that were there at the start."""
    if desk.environment.get("FORCE_COLOR"):
        outcome = dataclasses.replace(outcome, stderr=_without_spinner(outcome.stderr))
    return [*_process(case, outcome), *_messages(outcome), *_files(desk, before)]


def _without_spinner(stderr: str) -> str:
    """What a terminal would keep of stderr."""
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stderr).replace("\r", "\n").splitlines()
    return "\n".join(line for line in lines if not re.match("[\u2800-\u28ff]", line))


def _process(case: Case, outcome: Outcome) -> Iterator[str]:
    # Python ends by the signal itself, 130 in a shell, where it came while a string was executed.
    allowed = case.codes | ({130, 2, -signal.SIGINT} if outcome.interrupted else set())
    if outcome.code is None:
        yield "did not end and was killed"
    elif outcome.code not in allowed:
        yield f"exit code {outcome.code}, allowed {sorted(allowed)}"
    if outcome.cpu_seconds > case.seconds:
        yield f"took {outcome.cpu_seconds:.0f} s of CPU time, allowed {case.seconds:.0f}"
    if outcome.peak_bytes > MAX_MEMORY:
        yield f"held {outcome.peak_bytes / 2**30:.1f} GiB of memory"


def _messages(outcome: Outcome) -> Iterator[str]:
    everything = outcome.stdout + outcome.stderr
    for sign in _FAULTS:
        if sign in everything:
            yield f"printed {sign!r}"
    lines = message_lines(outcome.stderr)
    length = sum(map(len, lines))
    if length > MAX_MESSAGE:
        yield f"a message of {length:,} characters"
    if any(_CONTROL.search(line) for line in lines):
        yield "control characters in a message"
    if outcome.code == 2:
        if len(lines) > 1:
            yield f"{len(lines)} lines on stderr, not one sentence"
        if not lines and "exit code 2" not in outcome.stdout:
            yield "exit code 2 without a sentence"
    if len(outcome.stdout) > MAX_OUTPUT:
        yield f"{len(outcome.stdout):,} characters on stdout"


def message_lines(stderr: str) -> list[str]:
    """The message on stderr, without lines of progress and the frame of a usage error."""
    lines = [line.rstrip() for line in stderr.splitlines() if not line.startswith("· ")]
    lines = [line for line in lines if line]
    for index, line in enumerate(lines):
        if line.startswith("╭─ Error"):
            inside = [row.strip("│ ") for row in lines[index + 1 :] if row.startswith("│")]
            return [" ".join(inside)]
    return lines


def _files(desk: Desk, before: set[Path]) -> Iterator[str]:
    scratch = [path for path in files_below(desk.directory) - before if _is_scratch(path)]
    for path in sorted(scratch)[:3]:
        yield f"left {path.relative_to(desk.directory)} behind"
    for path in desk.forbidden:
        if os.path.lexists(path):
            yield f"made {path.name}"
    for path, kind in desk.kinds.items():
        if kind is not None and file_kind(path) != kind:
            yield f"replaced {path.name}, which was no regular file"
    for path in desk.private:
        if not path.exists():
            yield f"did not write {path.name}"
        elif path.stat().st_mode & 0o077:
            yield f"{path.name} has mode {path.stat().st_mode & 0o777:o}"
    for path in desk.reports:
        text = _read(path)
        if text == YESTERDAY:
            yield f"yesterday's report is still at {path.name}"
        elif text is not None:
            yield from _strict_json(path.name, text)
    for path in desk.outputs:
        text = _read(path)
        if text is None or text == YESTERDAY:
            continue
        if path.suffix == ".json" and not text.startswith(_OTHER_FORMS):
            yield from _strict_json(path.name, text)
        if path.suffix == ".wav":
            yield from _whole_wav(path)


def files_below(directory: Path) -> set[Path]:
    """Every name below a directory, links not followed."""
    return {
        Path(parent) / name
        for parent, directories, files in os.walk(directory)
        for name in (*directories, *files)
    }


def file_kind(path: Path) -> int | None:
    """``stat.S_IFMT`` of the path itself, a link not followed; None if nothing is there."""
    try:
        return stat.S_IFMT(os.lstat(path).st_mode)
    except OSError:
        return None


def _is_scratch(path: Path) -> bool:
    if ".locks" in path.parts or path.name == ".locks":
        return False
    return path.name.startswith(".") or path.parent.name == "tmp"


def _read(path: Path) -> str | None:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        return path.read_text(errors="replace")
    except OSError:
        return None


_OTHER_FORMS = ("<?xml", "<!doctype", "## ", "RIFF", "frame=", "PK")
"""How reports, sounds, codes and bundles begin that are no JSON, whatever the file is called."""


def _strict_json(name: str, text: str) -> Iterator[str]:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        json.loads(text, parse_constant=refuse)
    except ValueError as error:
        yield f"{name} is not whole: {error}"


def _whole_wav(path: Path) -> Iterator[str]:
    try:
        with wave.open(str(path)) as file:
            if len(file.readframes(1 << 30)) // 2 != file.getnframes():
                yield f"{path.name} is cut"
    except (wave.Error, EOFError) as error:
        yield f"{path.name} is not whole: {error}"
