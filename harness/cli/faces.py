"""The files that a report is written to: options and writing, shared by commands that judge."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from harness.cli import console
from harness.errors import HarnessError, printable
from harness.files import check_targets, read_json

if TYPE_CHECKING:
    from harness.report import Figures, Report

__all__ = ["Faces", "replace_by_failure", "tell"]

INDEX, DATA = "index.html", "report.json"
"""Names in the directory of ``--report``."""


@dataclass(frozen=True)
class Faces:
    """Where a report goes beside the terminal; None: nowhere.

    Attributes
    ----------
    json, junit, markdown
        Files.
    directory
        Receives ``index.html`` and ``report.json``.
    """

    json: Path | None = None
    junit: Path | None = None
    markdown: Path | None = None
    directory: Path | None = None

    @property
    def any(self) -> bool:
        """Whether it is written anywhere."""
        return any((self.json, self.junit, self.markdown, self.directory))

    def check(self) -> None:
        """Refuse what cannot be written, before the work; see `harness.files.check_targets`.

        Raises
        ------
        InputError
            A target cannot be written, or ``--report`` is asked for and nothing can draw.
        """
        page: tuple[Path, ...] = ()
        if self.directory is not None:
            page = (self.directory / INDEX, self.directory / DATA)
            from harness.report.plots import check_library

            check_library()
        check_targets(self.json, self.junit, self.markdown, *page)

    def write(self, report: Report, figures: Callable[[], Figures] | None = None) -> None:
        """Write every face that was asked for.

        Parameters
        ----------
        report
            What to write.
        figures
            Makes what the plots of the page show; None: a page without plots of arrays.
        """
        from harness.report.jsonfile import write_json
        from harness.report.page import write_page

        for path, write in self._writers().items():
            write(report, path)
        if self.directory is not None:
            from harness.report import write_page

            write_json(report, self.directory / DATA)
            write_page(report, self.directory / INDEX, figures() if figures else None)

    def _writers(self) -> Mapping[Path, Callable[[Report, Path], None]]:
        from harness.report.jsonfile import write_json
        from harness.report.junit import write_junit
        from harness.report.markdown import write_markdown

        pairs = (
            (self.json, write_json), (self.junit, write_junit), (self.markdown, write_markdown),
        )  # fmt: skip
        return {path: write for path, write in pairs if path is not None}


def tell(report: Report, faces: Faces, figures: Callable[[], Figures] | None = None) -> NoReturn:
    """Write every face, print the report, annotate in GitHub Actions, and exit with its code."""
    from harness.report import print_report
    from harness.report.annotations import annotation_lines, asked_for

    faces.write(report, figures)
    print_report(report, console.stdout())
    for line in annotation_lines(report.verdicts) if asked_for() else ():
        typer.echo(line)
    raise typer.Exit(report.exit_code)


def replace_by_failure(typed: Sequence[str], failed: Report, started: float) -> None:
    """Write a report that says why there is no judgement, in the place of an earlier run's files.

    Else such a file, green perhaps, would stand for this run; where it cannot be replaced, as on a
    full disk, it is removed. What this run has written, after `started`, stays. So does whatever
    was no report: it was named by mistake. JSON that is no report, such as an earlier benchmark or
    inspection, is moved to ``NAME.old`` first, which stands for no run; what ``--against`` names
    stays where it is. So does a sweep of the zoo, which is no judgement of one program but the
    record that the next sweep is compared with.

    An earlier observation (`bundle run --observe-only`) is removed: none says that a run failed.

    Parameters
    ----------
    typed
        The words after the command's name.
    failed
        What is written.
    started
        Seconds since the epoch.
    """
    if "zoo" in typed[:1]:
        return
    options = list(_options(typed))
    kept = {os.path.realpath(value) for flag, value in options if flag == "--against"}
    for flag, value in options:
        if flag == "--observe-only":
            with contextlib.suppress(OSError, ValueError):
                _remove_observation(Path(value), started)
        for path, begin, faces in _targets(flag, Path(value)):
            with contextlib.suppress(HarnessError, OSError, ValueError):
                if os.path.realpath(path) not in kept:
                    _replace(path, begin, faces, failed, started)


def _options(typed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every word with what follows it, as an option that has a value would be read."""
    for word, following in itertools.pairwise([*typed, ""]):
        flag, equals, value = word.partition("=")
        value = value if equals else following
        if value:
            yield flag, value


def _replace(path: Path, begin: bytes, faces: Faces, failed: Report, started: float) -> None:
    if path.is_file():
        with path.open("rb") as file:
            if path.stat().st_mtime >= started or not re.match(begin, file.read(200)):
                return
        if begin == _OBJECT and not _is_report(path):
            _set_aside(path)
    elif os.path.lexists(path) or str(path) == ".":
        return
    try:
        faces.write(failed)
    except HarnessError:
        path.unlink(missing_ok=True)


def _remove_observation(path: Path, started: float) -> None:
    """Remove an earlier observation, known by its head: that of a safetensors file."""
    if not path.is_file() or path.stat().st_mtime >= started:
        return
    with path.open("rb") as file:
        length = min(int.from_bytes(file.read(8), "little"), _MOST_HEAD)
        head = file.read(length)
    if head.startswith(b'{"__metadata__"') and b'\\"observed\\"' in head:
        path.unlink()


def _is_report(path: Path) -> bool:
    try:
        data = read_json(path, "report")
    except HarnessError:
        return False
    return isinstance(data, dict) and {"tool_version", "verdicts"} <= data.keys()


def _set_aside(path: Path) -> None:
    """Rename a file to a name beside it that nothing has, and say so."""
    real = os.path.realpath(path)
    names = (f"{real}.old{number or ''}" for number in itertools.count())
    aside = next(name for name in names if not os.path.lexists(name))
    os.rename(real, aside)
    with contextlib.suppress(OSError, ValueError):
        text = f"{path} was no report: it is {os.path.basename(aside)} now"
        console.stderr(f"· {printable(text)}")


def _targets(flag: str, path: Path) -> list[tuple[Path, bytes, Faces]]:
    """The files of an option; a pattern of how each begins if it is a report; what writes it."""
    if flag == "--report":
        index, data = path / INDEX, path / DATA
        return [(data, _OBJECT, Faces(json=data)), (index, _PAGE, Faces(directory=path))]
    begin = {"--json": _OBJECT, "--junit": _SUITE, "--markdown": _SUMMARY}.get(flag)
    return [] if begin is None else [(path, begin, Faces(**{flag.removeprefix("--"): path}))]


_MOST_HEAD = 100_000_000
"""Bytes of the head of a safetensors file, as its format has it."""

_OBJECT, _PAGE = rb"\{", rb"<!doctype html>"
_SUITE = rb'<\?xml [^>]*>\s*<testsuites>\s*<testsuite name="voxtral-parity"'
_SUMMARY = rb"## \S+ voxtral-parity: "
