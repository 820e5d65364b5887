"""The commands and their options, read from the command line itself.

A new option is thereby in the corpus at once; a new command needs a row in `BASE`.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from harness.cli.commands import COMMANDS
from tests.hostile.case import Desk

__all__ = ["BASE", "KEEPS", "SLOW", "Parameter", "commands", "parameters"]


@dataclass(frozen=True)
class Parameter:
    """One option or argument of one command.

    Attributes
    ----------
    command
        The command's name, of a sub-command with its group's: ``golden check``.
    flag
        The option as typed, ``--json``; the metavar of an argument.
    kind
        ``path``, ``number``, ``word`` or ``switch``.
    flags
        Every name of the option.
    place
        Of an argument: how many others come before it.
    """

    command: str
    flag: str
    kind: str
    is_argument: bool
    flags: tuple[str, ...] = ()
    place: int = 0

    def arguments(self, desk: Desk, value: str | os.PathLike[str]) -> list[str]:
        """A quick command line in which this parameter, and nothing else, is odd."""
        base = BASE[self.command](desk)
        words = [*self.command.split(), *base.positional]
        if self.is_argument:
            before, after = base.positional[: self.place], base.positional[self.place + 1 :]
            words = [*self.command.split(), *before, os.fspath(value), *after]
        options = {**base.options}
        if not self.is_argument:
            options[self.flag] = os.fspath(value)
        if self.flag in _NEEDS_RUNNER:
            options["--executor"] = "runner"
        for flag, text in options.items():
            words += [flag, text]
        return words


@dataclass(frozen=True)
class Base:
    """The least that a command must be given, so that it does little."""

    positional: Sequence[str] = ()
    options: dict[str, str] = field(default_factory=dict)


_NEEDS_RUNNER = {"--runner-path", "--runner-timeout"}

_SPEECH = {"--text": "Hello.", "--max-new-tokens": "2"}

_BUNDLES = Path(__file__).parents[2] / "fixtures" / "bundles"

BASE: dict[str, Callable[[Desk], Base]] = {
    "check": lambda desk: Base(["token_embedding"]),
    "export": lambda desk: Base(options={"--output-dir": str(desk.directory / "out")}),
    "synth": lambda desk: Base(options={**_SPEECH}),
    "inspect": lambda desk: Base([str(desk.world.artifacts / "codec_decoder.pte")]),
    "model": lambda desk: Base(["math:sqrt"]),
    "localize": lambda desk: Base(["token_embedding"]),
    "diff": lambda desk: Base(["no-such-report", "no-such-report"]),
    "audit": lambda desk: Base(options={"--text": " "}),
    "matrix": lambda desk: Base(["token_embedding"], {"--precision": "fp32"}),
    "conformance": lambda desk: Base(["no-such-case"]),
    "zoo": lambda desk: Base(options={"--ops": "no-such-operator"}),
    "repro": lambda desk: Base(
        options={"--all": str(desk.directory / "reports"), "--sweep": "no-such-sweep"}
    ),
    "runner-preset": lambda desk: Base([str(desk.directory)]),
    "doctor": lambda desk: Base(),
    "cache": lambda desk: Base(),
    "cache clear": lambda desk: Base(["no-such-kind"]),
    "bundle pack": lambda desk: Base(["token_embedding", str(desk.path("new.bundle"))]),
    "bundle run": lambda desk: Base([str(_BUNDLES / "v1.bundle")]),
    "bundle judge": lambda desk: Base(
        [str(_BUNDLES / "v1.bundle"), str(_BUNDLES / "v1.observation")]
    ),
    "golden check": lambda desk: Base(),
    "golden bless": lambda desk: Base(options={"--reason": ""}),
    "golden diff": lambda desk: Base(),
    "golden list": lambda desk: Base(),
    "gate expect": lambda desk: Base(
        ["no.bundle"],
        {"--commit": "c", "--on": "portable", "--output": str(desk.directory / "expected.json")},
    ),
    "gate judge": lambda desk: Base(["expected.json", "results"], {"--commit": "c"}),
    "bench kernels": lambda desk: Base(),
    "bench export": lambda desk: Base(["no-such-method"]),
    "bench links": lambda desk: Base(options={"--rounds": "1"}),
    "bench speech": lambda desk: Base(options={"--runs": "1", **_SPEECH}),
}
"""What each command is given beside the odd value."""


SLOW = {"conformance"}
"""Commands that open upstream's test suites, 5 to 10 s of imports, before they refuse a name."""

KEEPS = {"zoo"}
"""Commands whose earlier JSON is a record of its own, which a run that ends early leaves."""


def commands() -> Iterator[tuple[str, Callable[..., Any]]]:
    """The function of every command that does something, by the words that a user types."""
    for name in COMMANDS:
        module = importlib.import_module(f"harness.cli.{name.replace('-', '_')}")
        app = getattr(module, "app", None)
        if app is None:
            yield name, getattr(module, name.replace("-", "_"))
            continue
        own = app.registered_callback
        if own is not None and own.invoke_without_command is True:
            yield name, own.callback
        for command in app.registered_commands:
            yield f"{name} {command.name or command.callback.__name__}", command.callback


def parameters(kind: str) -> Iterator[Parameter]:
    """Every parameter of one kind, of every command."""
    for command, function in commands():
        place = -1
        for name, hint in get_type_hints(function, include_extras=True).items():
            type_, *infos = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            info = next((i for i in infos if isinstance(i, OptionInfo | ArgumentInfo)), None)
            if info is None:
                continue
            # In an annotation, typer takes the first name for the default and puts it right later.
            first = [info.default] if str(info.default).startswith("--") else []
            flags = (*first, *(info.param_decls or ())) or (f"--{name.replace('_', '-')}",)
            is_argument = isinstance(info, ArgumentInfo)
            place += is_argument
            if _kind(type_, flags) == kind:
                flag = name if is_argument else max(flags[0].split("/"), key=len)
                names = tuple(part for each in flags for part in each.split("/"))
                yield Parameter(command, flag, kind, is_argument, names, max(0, place))


_PATHS = {"--checkpoint", "--model-path", "--voice"}
"""Texts that may be a path."""


def _kind(hint: Any, flags: Sequence[str]) -> str:
    inside = {hint, *get_args(hint), *(a for part in get_args(hint) for a in get_args(part))}
    if Path in inside or _PATHS & set(flags):
        return "path"
    if {int, float} & inside:
        return "number"
    return "switch" if bool in inside else "word"
