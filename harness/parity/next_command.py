"""The command that a person types after a verdict which did not pass."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from harness.compare import Status, Verdict
from harness.methods import METHODS
from harness.methods.precision import PRECISIONS
from harness.parity.judges.values import LOWERING
from harness.parity.request import RUNNER, Request
from harness.process import flags
from harness.reference.semantics import EXECUTORCH

__all__ = ["name_next", "next_command"]

_EXPORTING = ("checkpoint", "precision", "max-seq-len", "max-codec-frames")
_RUNNING = (*_EXPORTING, "codec-form", "without", "artifacts", "executor", "require")
_SPEAKING = ("regime", "text", "voice", "seed", "semantics")

_CONTENTS = {"delegation", "coverage", "constants", "quantisation", "metadata", "artifact"}
"""Kinds of verdict on what a file holds, whatever it computes."""


def name_next(request: Request, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """The verdicts; those that did not pass say what to type next."""
    return tuple(
        verdict
        if verdict.status is Status.PASS or verdict.next
        else dataclasses.replace(verdict, next=next_command(request, verdict, verdicts))
        for verdict in verdicts
    )


def next_command(request: Request, verdict: Verdict, verdicts: Sequence[Verdict] = ()) -> str:
    """What to type after one verdict.

    Parameters
    ----------
    request
        What the run was asked for; its options are those of the command.
    verdict
        A failed or an unjudged one.
    verdicts
        All of the run: speech goes wrong where a method does.
    """
    kind, subject = verdict.kind, verdict.subject
    if _options(request)["precision"] is None:  # of parts, which `check` alone takes
        name = subject if subject in _NAMES else ""
        return f"{_command(request, f'check {name}', _RUNNING)} --local all --triangulate"
    if kind == "golden":
        return _command(request, "golden check", ("checkpoint", "precision", "executor"))
    if kind == "regime" or subject == "machine":
        return "voxtral-parity doctor"
    if request.semantics != EXECUTORCH.name:  # what is disputed was asked for
        return _command(request, "audit", ("checkpoint", "precision"))
    if kind == "words":
        said = tuple(name for name in _RUNNING if name not in ("codec-form", "without"))
        speak = _command(request, "synth", (*said, "voice", "seed"))
        return f"{speak} --text {shlex.quote(request.utterance.text)} --output speech.wav"
    if kind == "sqnr":
        return _command(request, f"matrix {subject}", ("checkpoint", "precision"))
    refused = kind == "execution" and verdict.status is Status.FAIL
    if kind in _CONTENTS or (refused and subject in _NAMES):
        return _inspect(request, verdict)
    if request.executor == RUNNER:  # it calls no method alone: the portable executor does
        options = tuple(name for name in _RUNNING if name not in ("executor", "require"))
        return _command(request, "check", (*options, "text", "voice", "seed"))
    if verdict.status is Status.UNJUDGED and kind in ("execution", "run"):
        return "voxtral-parity doctor"
    if verdict.status is Status.UNJUDGED and request.regime is not None:
        return _command(request, "check", (*_RUNNING, "text", "voice", "seed"))
    method = subject if subject in _NAMES else _culprit(verdicts)
    if method is None:
        return _command(request, "check", (*_RUNNING, *_SPEAKING)) + " --local all --triangulate"
    return f"{_command(request, f'localize {method}', _RUNNING)} --repro repro"


_NAMES = tuple(method.name for method in METHODS)


def _culprit(verdicts: Sequence[Verdict]) -> str | None:
    """The method behind a verdict on speech: the first that failed by itself."""
    failed = (v.subject for v in verdicts if v.status is Status.FAIL and v.subject in _NAMES)
    return next(failed, None)


def _inspect(request: Request, verdict: Verdict) -> str:
    """Export to a folder and look into the file; without a correction, put it back first."""
    file = "codec_decoder.pte" if "codec" in verdict.subject else "model.pte"
    method = verdict.subject if verdict.subject in _NAMES else None
    shown = "" if method is None else f" --method {'forward' if method == 'codec' else method}"
    shown += " --instructions" if verdict.kind in ("delegation", "coverage", "execution") else ""
    if request.without:
        whole = dataclasses.replace(request, without=())
        return _command(whole, f"check {method or ''}", _RUNNING)
    if request.artifacts is not None:
        return f"voxtral-parity inspect {shlex.quote(str(request.artifacts / file))}{shown}"
    made = f"{_command(request, 'export', _EXPORTING)} --output-dir exported"
    if verdict.case == LOWERING:
        return made
    return f"{made} && voxtral-parity inspect exported/{file}{shown}"


def _command(request: Request, name: str, options: Sequence[str]) -> str:
    """A command with those of its options that are not as usual."""
    given = _options(request)
    words = ["voxtral-parity", *name.split()]
    if given["precision"] is None and not isinstance(request.precision, str):
        parts = request.precision
        scope = None if parts.decoder_qlinear_scope == "all" else parts.decoder_qlinear_scope
        words += flags(
            {
                "precision": parts.base,
                "qlinear": parts.qlinear,
                "qlinear-group-size": parts.qlinear_group_size,
                "decoder-qlinear-scope": scope,
                "qembedding": parts.qembedding,
                "qembedding-group-size": parts.qembedding_group_size,
            }
        )
    for option in options:
        if option == "without":
            words += [word for each in request.without for word in ("--without", each)]
        elif given[option] not in (None, _USUALLY.get(option)):
            words += [f"--{option}", str(given[option])]
    return shlex.join(words)


def _options(request: Request) -> dict[str, object]:
    """What was asked for, by the option's name; no precision where it has no name."""
    said, precision = request.utterance, request.precision
    name = precision if isinstance(precision, str) else precision.name
    return {
        "checkpoint": request.checkpoint,
        "precision": name if name in PRECISIONS else None,
        "max-seq-len": request.max_seq_len,
        "max-codec-frames": request.max_codec_frames,
        "codec-form": request.codec_form,
        "artifacts": request.artifacts,
        "executor": request.executor,
        "require": request.require,
        "regime": request.regime,
        "text": said.text,
        "voice": said.voice,
        "seed": said.seed,
        "semantics": request.semantics,
    }


_USUALLY = _options(Request())
"""What need not be typed."""
