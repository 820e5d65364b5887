"""The commands and their options, read from the command line itself.

A new option is thereby in the corpus at once; a new command needs a row in `BASE`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

import typer.main

from harness import cli
from tests.hostile.case import Desk

__all__ = ["BASE", "Parameter", "commands", "parameters"]


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
    """

    command: str
    flag: str
    kind: str
    is_argument: bool

    def arguments(self, desk: Desk, value: str | os.PathLike[str]) -> list[str]:
        """A quick command line in which this parameter, and nothing else, is odd."""
        base = BASE[self.command](desk)
        words = [*self.command.split(), *base.positional]
        if self.is_argument:
            words = [*self.command.split(), os.fspath(value)]
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

BASE: dict[str, Callable[[Desk], Base]] = {
    "check": lambda desk: Base(["token_embedding"]),
    "export": lambda desk: Base(options={"--output-dir": str(desk.directory / "out")}),
    "synth": lambda desk: Base(options={**_SPEECH}),
    "inspect": lambda desk: Base([str(desk.world.artifacts / "codec_decoder.pte")]),
    "matrix": lambda desk: Base(["token_embedding"], {"--precisions": "fp32"}),
    "conformance": lambda desk: Base(["no-such-case"]),
    "runner-preset": lambda desk: Base([str(desk.directory)]),
    "doctor": lambda desk: Base(),
    "cache": lambda desk: Base(),
    "cache clear": lambda desk: Base(["no-such-kind"]),
    "golden check": lambda desk: Base(),
    "golden bless": lambda desk: Base(options={"--reason": ""}),
    "golden list": lambda desk: Base(),
    "bench": lambda desk: Base(options={"--runs": "1", **_SPEECH}),
}
"""What each command is given beside the odd value."""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that does something, by the words that a user types."""
    yield from _below(typer.main.get_command(cli.app), ())


def _below(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if words and (not inner or command.invoke_without_command):
        yield " ".join(words), command
    for name, child in inner.items():
        yield from _below(child, (*words, name))


def parameters(kind: str) -> Iterator[Parameter]:
    """Every parameter of one kind, of every command."""
    for name, command in commands():
        hints = get_type_hints(inspect.unwrap(command.callback))
        for parameter in command.params:
            hint = hints.get(parameter.name)
            is_argument = parameter.param_type_name == "argument"
            flag = parameter.name if is_argument else max(parameter.opts, key=len)
            if hint is not None and _kind(hint, parameter.opts) == kind:
                yield Parameter(name, flag, kind, is_argument)


_PATHS = {"--checkpoint", "--model-path", "--voice"}
"""Texts that may be a path."""


def _kind(hint: Any, flags: Sequence[str]) -> str:
    inside = {hint, *get_args(hint), *(a for part in get_args(hint) for a in get_args(part))}
    if Path in inside or _PATHS & set(flags):
        return "path"
    if {int, float} & inside:
        return "number"
    return "switch" if bool in inside else "word"
