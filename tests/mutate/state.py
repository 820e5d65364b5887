"""A correct program whose executor keeps, forgets or mixes up what lies between its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness.arrays import Array
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.fp32_weights import Fp32Weights
from tests.mutate.bench import Bench, Fault, Trial
from tests.mutate.runtime import NARROW

__all__ = ["state_faults"]


class _NeverReset(PortableExecutor):
    def reset(self, state: str = "default") -> None:
        """Keeps everything."""


class _OneState(PortableExecutor):
    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        return super().call(method, inputs, **{**options, "state": "default"})

    def reset(self, state: str = "default") -> None:
        super().reset()


class _ForgetsAll(PortableExecutor):
    """Every call begins with an empty cache."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        self.reset(options.get("state", "default"))
        return super().call(method, inputs, **options)


class _ForgetsOnce(PortableExecutor):
    """The cache is emptied once, before a single step late in the sequence."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        if method == "text_decoder" and int(inputs[1][0]) == 100:
            self.reset(options.get("state", "default"))
        return super().call(method, inputs, **options)


class _LastAnswer(PortableExecutor):
    """Every fifth call answers what the call before it did, where that fits."""

    def __init__(self) -> None:
        super().__init__()
        self._count, self._last = 0, {}  # type: ignore[var-annotated]

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        made = super().call(method, inputs, **options)
        before, self._last[method] = self._last.get(method), made
        self._count += 1
        fits = before is not None and before[0].shape == made[0].shape
        return before if fits and self._count % 5 == 0 else made


class _OneBuffer(PortableExecutor):
    """Outputs share one buffer, which the next call overwrites."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[Any, Array] = {}

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        (made,) = super().call(method, inputs, **options)
        kept = self._kept.setdefault((method, made.shape), made)
        kept[...] = made
        return [kept]


class _Misread(PortableExecutor):
    """Float32 buffers are handed to a bfloat16 method as they lie in memory."""

    def call(self, method: str, inputs: Sequence[Array], **options: Any) -> list[Array]:
        def lying(x: Array) -> Array:
            if x.dtype.itemsize != 2:
                return x
            words = x.astype(np.float32).reshape(-1).view(x.dtype)
            return words[: x.size].reshape(x.shape)

        return super().call(method, [lying(x) for x in inputs], **options)


def state_faults() -> Iterator[Fault]:
    """What an executor keeps, forgets or mixes up between calls."""
    for label, make, methods in (
        ("state never reset", _NeverReset, ("text_decoder",)),
        ("one cache for all states", _OneState, ("text_decoder",)),
        ("cache empty in every call", _ForgetsAll, ("text_decoder",)),
        ("cache emptied at position 100", _ForgetsOnce, ("text_decoder",)),
        ("an answer of the call before", _LastAnswer, _MODEL_METHODS),
        ("outputs in one buffer", _OneBuffer, (*_MODEL_METHODS, "codec")),
    ):
        for method in methods:
            yield Fault(
                f"{method} run: {label}", "runtime", method,
                partial(_on_executor, method=method, make=make),
            )  # fmt: skip
    yield Fault("codec run: widened weights mixed up", "runtime", "codec", _stale_weights, NARROW)
    for method in ("text_decoder", "predict_velocity", "semantic_head"):
        yield Fault(
            f"{method} run: float32 buffers to a bfloat16 method", "historical", method,
            partial(_on_executor, method=method, make=_Misread), NARROW,
        )  # fmt: skip


_MODEL_METHODS = (
    "token_embedding", "audio_token_embedding", "text_decoder", "semantic_head",
    "predict_velocity",
)  # fmt: skip


def _on_executor(bench: Bench, method: str, make: Callable[[], PortableExecutor]) -> Trial:
    return Trial(bench.on_executor(method, make))


def _stale_weights(bench: Bench) -> Trial:
    """The copy of the first weight of a shape serves every other of it."""
    kept: dict[Any, Any] = {}

    def get(self: Fp32Weights, node: Any, make: Callable[[], Any]) -> Any:
        if self.chosen.get(id(node)) is None:
            return None
        made = make()
        return kept.setdefault(tuple(made.shape), made)

    bench.patch.setattr(Fp32Weights, "get", get)
    return Trial(bench.on_path("codec"))
