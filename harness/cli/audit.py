"""``voxtral-parity audit``: what the choices cost on which public implementations disagree."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from rich.table import Table

from harness.cli import console, options
from harness.files import check_targets, write_json

if TYPE_CHECKING:
    from harness.parity.audit import Audit, Cost

__all__ = ["audit"]

SCHEMA = "1"
"""Version of the JSON form, which docs/semantics.md describes."""


def audit(
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    text: options.Text = None,
    voice: options.Voice = None,
    seed: options.Seed = 42,
    max_seq_len: options.SeqLen = None,
    max_codec_frames: options.Frames = None,
    json: options.Json = None,
) -> None:
    """Measure what each disputed choice of semantics costs on a checkpoint.

    Eager speaks as ExecuTorch has it, then with each choice that another public implementation
    makes, one at a time and all of an implementation's together. Nothing is exported, and nothing
    is judged: which choice the weights were trained with, a listener must say.
    """
    check_targets(json)
    from harness.parity import Request
    from harness.parity.audit import audit as walk
    from harness.synthesis import TEXT, Utterance
    from harness.values import encode

    request = Request(
        checkpoint=checkpoint,
        precision=precision,
        max_seq_len=max_seq_len,
        max_codec_frames=max_codec_frames,
        utterance=Utterance(TEXT if text is None else text, voice, seed),
    )
    with console.progress() as progress:
        found = walk(request, progress)
    if json is not None:
        write_json(json, {"schema": SCHEMA, **encode(found)})
    _print(found)


def _print(found: Audit) -> None:
    out = console.stdout()
    title = f"{found.checkpoint} in {found.precision}, {found.frames} frames as ExecuTorch has it"
    table = Table(
        "choice", "instead", "by", "codec max abs", "RMS", "SNR dB", "codes otherwise",
        "first frame", "SNR dB, by itself", title=title, title_justify="left",
    )  # fmt: skip
    for cost in found.costs:
        table.add_row(*_row(cost))
    out.print(table)
    lines = [
        "codec max abs, RMS: over the greatest magnitude and the RMS of the codec's output, on the "
        "worst case; the other five methods compute the same.",
        "SNR dB: waveform of the same codes. Codes otherwise: decided along the same codes. "
        "First frame, SNR by itself: free-running speech.",
        *(f"Not switched, {name}: {words}." for name, words in found.told),
    ]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def _row(cost: Cost) -> tuple[str, ...]:
    worst = max(cost.differences, key=lambda one: one.max_abs)
    differs = worst.max_abs > 0
    return (
        cost.choice,
        cost.value,
        ", ".join(cost.who),
        f"{worst.max_abs:.2g} ({worst.case})" if differs else "0",
        f"{worst.rms:.2g}" if differs else "0",
        _decibels(cost.snr_db),
        f"{cost.otherwise} of {cost.decisions}",
        "none" if cost.first_frame is None else str(cost.first_frame),
        _decibels(cost.free_snr_db),
    )


def _decibels(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "equal"
