"""Every number and every word that a command takes, and what may be typed for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from tests.hostile.case import ANY, EITHER, REFUSED, Case, Desk
from tests.hostile.commands import KEEPS, SLOW, Parameter, parameters

__all__ = ["cases"]

_NUMBERS = {
    "0": "0",
    "minus one": "-1",
    "2**31": str(2**31),
    "2**63": str(2**63),
    "10**400": "1" + "0" * 400,
    "5,000 digits": "9" * 5000,
    "text": "many",
    "nothing": "",
    "nan": "nan",
    "infinity": "inf",
    "1e400": "1e400",
    "a fraction": "0.5",
    "other digits": "\N{ARABIC-INDIC DIGIT THREE}",
}

_MAY_WORK = {
    ("--seed", "0"), ("--temperature", "0"), ("--temperature", "a fraction"), ("--seed", "2**31"),
    ("--temperature", "2**31"), ("--temperature", "2**63"), ("--temperature", "10**400"),
}  # fmt: skip
"""Numbers that make sense where others do not."""

_WORDS = {
    "nothing": "",
    "unknown": "no-such-word",
    "wrong case": "FP32",
    "5,000 characters": "w" * 5000,
    "markup": "[bold red]x[/bold red][/]",
    "line break": "fp32\nbf16",
    "not UTF-8": os.fsdecode(b"\xff\xfe"),
    "escape": "\x1b[2J\x07",
    "an option": "--fresh",
}

_THOROUGH = {"check", "synth", "conformance", "inspect"}
"""Commands of which every option is tried with everything; the others share their options."""

_FEW = {"0", "minus one", "2**63", "text", "nothing", "5,000 characters", "unknown", "not UTF-8"}

_ALL_WITHOUT = {("check", "methods"), ("conformance", "names")}
"""Names that stand for all where none is given."""

_FREE = {"--text", "--asr-command", "names"}
"""Words of the user's own, which need not be refused."""

_SIZES = {"--max-seq-len", "--max-codec-frames", "--qlinear-group-size", "--qembedding-group-size"}


def cases() -> Iterator[Case]:
    """A number out of range and a word that is no choice are refused, in one short sentence."""
    for parameter in parameters("number"):
        for name, text in _NUMBERS.items():
            if parameter.command not in _THOROUGH and name not in _FEW:
                continue
            yield _case(parameter, name, text, _codes_of_number(parameter, name))
    for parameter in parameters("word"):
        for name, text in _WORDS.items():
            if parameter.command not in _THOROUGH and name not in _FEW:
                continue
            if parameter.command in ("audit", "bench speech", "matrix") and parameter.flag in _FREE:
                continue  # a whole measurement, which is long
            if name == "an option" and (parameter.command, parameter.flag) in _ALL_WITHOUT:
                continue  # which is a good command, and a long one
            if parameter.flag == "--reason" and name != "nothing":
                continue  # a good reason, for which the golden would be written
            codes = ANY if parameter.flag in _FREE else REFUSED
            if parameter.flag == "--commit" and name == "nothing":
                codes = EITHER  # that of the environment is not wanted either
            yield _case(parameter, name, text, codes)


def _case(parameter: Parameter, name: str, text: str, codes: set[int]) -> Case:
    quick = codes == REFUSED and parameter.command not in SLOW
    seconds = 10.0 if quick else 60.0
    label = f"{parameter.command} {parameter.flag} {name}"
    return Case("values", label, _set_up(parameter, text), codes, seconds)


def _set_up(parameter: Parameter, text: str) -> Callable[[Desk], list[str]]:
    def set_up(desk: Desk) -> list[str]:
        words = parameter.arguments(desk, text)
        json = {p.command for p in parameters("path") if p.flag == "--json"} - KEEPS
        if parameter.command in json:
            words += ["--json", str(desk.old_report())]
        return words

    return set_up


def _codes_of_number(parameter: Parameter, name: str) -> set[int]:
    if (parameter.flag, name) in _MAY_WORK:
        return EITHER
    if parameter.flag in _SIZES and name == "2**31":
        return REFUSED
    if parameter.flag.endswith("group-size") and name == "0":
        return EITHER  # a whole row
    if parameter.flag in ("--runner-timeout", "--timeout") or parameter.flag == "--max-new-tokens":
        return EITHER if name in ("2**31", "2**63", "a fraction") else REFUSED
    return REFUSED
