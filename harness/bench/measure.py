"""Time the portable executor's kernels at full width, beside eager's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import Array, as_array
from harness.bench.loading import measure_loading
from harness.bench.rounds import Work, alternate
from harness.bench.subjects import CODEC_FRAMES, DECODERS, ONE_LAYER, POSITIONS, Subjects

__all__ = ["Row", "bench_kernels"]

_PREFILL = 64
_TARGETS = {
    ("text_decoder", "fp32"): 1.05,
    ("text_decoder", "bf16"): 1.10,
    ("text_decoder", "4-bit"): 1.10,
    ("codec", "fp32"): 1.10,
}
"""The most that a method of a precision may take, over eager in fp32."""

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "4-bit": "bfloat16"}


@dataclass(frozen=True)
class Row:
    """One line of the result: what was measured, and the figure as text with its unit.

    `ratio` is the figure over eager's (or over nothing, if it is its own measure), `target` the
    most that it should be; None where there is no target.
    """

    subject: str
    figure: str
    ratio: float | None = None
    target: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if self.ratio is None or self.target is None:
            return None
        return self.ratio <= self.target


def bench_kernels(progress: Callable[[str], None], *, rounds: int = 10) -> Iterator[Row]:
    """Measure everything, a row at a time.

    Parameters
    ----------
    rounds
        Runs of each contender, of which the best counts.
    """
    # Before torch: whoever imports mlx.core first decides which BLAS it calls.
    import harness.runtime.portable.blas  # noqa: F401
    from harness.reference.eager import EagerModel

    subjects = Subjects(progress)
    files = {precision: subjects.decoder(precision) for precision in DECODERS}
    codec = subjects.codec()
    eager = EagerModel(subjects.model())
    progress("timing the decoder layer")
    for length, start in ((_PREFILL, 0), (1, _PREFILL)):
        steps = {precision: _step(_DTYPES[precision], length, start) for precision in files}
        what = f"decoder layer, {length} token{'s' * (length > 1)} at position {start}"
        yield from _compared(what, "text_decoder", eager, files, steps, rounds)
    progress("timing the codec")
    given, codecs = {"fp32": [_codes()]}, {"fp32": codec}
    what = f"codec, {CODEC_FRAMES} frames"
    yield from _compared(what, "codec", eager, codecs, given, rounds)
    progress("timing interpreter and loading")
    yield _overhead(codec)
    yield from _loading(codec)


def _compared(
    what: str,
    method: str,
    eager: Any,
    files: Mapping[str, Path],
    given: Mapping[str, list[Array]],
    rounds: int,
) -> Iterator[Row]:
    """A method of eager in fp32 beside files of it, both by precision."""
    contenders: dict[str, Work] = {"eager fp32": partial(eager.call, method, given["fp32"])}
    for precision, path in files.items():
        contenders[f"portable {precision}"] = partial(
            _executor(path).call, method, given[precision]
        )
    best = _best(contenders, rounds)
    for name, seconds in best.items():
        who, precision = name.rsplit(" ", 1)
        target = _TARGETS[method, precision] if who == "portable" else None
        figure = f"{seconds * 1e3:.1f} ms"
        yield Row(f"{what}: {name}", figure, seconds / best["eager fp32"], target)


def _best(contenders: Mapping[str, Work], rounds: int) -> dict[str, float]:
    return {name: min(seconds) for name, seconds in alternate(contenders, rounds).items()}


def _codes() -> Array:
    draw = np.random.default_rng(1)
    semantic = draw.integers(2, ONE_LAYER.semantic_size, (1, 1, CODEC_FRAMES))
    return np.concatenate([semantic, draw.integers(2, 23, (1, 36, CODEC_FRAMES))], axis=1)


def _overhead(path: Path) -> Row:
    """Microseconds a node takes before MLX computes anything: its graph is built, not evaluated."""
    from harness.pte.coverage import delegate_graph
    from harness.pte.program import read_program
    from harness.runtime.portable.blas import mx
    from harness.runtime.portable.delegate import MLXDelegate

    program = read_program(path)
    plan = program.plans["codec"]
    delegate = MLXDelegate.load(program, delegate_graph(program, plan, 0), "codec")
    codes = mx.full((1, 37, CODEC_FRAMES), 5, dtype=mx.int64)
    nodes = len(delegate.graph.chains[delegate.graph.main])

    def build() -> None:
        with mx.stream(mx.cpu):
            delegate.run([codes], list(delegate.fresh))

    seconds = _best({"build": build}, 20)["build"]
    program.close()
    each = seconds / nodes * 1e6
    return Row(f"interpreter, each of the codec's {nodes} nodes", f"{each:.1f} µs", each / 20, 1.0)


def _loading(path: Path) -> Iterator[Row]:
    measured = [measure_loading(path) for _ in range(3)]
    pace = min(m.seconds for m in measured) / measured[0].gigabytes
    held = min(m.grown for m in measured) / measured[0].gigabytes
    what = f"loading {measured[0].gigabytes:.2f} GB"
    yield Row(f"{what}: seconds a GB", f"{pace:.2f} s", pace, 1.0)
    yield Row(f"{what}: peak memory over file size", f"{held:.2f}", held, 1.1)


def _step(dtype: str, length: int, start: int) -> list[Array]:
    """Inputs of `text_decoder`; writing the same positions again costs what the first did."""
    embeds = np.random.default_rng(2).standard_normal((1, length, ONE_LAYER.decoder.dim))
    positions = np.arange(start, start + length, dtype=np.int64)
    assert start + length <= POSITIONS
    return [as_array(embeds, dtype), positions]


def _executor(path: Path) -> Any:
    from harness.runtime.portable.executor import PortableExecutor

    executor = PortableExecutor()
    executor.load(path)
    return executor
