"""Which products flip a code in an emulated regime: each is emulated alone, the others not.

Parts need not add up to the whole: what one product rounds decides what the next one has to round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.compare import words
from harness.methods import MODEL
from harness.parity.evidence import Evidence
from harness.parity.judges.flips import Flip
from harness.parity.observe import limits_of
from harness.parity.plan import Plan
from harness.runtime.pair import ArtifactPair
from harness.synthesis import Runner
from harness.synthesis.frames import Decoder, Frames

__all__ = ["attribute"]

_SECONDS = 120.0
"""How long single products may take to be tried; of a larger model only methods are."""

_NAMED = 3
"""Products that are named, the greatest first."""


@dataclass(frozen=True)
class _Decision:
    """A decision of an utterance, and the artifacts that take it."""

    plan: Plan
    evidence: Evidence
    run: ArtifactPair
    flip: Flip

    def value(self) -> float:
        """How far the decision leans to the other code: in levels, or in logits.

        Every decision before it is the one that was taken without the emulation.
        """
        flip, limits = self.flip, limits_of(self.plan, self.run)
        keeping = _KeepingLogits(self.run)
        decoder = Decoder(keeping, limits, "flip")
        end = flip.book == 0
        forced = (flip.codes[:, : flip.frame + (not end)], end)
        plan = self.plan
        frames = Frames(decoder, plan.config, self.evidence.prompt, plan.utterance, forced)
        for _ in frames:
            pass
        if not end:
            return float(frames.levels[flip.frame][flip.book - 1])
        return float(keeping.logits[flip.emulated] - keeping.logits[flip.plain])


class _KeepingLogits:
    """A runner that keeps the logits that it made last."""

    def __init__(self, run: Runner) -> None:
        self._run = run
        self.reset = run.reset
        self.logits: Array = np.zeros(0)

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        made = self._run.call(method, inputs, state=state)
        if method == "semantic_head":
            self.logits = made[0].reshape(-1)
        return made


def attribute(
    plan: Plan,
    evidence: Evidence,
    run: ArtifactPair,
    flip: Flip,
    progress: Callable[[str], None] = lambda text: None,
) -> tuple[str, ...]:
    """Sentences on which method, and which of its instructions, move a decision how far.

    Parameters
    ----------
    plan, evidence
        What was said.
    run
        Artifacts on executors that emulate a regime.
    flip
        The first decision that differs there.
    progress
        Called with one line a step.
    """
    from harness.runtime.portable.executor import PortableExecutor

    executor = run.executor(MODEL)
    assert isinstance(executor, PortableExecutor)
    products = executor.products()
    decision = _Decision(plan, evidence, run, flip)

    def moved(at: Collection[Any] | None, nothing: float = 0.0) -> float:
        executor.emulate(at)
        return decision.value() - nothing

    started = time.perf_counter()
    nothing = moved(())
    seconds = time.perf_counter() - started
    everything = moved(None, nothing)
    methods = sorted({method for method, _ in products})
    progress(f"emulating the products of {', '.join(methods)} alone")
    parts = {method: moved([p for p in products if p[0] == method], nothing) for method in methods}
    unit = "levels" if flip.book else "logits"
    told = [
        f"All products move it by {words.number(everything)} {unit}: "
        + ", ".join(f"{name}'s by {words.number(part)}" for name, part in parts.items())
        + "."
    ]
    worst = max(parts, key=lambda name: abs(parts[name]))
    within = [product for product in products if product[0] == worst]
    if seconds * len(within) > _SECONDS:
        executor.emulate(None)
        return (*told, f"The {len(within)} products of {worst} were not tried one by one.")
    progress(f"emulating each of {len(within)} products of {worst} alone")
    shares = {product: moved([product], nothing) for product in within}
    executor.emulate(None)
    greatest = sorted(shares, key=lambda product: -abs(shares[product]))[:_NAMED]
    named = ", ".join(f"{products[p]} by {words.number(shares[p])}" for p in greatest)
    told.append(f"Of {worst}'s {len(within)} products, alone: {named}.")
    return tuple(told)
