"""What surrounds a command: locale, width, closed streams, signals, umask, directories."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.hostile.case import DONE, EITHER, REFUSED, Case, Desk

__all__ = ["cases"]


def _program(desk: Desk) -> str:
    return str(desk.world.artifacts / "codec_decoder.pte")


_COMMANDS: dict[str, Callable[[Desk], list[str]]] = {
    "help": lambda desk: ["--help"],
    "check help": lambda desk: ["check", "--help"],
    "doctor": lambda desk: ["doctor"],
    "cache": lambda desk: ["cache"],
    "golden list": lambda desk: ["golden", "list"],
    "inspect": lambda desk: ["inspect", _program(desk)],
    "check": lambda desk: ["check", "token_embedding", "--json", str(desk.old_report())],
}

_LOCALES = {
    "C": {"LC_ALL": "C"},
    "C without coercion": {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "POSIX": {"LC_ALL": "POSIX", "PYTHONUTF8": "0"},
    "ASCII streams": {"PYTHONIOENCODING": "ascii"},
    "Latin 1 streams": {"PYTHONIOENCODING": "latin-1"},
    "UTF-16 streams": {"PYTHONIOENCODING": "utf-16"},
    "unknown locale": {"LC_ALL": "xx_YY.nothing"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8"},
}

_WIDTHS = {
    "0": DONE,
    "-1": EITHER,
    "1": DONE,
    "5": DONE,
    "1000000000": DONE,
    "9" * 30: EITHER,
    "many": DONE,
    "": DONE,
}

_SURROUNDINGS: dict[str, dict[str, str | None]] = {
    "TERM dumb": {"TERM": "dumb"},
    "TERM unknown": {"TERM": "\x1b[0m"},
    "NO_COLOR": {"NO_COLOR": "1"},
    "FORCE_COLOR": {"FORCE_COLOR": "1"},
    "HOME missing": {"HOME": "/no/such/home"},
    "HOME unset": {"HOME": None},
    "TMPDIR missing": {"TMPDIR": "/no/such/directory"},
    "PATH empty": {"PATH": ""},
    "OMP_NUM_THREADS text": {"OMP_NUM_THREADS": "many"},
}


def cases() -> Iterator[Case]:
    """Each in an interpreter of its own, as a shell starts it."""
    for command, make in _COMMANDS.items():
        for name, variables in (*_LOCALES.items(), *_SURROUNDINGS.items()):
            yield _case(f"{command}, {name}", make, DONE, variables)
        for width, codes in _WIDTHS.items():
            yield _case(f"{command}, COLUMNS {width!r}", make, codes, {"COLUMNS": width})
        for stdout, codes in (("closed", EITHER), ("full", REFUSED), ("gone", EITHER)):
            yield _case(f"{command}, stdout {stdout}", make, codes, stdout=stdout)
    for command in ("check", "doctor", "inspect", "help"):
        for hundredths in (2, 8, 15, 22, 30):
            yield Case(
                "terminal",
                f"{command}, SIGINT after {hundredths / 100} s",
                _COMMANDS[command],
                DONE,
                seconds=20,
                fresh=True,
                signal_after=hundredths / 100,
            )
    yield Case("terminal", "umask 077 lets nobody read", _private, DONE, 30)
    yield Case("terminal", "working directory removed", _nowhere, EITHER, 20)
    yield Case("terminal", "samples to a closed reader", _samples, REFUSED, 20)


def _case(
    name: str,
    make: Callable[[Desk], list[str]],
    codes: set[int],
    variables: dict[str, str | None] | dict[str, str] | None = None,
    stdout: str = "file",
) -> Case:
    def set_up(desk: Desk) -> list[str]:
        words = make(desk)
        desk.environment.update(variables or {})
        desk.stdout = stdout
        return words

    # With other threads, which is what OMP_NUM_THREADS says, everything is made anew.
    seconds = 120 if "OMP_NUM_THREADS" in (variables or {}) else 20
    return Case("terminal", name, set_up, codes, seconds, fresh=True)


def _private(desk: Desk) -> list[str]:
    desk.umask = 0o077
    desk.private.append(desk.directory / "out.wav")
    desk.private.append(desk.directory / "out.json")
    words = ["synth", "--text", "Hello.", "--max-new-tokens", "2"]
    return [*words, "--output", "out.wav", "--json", "out.json"]


def _nowhere(desk: Desk) -> list[str]:
    desk.vanish = True
    return ["inspect", _program(desk)]


def _samples(desk: Desk) -> list[str]:
    desk.stdout = "gone"
    return ["synth", "--text", "Hello.", "--max-new-tokens", "2", "--speaker"]
