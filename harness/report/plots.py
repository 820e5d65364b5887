"""The plots of a page: errors along a graph, histograms, decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.report.drawing import FAULT, MADE, QUIET, TIE, check_library, drawn
from harness.report.figures import Decisions, Outputs, Steps
from harness.report.finding import Localized

__all__ = ["check_library", "decisions_plot", "exact_plot", "histogram_plot", "steps_plot"]

WIDE = 1000
"""CSS pixels of a plot that takes the page's width."""

_LEAST = 1e-4
"""Share below which a step is as good as exact."""

_MOST = 1e4
"""Share at which a plot ends; what is infinite is drawn there."""

_NAMED = 4
"""Wrong steps that get their name in a plot."""


def steps_plot(steps: Steps) -> str:
    """The share of its bound that each step used, wrong ones in red with their names."""
    shares = np.array([_finite(share) for share in steps.shares])
    wrong = np.flatnonzero(~(np.array(steps.shares) <= 1.0))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        numbers = np.array(steps.numbers)
        right = np.setdiff1d(np.arange(len(numbers)), wrong)
        axes.set_yscale("log")
        room = 1e3 * float(shares.max(initial=10.0)) if wrong.size else 10.0
        axes.set_ylim(_LEAST, room)
        axes.vlines(numbers[right], _LEAST, shares[right], color=QUIET, linewidth=1)
        axes.plot(numbers[right], shares[right], ".", color=MADE, markersize=4)
        axes.vlines(numbers[wrong], _LEAST, shares[wrong], color=FAULT, linewidth=2)
        axes.plot(numbers[wrong], shares[wrong], "o", color=FAULT, markersize=6)
        axes.axhline(1, color=FAULT, linewidth=1, linestyle="--")
        for rank, at in enumerate(wrong[:_NAMED]):
            first = "first wrong: " if rank == 0 else "wrong too: "
            _name(axes, numbers[at], first + steps.labels[at], numbers[-1], rank)
        axes.set_xlim(-1, max(numbers[-1], 1) + 1)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel("error / its bound")
        axes.set_xlabel("step, in the order run")
        axes.grid(axis="x", visible=False)

    text = f"error of each of {len(shares)} steps of {steps.method}, {len(wrong)} wrong"
    return drawn(f"steps-{steps.method}", text, (WIDE, 260), draw)


def exact_plot(found: Localized, allowed: float = 1e-7) -> str:
    """How far the value of each step is from its node's, both in float64; wrong nodes in red."""
    errors = np.clip(np.nan_to_num(np.array(found.errors), nan=_MOST, posinf=_MOST), 1e-17, _MOST)
    numbers = np.array(found.steps)
    wrong = {finding.place.step: finding.place for finding in found.findings}
    off = errors > allowed
    spread = off & ~np.isin(numbers, list(wrong))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.set_yscale("log")
        axes.vlines(numbers, 1e-17, errors, color=QUIET, linewidth=1)
        axes.plot(numbers[~off], errors[~off], ".", color=MADE, markersize=5, label="right")
        axes.plot(numbers[spread], errors[spread], ".", color="#e6a9a9", markersize=5,
                  label="computed from a wrong value")  # fmt: skip
        axes.axhline(allowed, color=FAULT, linewidth=1, linestyle="--", label="allowed")
        for rank, (step, place) in enumerate(list(wrong.items())[:_NAMED]):
            at = np.flatnonzero(numbers == step)
            height = float(errors[at[0]]) if at.size else 1.0
            axes.axvline(step, color=FAULT, linewidth=2, alpha=0.4)
            axes.plot([step], [height], "o", color=FAULT, markersize=8)
            first = "first wrong: " if rank == 0 else "wrong too: "
            _name(axes, step, first + str(place), numbers[-1], rank)
        axes.set_ylim(1e-17, 1e10)
        axes.set_yticks([1e-15, 1e-10, 1e-5, 1])
        axes.set_xlim(-1, numbers[-1] + 1)
        axes.set_ylabel("difference / scale")
        axes.set_xlabel("step, in the order run")
        axes.grid(axis="x", visible=False)
        figure.legend(loc="outside upper right", ncols=3)

    text = f"difference of {found.method} from its graph in float64, node by node"
    return drawn(f"exact-{found.method}", text, (WIDE, 280), draw)


def histogram_plot(method: str, outputs: Sequence[Outputs]) -> str:
    """How many elements are how far off, over all cases of a method."""
    shares = np.concatenate([each.shares() for each in outputs])
    off = np.clip(shares[shares > 0], 1e-8, _MOST)
    low = math.floor(math.log10(float(off.min(initial=1.0)))) if off.size else -3
    high = max(1, math.ceil(math.log10(float(off.max(initial=1.0)))))
    judged = not any(math.isnan(each.allowed) for each in outputs)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        edges = np.logspace(low, high, 5 * (high - low) + 1)
        counts, _ = np.histogram(off, edges)
        beyond = judged & (edges[:-1] >= 1 - 1e-9)
        colours = np.where(beyond, FAULT, MADE)
        axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colours, linewidth=0)
        axes.set_xscale("log")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(bottom=0)
        if judged:
            axes.axvline(1, color=FAULT, linewidth=1, linestyle="--")
        unit = "what is allowed" if judged else "the greatest value"
        axes.set_xlabel(f"difference / {unit}")
        axes.set_ylabel("elements")

    equal = int((shares == 0).sum())
    text = f"differences of {shares.size} elements of {method}, {equal} of them equal"
    return drawn(f"histogram-{method}", text, (480, 240), draw)


def decisions_plot(decisions: Decisions) -> str:
    """Where decisions are not eager's, and how far from a tie."""
    judged = not any(each.what == "not judged" for each in decisions.differing)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for what, (colour, marker) in _MARKERS.items():
            those = [each for each in decisions.differing if each.what == what]
            unit = [each.allowed if judged else 1.0 for each in those]
            shares = [_finite(each.distance / u) for each, u in zip(those, unit, strict=True)]
            if those:
                frames = [each.frame for each in those]
                axes.plot(frames, shares, marker, color=colour, markersize=6, label=what)
        axes.set_yscale("log")
        if judged:
            axes.axhline(1, color=FAULT, linewidth=1, linestyle="--")
        axes.set_xlim(-0.5, decisions.frames + 0.5)
        axes.set_xlabel("frame")
        axes.set_ylabel("distance / what a tie has" if judged else "levels, or logits")
        axes.legend(loc="upper left", ncols=3)

    text = f"{len(decisions.differing)} of {decisions.count} decisions are not eager's"
    return drawn("decisions", text, (WIDE, 240), draw)


_MARKERS = {"tie": (TIE, "o"), "fault": (FAULT, "X"), "not judged": (MADE, "s")}


def _name(axes: Any, x: float, text: str, last: float, rank: int) -> None:
    """Write a name beside a point, on the side that has room, each a line lower."""
    right = x < 0.5 * last
    axes.annotate(
        text, (x, 1.0), xycoords=axes.get_xaxis_transform(),
        xytext=(8 if right else -8, -2 - 13 * rank), textcoords="offset points",
        va="top", ha="left" if right else "right",
        color=FAULT, fontsize=9, fontweight="bold",
    )  # fmt: skip


def _finite(share: float) -> float:
    """A share that a logarithmic axis can show."""
    return min(max(share, _LEAST), _MOST) if share == share else _MOST
