"""The off-graph KV cache: what ``update_and_attend`` nodes write to and attend over.

The graph holds no buffers for it. The host program builds one from the model's sizes and installs
it; every layer of every method then shares one logical sequence. Semantics are those of
upstream's `SequenceCache` and its MLX byte layer (extension/llm/cache/sequence_cache.h and
backends/mlx/runtime/MLXSequenceCache.h): a *flat* layer keeps all history, a *ring* layer a
sliding window, over just as many slots as one step may need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.errors import ExecutionError, InputError
from harness.runtime.portable.blas import mx
from harness.runtime.portable.tensors import LARGEST_BYTES, mlx_dtype

__all__ = ["CacheConfig", "CacheLayer", "SequenceCache"]

FLOAT32 = 6


@dataclass(frozen=True)
class CacheLayer:
    """One layer of a model."""

    heads: int  # key and value heads
    head_dim: int  # width of a head
    window: int = 0  # positions that a query attends to, itself included; 0: all of them


@dataclass(frozen=True)
class CacheConfig:
    """Sizes of a cache."""

    capacity: int  # most positions of the sequence
    layers: tuple[CacheLayer, ...]  # one of each layer
    scalar_type: int = FLOAT32  # what keys and values are kept in
    max_write: int | None = None  # positions of a step where there is a window; None: the window

    @classmethod
    def parse(cls, text: str) -> CacheConfig:
        """Read the form of upstream's op tests, a flat cache of equal layers; else InputError."""
        try:
            capacity, count, heads, width, *scalar = (int(word) for word in text.split(","))
            (scalar_type,) = scalar or (FLOAT32,)
        except ValueError:
            capacity, count, heads, width, scalar_type = 0, 0, 0, 0, 0
        if min(capacity, count, heads, width) < 1:
            raise InputError(
                "a KV cache is capacity,n_layers,n_kv_heads,head_dim[,ScalarType], the first "
                f"four positive (got {text!r})"
            )
        return cls(capacity, (CacheLayer(heads, width),) * count, scalar_type)


class SequenceCache:
    """Keys and values of one sequence, all layers."""

    def __init__(self, config: CacheConfig) -> None:
        self.config = config
        self._dtype = mlx_dtype(config.scalar_type)
        self._pools = [self._pair(layer) for layer in config.layers]

    def _pair(self, layer: CacheLayer) -> list[Any]:
        """Zeroed pools for keys and values, each of shape (1, heads, slots, head_dim).

        Upstream grows a flat pool as it fills; that changes no value, and here it is whole.
        """
        shape = (1, layer.heads, self._slots(layer), layer.head_dim)
        if min(shape) < 1 or layer.window < 0:
            raise ExecutionError(f"a cache layer of {layer} in {self.config.capacity} positions")
        if shape[1] * shape[2] * shape[3] * self._dtype.size > LARGEST_BYTES:
            raise ExecutionError(f"a cache of shape {shape} takes more than 4 GB")
        return [mx.zeros(shape, dtype=self._dtype) for _ in range(2)]

    def _slots(self, layer: CacheLayer) -> int:
        # A ring is longer than its window, so that a step does not overwrite what its own first
        # queries still attend to.
        return self.config.capacity if not layer.window else layer.window + self._most(layer) - 1

    def _most(self, layer: CacheLayer) -> int:
        """Positions that one step may bring."""
        if not layer.window:
            return self.config.capacity
        return layer.window if self.config.max_write is None else self.config.max_write

    def update_and_fetch(
        self, layer: int, position: int, keys: Any, values: Any
    ) -> tuple[Any, Any, Any]:
        """Write one step and return what its queries attend to."""
        if not 0 <= layer < len(self._pools):
            raise ExecutionError(f"layer {layer} of a cache of {len(self._pools)}")
        of = self.config.layers[layer]
        steps = keys.shape[2] if keys.ndim == 4 else 0
        expected = (1, of.heads, steps, of.head_dim)
        for name, given in (("keys", keys), ("values", values)):
            if steps < 1 or tuple(given.shape) != expected:
                raise ExecutionError(
                    f"{name} of shape {tuple(given.shape)} do not fit a cache of "
                    f"{of.heads} heads of {of.head_dim}"
                )
        end = position + steps
        if position < 0 or end > self.config.capacity or steps > self._most(of):
            raise ExecutionError(
                f"a step of {steps} at position {position} does not fit a cache of "
                f"{self.config.capacity} positions, {self._most(of)} a step"
            )
        first = max(0, position - of.window + 1) if of.window else 0
        pools = self._pools[layer]
        for which, update in enumerate((keys, values)):
            pools[which] = self._written(pools[which], position, update.astype(self._dtype))
        found = [self._read(pool, first, end) for pool in pools]
        if steps == 1:
            return found[0], found[1], None
        if of.window and of.window < end - first:
            return found[0], found[1], _band(steps, end - first, of.window)
        return found[0], found[1], "causal"

    def _written(self, pool: Any, position: int, update: Any) -> Any:
        size, steps = pool.shape[2], update.shape[2]
        start = position % size
        straight = min(steps, size - start)
        result = mx.array(pool)  # a new handle; MLX still updates in place where nothing else holds
        result[:, :, start : start + straight] = update[:, :, :straight]
        if straight < steps:
            result[:, :, : steps - straight] = update[:, :, straight:]
        return result

    def _read(self, pool: Any, first: int, end: int) -> Any:
        size, length = pool.shape[2], end - first
        start = first % size
        straight = min(length, size - start)
        head = pool[:, :, start : start + straight]
        if straight == length:
            return head
        return mx.concatenate([head, pool[:, :, : length - straight]], axis=2)


def _band(queries: int, keys: int, window: int) -> Any:
    """Truth of shape (1, 1, queries, keys): the last key is the last query's own."""
    distance = mx.arange(keys).reshape(1, keys) - mx.arange(queries).reshape(queries, 1)
    own = keys - queries
    inside = mx.logical_and(distance <= own, distance > own - window)
    return inside.reshape(1, 1, queries, keys)
