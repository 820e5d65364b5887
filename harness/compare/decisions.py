"""Two speeches, code by code: whether they differ, and whether a tie or a fault made them.

Codes are decisions: a float is rounded, the greatest logit is taken. Where two runs decide
differently, the values that they decided on must have lain on either side of one bound, and the
sum of both distances from it says how far the value moved. A move within what rounding errors can
do is a tie; anything else is a fault. What follows a tie is another speech, and is not compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array
from harness.compare import words
from harness.compare.verdict import Gate, Metric, Status, Verdict

__all__ = ["Decisions", "TieAllowance", "common_frames", "judge_decisions"]


@dataclass(frozen=True)
class Decisions:
    """The codes of a speech, and how near each was to another.

    Attributes
    ----------
    codes
        Integers, shape (n_codebooks, frames).
    ended
        Whether END was chosen after the last frame.
    semantic_margins, runners_up
        Of each semantic choice, that of END included, how far the second best was behind, and
        which code that was. None if the speaker does not tell.
    level_margins
        Distance of each acoustic value from a rounding tie in levels, shape
        (n_codebooks - 1, frames). None likewise.
    """

    codes: Array
    ended: bool
    semantic_margins: Array | None = None
    runners_up: Array | None = None
    level_margins: Array | None = None

    @property
    def frames(self) -> int:
        """Frames that were made."""
        return int(self.codes.shape[1])


@dataclass(frozen=True)
class TieAllowance:
    """How far rounding errors may move what is decided on, and where the figures come from.

    Attributes
    ----------
    logits
        The difference of two semantic logits.
    levels
        An acoustic value, in levels of its codebook.
    """

    logits: float
    levels: float
    source: str


def common_frames(candidate: Array, reference: Array) -> int:
    """Frames before the first that differs, of codes (n_codebooks, frames)."""
    frames = min(candidate.shape[1], reference.shape[1])
    wrong = np.flatnonzero((candidate[:, :frames] != reference[:, :frames]).any(axis=0))
    return int(wrong[0]) if len(wrong) else frames


def judge_decisions(
    subject: str,
    case: str,
    candidate: Decisions,
    reference: Decisions,
    allowance: TieAllowance,
) -> Verdict:
    """Judge the codes of two free-running speeches.

    Returns
    -------
    Verdict
        Passes if all codes and the end are equal, or equal up to a tie. Its metrics name the
        ``common_frames``, and ``tie_frame`` if there is one. Its gates hold how far decisions
        moved, over all that both sides tell.
    """
    if candidate.codes.shape[0] != reference.codes.shape[0]:
        books = f"{candidate.codes.shape[0]} codebooks, the reference {reference.codes.shape[0]}"
        return Verdict(subject, case, "codes", Status.FAIL, f"the candidate has {books}")
    common = common_frames(candidate.codes, reference.codes)
    metrics: dict[str, Metric] = {
        "frames.candidate": candidate.frames,
        "frames.reference": reference.frames,
        "common_frames": common,
    }
    compared = common * reference.codes.shape[0]
    logits, levels = _drift(candidate, reference, common)
    fault = ""
    ties: list[_Tie] = []
    if (
        candidate.frames != reference.frames
        or common < reference.frames
        or (candidate.ended != reference.ended)
    ):
        fault, ties = _first_difference(candidate, reference, common, allowance)
        metrics["tie_frame" if not fault else "fault_frame"] = common
    logits = max([logits, *(tie.moved for tie in ties if tie.unit == "logits")])
    levels = max([levels, *(tie.moved for tie in ties if tie.unit == "levels")])
    where = f"frame {common}" if ties else ""
    gates = [
        Gate("semantic decision", logits, allowance.logits, "logits", where),
        Gate("acoustic decision", levels, allowance.levels, "levels", where),
    ]
    if fault:
        gates.append(Gate("codes that no tie explains", 1, 0, "decisions", f"frame {common}"))
    elif not ties and not compared:
        return Verdict(subject, case, "codes", Status.UNJUDGED, "nothing was said", metrics)
    drifted = [gate for gate in gates if not gate.passed]
    how = _sizes(candidate, reference)
    if fault:
        summary = fault
    elif drifted:
        summary = "; ".join(
            f"{gate.name}s moved by {words.number(gate.value)} {gate.unit}, "
            f"{words.number(gate.allowed)} allowed"
            for gate in drifted
        )
    elif ties:
        summary = (
            f"equal for {words.count(common, 'frame')} ({how}), then {ties[0].words}, a tie: "
            "what follows is another speech"
        )
    else:
        end = "ended by END_AUDIO" if reference.ended else "not ended"
        summary = (
            f"all {words.count(compared, 'code')} of {words.count(common, 'frame')} equal, {end}"
        )
    status = Status.FAIL if fault or drifted else Status.PASS
    elements = compared + len(ties)
    return Verdict(
        subject, case, "codes", status, summary, metrics, tuple(gates), elements,
        (f"Allowed moves: {allowance.source}.",),
    )  # fmt: skip


@dataclass(frozen=True)
class _Tie:
    moved: float
    unit: str
    words: str


def _first_difference(
    candidate: Decisions, reference: Decisions, frame: int, allowance: TieAllowance
) -> tuple[str, list[_Tie]]:
    """What happened at the first frame that differs: a fault in words, or the ties."""
    ours, theirs = _semantic(candidate, frame), _semantic(reference, frame)
    ties: list[_Tie] = []
    if ours is None or theirs is None:
        sides = _sizes(candidate, reference)
        return f"one speech stops after frame {frame} and neither chose END there ({sides})", []
    if ours != theirs:
        told = f"frame {frame}: semantic code {_name(theirs)} → {_name(ours)}"
        moved = _semantic_move(candidate, reference, frame, ours, theirs)
        if moved > allowance.logits:
            return f"{told}, and its logits were {_apart(moved)} apart", []
        ties.append(_Tie(moved, "logits", told))
    if END in (ours, theirs):
        return "", ties
    old, new = reference.codes[1:, frame], candidate.codes[1:, frame]
    for book in np.flatnonzero(old != new).tolist():
        told = f"frame {frame}, codebook {book + 1}: {old[book]} → {new[book]}"
        moved = _level_move(candidate, reference, frame, book)
        if abs(int(old[book]) - int(new[book])) != 1 or moved > allowance.levels:
            return f"{told}, and its value moved by {_apart(moved)} levels or more", []
        ties.append(_Tie(moved, "levels", told))
    return "", ties


END = 1
"""The semantic code that ends speech."""


def _semantic(side: Decisions, frame: int) -> int | None:
    """The semantic choice at a step, END included; None if the side stopped without choosing."""
    if frame < side.frames:
        return int(side.codes[0, frame])
    return END if side.ended and frame == side.frames else None


def _semantic_move(
    candidate: Decisions, reference: Decisions, frame: int, ours: int, theirs: int
) -> float:
    """How far two logits moved against one another; infinite if another code was the second."""
    moved = 0.0
    for side, other in ((candidate, theirs), (reference, ours)):
        if side.semantic_margins is None or side.runners_up is None:
            continue
        if int(side.runners_up[frame]) != other:
            return math.inf
        moved += float(side.semantic_margins[frame])
    return moved if _tells(candidate) or _tells(reference) else math.inf


def _level_move(candidate: Decisions, reference: Decisions, frame: int, book: int) -> float:
    sides = [side.level_margins for side in (candidate, reference)]
    told = [float(margins[book, frame]) for margins in sides if margins is not None]
    return sum(told) if told else math.inf


def _tells(side: Decisions) -> bool:
    return side.semantic_margins is not None


def _drift(candidate: Decisions, reference: Decisions, frames: int) -> tuple[float, float]:
    """How far decisions moved that came out alike; 0 where one side does not tell."""
    logits = levels = 0.0
    ours, theirs = candidate.semantic_margins, reference.semantic_margins
    if ours is not None and theirs is not None:
        second = (
            np.asarray(candidate.runners_up)[:frames],
            np.asarray(reference.runners_up)[:frames],
        )
        same = second[0] == second[1]
        logits = _greatest(np.asarray(ours)[:frames][same], np.asarray(theirs)[:frames][same])
    mine, other = candidate.level_margins, reference.level_margins
    if mine is not None and other is not None:
        levels = _greatest(mine[:, :frames], other[:, :frames])
    return logits, levels


def _greatest(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(np.abs(a.astype(np.float64) - b.astype(np.float64)).max(initial=0.0))


def _sizes(candidate: Decisions, reference: Decisions) -> str:
    return f"{candidate.frames} frames, the reference {reference.frames}"


def _name(code: int) -> str:
    return "END" if code == END else str(code)


def _apart(moved: float) -> str:
    return words.number(moved) if math.isfinite(moved) else "unknown or not next to one another, so"
