"""Small programs whose results are known, for finding out how exactly an executor multiplies.

Their shapes are those at which kernels were seen to change: one row, two, more than eight; K that
is no multiple of 32; operands of stride 0; both sides of each size of attention head. Constant
operands have exact answers in every regime: their partial sums fit 8 bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.arrays import Array, dtype_of
from harness.budget.regimes import (
    CLASSES,
    Terms,
    class_of,
    half_ulp,
    regime_name,
    terms_of_a_sum,
)
from harness.compare import words
from harness.fingerprint import KernelFault, Regime
from harness.pte.payload import Tid

__all__ = ["DTYPES", "Canary", "canaries", "explain"]

Float64 = NDArray[np.float64]
Steps = tuple[tuple[str, Mapping[str, Any]], ...]

DTYPES = ("float32", "float16", "bfloat16")

_ROWS = (1, 2, 8, 9, 64, 1024)
_COLUMNS = 48
_LARGE = 2048
_GROUP = 32


@dataclass(frozen=True)
class Canary:
    """One program of a few nodes, and what it must make.

    Attributes
    ----------
    kind, dtype, name
        Kind of product (``"exact"`` for an answer that no regime excuses), its element type, and
        its shape in words.
    tensors, constants
        Operands; the first `constants` of them are weights, the others inputs.
    steps
        Node types with their fields. Slots are numbered: operands, then what each step makes.
    wanted
        What must come of the last step, in float64.
    terms
        What that is the sum of; None where the answer is exact, up to `allowed`.
    """

    kind: str
    dtype: str
    name: str
    tensors: tuple[Array, ...]
    constants: int
    steps: Steps
    wanted: Float64
    terms: Terms | None = None
    allowed: Float64 | float = 0.0


@cache
def canaries(large: bool = False) -> tuple[Canary, ...]:
    """All of them; `large` adds those that only a GPU computes in no time."""
    rng = np.random.default_rng(20)
    found: list[Canary] = []
    for dtype in DTYPES:
        found += _matrices(dtype, rng)
        found += _convolutions(dtype, rng)
        found += _quantised(dtype, rng)
        found += _attention(dtype, rng)
        found += _sums(dtype, rng)
        found += _exact(dtype, large)
    return tuple(found)


def explain(results: Iterable[tuple[Canary, Array | str]]) -> Regime:
    """The regime that canaries show, and those that none explains.

    Parameters
    ----------
    results
        Each canary with what an executor made of it, or with the words in which it refused.
    """
    order = list(CLASSES)
    products: dict[str, str] = {}
    faults: list[KernelFault] = []
    count = 0
    for canary, got in results:
        count += 1
        found = said = None
        if isinstance(got, str):
            said = got
        elif canary.terms is None:
            said = None if _is_answer(canary, got) else _told(canary, got)
        else:
            found = class_of(got, canary.wanted, canary.terms)
            said = _told(canary, got) if found is None else None
        if said is not None:
            faults.append(KernelFault(canary.kind, canary.dtype, canary.name, said))
        if found is not None:
            key = f"{canary.kind} {canary.dtype}"
            products[key] = max(products.get(key, found), found, key=order.index)
    return Regime(regime_name(products), products, count, tuple(faults))


def _is_answer(canary: Canary, got: Array) -> bool:
    if got.shape != canary.wanted.shape:
        return False
    allowed = canary.allowed + half_ulp(canary.wanted, got.dtype.name)
    with np.errstate(invalid="ignore"):  # NaN is no answer
        return bool((np.abs(got.astype(np.float64) - canary.wanted) <= allowed).all())


def _told(canary: Canary, got: Array) -> str:
    """The worst of a result in words."""
    wanted = canary.wanted
    if got.shape != wanted.shape:
        return f"its shape is {words.shape(got.shape)}, expected {words.shape(wanted.shape)}"
    made = got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.where(np.isfinite(made), np.abs(made - wanted), np.inf)
    place = np.unravel_index(int(np.argmax(error)), error.shape)
    return (
        f"{words.number(float(made[place]), 4)} at {words.place([int(i) for i in place])}, "
        f"expected {words.number(float(wanted[place]), 4)}"
    )


def _normal(rng: np.random.Generator, dtype: str, *shape: int) -> Array:
    return rng.standard_normal(shape).astype(dtype_of(dtype))


def _wide(array: Array) -> Float64:
    return array.astype(np.float64)


def _products(a: Float64, b: Float64) -> tuple[Float64, Terms]:
    """A matrix product in float64, and its terms."""
    terms = terms_of_a_sum(np.abs(a) @ np.abs(b), np.square(a) @ np.square(b), a.shape[-1])
    return a @ b, terms


def _matrices(dtype: str, rng: np.random.Generator) -> Iterator[Canary]:
    steps: Steps
    shapes = [(rows, 67, _COLUMNS) for rows in _ROWS] + [(9, 256, 1), (64, 256, _COLUMNS)]
    for rows, inner, columns in shapes:
        a, b = _normal(rng, dtype, rows, inner), _normal(rng, dtype, inner, columns)
        name = f"M = {rows}, N = {columns}, K = {inner}"
        steps = (("AddmmNode", {"mat1": Tid(0), "mat2": Tid(1)}),)
        yield Canary("matrix", dtype, name, (a, b), 0, steps, *_products(_wide(a), _wide(b)))
    for rows in (1, 9):  # a linear layer: the weight lies transposed
        weight, x = _normal(rng, dtype, _COLUMNS, 67), _normal(rng, dtype, rows, 67)
        steps = (
            ("TransposeNode", {"x": Tid(0), "perm": (1, 0)}),
            ("AddmmNode", {"mat1": Tid(1), "mat2": Tid(2)}),
        )
        made = _products(_wide(x), _wide(weight).T)
        yield Canary("matrix", dtype, f"weight, M = {rows}", (weight, x), 1, steps, *made)
    a, b = _normal(rng, dtype, 9, 64), _normal(rng, dtype, 64, _COLUMNS)
    row, left = a[:1], np.broadcast_to(_wide(a[:1]), (9, 64))
    steps = (
        ("BroadcastToNode", {"x": Tid(0), "shape": (9, 64)}),
        ("AddmmNode", {"mat1": Tid(2), "mat2": Tid(1)}),
    )
    made = _products(left, _wide(b))
    yield Canary("matrix", dtype, "left operand of stride 0", (row, b), 0, steps, *made)
    several = _normal(rng, dtype, 3, 9, 64)
    steps = (
        ("BroadcastToNode", {"x": Tid(1), "shape": (3, 64, _COLUMNS)}),
        ("AddmmNode", {"mat1": Tid(0), "mat2": Tid(2)}),
    )
    made = _products(_wide(several), _wide(b))
    yield Canary("matrix", dtype, "right operand of stride 0", (several, b), 0, steps, *made)


def _convolutions(dtype: str, rng: np.random.Generator) -> Iterator[Canary]:
    w, x = _normal(rng, dtype, 32, 3, 67), _normal(rng, dtype, 1, 40, 67)
    unfolded = np.stack([_wide(x)[0, tap : tap + 38] for tap in range(3)], axis=1).reshape(38, 201)
    wanted, terms = _products(unfolded, _wide(w).reshape(32, 201).T)
    steps: Steps = (("Conv1DNode", {"x": Tid(1), "w": Tid(0)}),)
    yield Canary("convolution", dtype, "3 taps", (w, x), 1, steps, wanted[None], _batched(terms))
    w = _normal(rng, dtype, 32, 2, 67)
    # With as many taps as the stride, each output is of one tap.
    wanted, terms = _products(_wide(x)[0], _wide(w).reshape(64, 67).T)
    shape = (1, 40, 32, 2)
    steps = (("ConvTranspose1DNode", {"x": Tid(1), "w": Tid(0), "stride": 2}),)

    def laid_out(values: Float64) -> Float64:
        return np.swapaxes(values.reshape(shape), 2, 3).reshape(1, 80, 32)

    spread, bound = laid_out(terms.spread), laid_out(terms.bound)
    yield Canary(
        "convolution", dtype, "transposed, 2 taps", (w, x), 1, steps, laid_out(wanted),
        Terms(spread, bound, terms.growth),
    )  # fmt: skip


def _batched(terms: Terms) -> Terms:
    return Terms(terms.spread[None], terms.bound[None], terms.growth)


def _quantised(dtype: str, rng: np.random.Generator) -> Iterator[Canary]:
    shapes = [(4, 96, 1), (4, 96, 9), (4, 256, 64), (8, 96, 2)]
    # Scales that are powers of two leave weights exact; others are rounded by who unpacks them
    # into a narrow type.
    for (bits, inner, rows), powers in [(s, True) for s in shapes] + [(s, False) for s in shapes]:
        values = rng.integers(0, 2**bits, (_COLUMNS, inner))
        each = 32 // bits
        shifts = np.arange(0, 32, bits, dtype=np.uint32)
        packed = (values.reshape(_COLUMNS, -1, each).astype(np.uint32) << shifts).sum(-1)
        shape = (_COLUMNS, inner // _GROUP)
        drawn = 2.0 ** rng.integers(-1, 2, shape) if powers else rng.uniform(0.5, 1.5, shape)
        scales = (drawn / 2**bits).astype(dtype_of(dtype))
        biases = (-(2 ** (bits - 1)) * _wide(scales)).astype(dtype_of(dtype))
        spread, least = (np.repeat(_wide(t), _GROUP, axis=1) for t in (scales, biases))
        x = _normal(rng, dtype, rows, inner)
        fields = {
            "x": Tid(3), "w": Tid(0), "scales": Tid(1), "biases": Tid(2),
            "bits": bits, "group_size": _GROUP, "mode": "affine",
        }  # fmt: skip
        yield Canary(
            "quantised" if powers else "unpacking", dtype,
            f"{bits} bits, M = {rows}, K = {inner}",
            (packed.astype(np.uint32), scales, biases, x), 3, (("QuantizedMatmulNode", fields),),
            *_products(_wide(x), (values * spread + least).T),
        )  # fmt: skip


def _attention(dtype: str, rng: np.random.Generator) -> Iterator[Canary]:
    keys = 33
    for size in (64, 96, 128):
        for queries, masked in ((1, False), (9, False), (9, True)):
            q = _normal(rng, dtype, 1, 2, queries, size)
            k, v = (_normal(rng, dtype, 1, 1, keys, size) for _ in range(2))
            scale = 1 / math.sqrt(size)
            scores = _wide(q) @ np.swapaxes(_wide(k), -1, -2) * scale
            if masked:
                scores = np.where(np.tri(queries, keys, keys - queries), scores, -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            finite = np.abs(np.where(weights > 0, scores, 0.0))
            values = _wide(v)
            # A score's error changes its own weight, and through the sum all the others.
            size_of = np.abs(values)
            bound = (weights * (1 + finite)) @ size_of
            bound += (weights * finite).sum(-1, keepdims=True) * (weights @ size_of)
            growth = 3 + 0.5 * math.sqrt(max(size, keys))
            terms = Terms(
                np.sqrt(np.square(weights) @ np.square(values)), 2 * growth * bound, 2 * growth
            )
            fields = {"q": Tid(0), "k": Tid(1), "v": Tid(2), "scale": scale, "causal": masked}
            name = f"head size {size}, {queries} of {keys}{', causal' if masked else ''}"
            steps = (("SdpaNode", fields),)
            yield Canary("attention", dtype, name, (q, k, v), 0, steps, weights @ values, terms)


def _sums(dtype: str, rng: np.random.Generator) -> Iterator[Canary]:
    for count in (37, 1000):
        x = _normal(rng, dtype, 24, count)
        wide = _wide(x)
        terms = terms_of_a_sum(np.abs(wide).sum(-1), np.square(wide).sum(-1), count)
        steps = (("SumNode", {"x": Tid(0), "axes": (-1,)}),)
        yield Canary("sum", dtype, f"{count} terms", (x,), 0, steps, wide.sum(-1), terms)


def _exact(dtype: str, large: bool) -> Iterator[Canary]:
    """Constant operands, whose every partial sum fits 8 bits, and functions at known points."""
    own = dtype_of(dtype)

    def full(value: float, *shape: int) -> Array:
        return np.full(shape, value, own)

    def one(name: str, node: str, wanted: Float64, *tensors: Array, **fields: Any) -> Canary:
        # As much as a function may lose: four units in the last place, of a scale of 1 at least.
        allowed = 8 * half_ulp(np.maximum(np.abs(wanted), 1.0), dtype)
        return Canary("exact", dtype, name, tensors, 0, ((node, fields),), wanted, allowed=allowed)

    for rows in _ROWS:
        operands = full(1, rows, 67), full(1, 67, _COLUMNS)
        wanted = np.full((rows, _COLUMNS), 67.0)
        yield Canary(
            "exact", dtype, f"ones, M = {rows}", operands, 0,
            (("AddmmNode", {"mat1": Tid(0), "mat2": Tid(1)}),), wanted,
        )  # fmt: skip
    if large:  # enough rows, columns and terms for the terms to be split among groups of threads
        a, b = full(0, _LARGE, 5 * _LARGE), full(1, 5 * _LARGE, _LARGE)
        a[:, ::80] = 1
        yield Canary(
            "exact", dtype, f"128 ones, M = N = {_LARGE}, K = {5 * _LARGE}", (a, b), 0,
            (("AddmmNode", {"mat1": Tid(0), "mat2": Tid(1)}),), np.full((_LARGE, _LARGE), 128.0),
        )  # fmt: skip
    slots = {"q": Tid(0), "k": Tid(1), "v": Tid(2), "scale": 0.125}
    q, k, v = full(1, 1, 2, 9, 64), full(1, 1, 2, 32, 64), full(3, 1, 2, 32, 64)
    yield one("attention to equal values", "SdpaNode", np.full(q.shape, 3.0), q, k, v, **slots)
    x = full(2, 3, 64)
    rows_of = {"x": Tid(0), "eps": 0.0}
    yield one("RMS norm of a constant", "RMSNormNode", np.ones(x.shape), x, **rows_of)
    layer = {"x": Tid(0), "eps": 1e-5}
    yield one("layer norm of a constant", "LayerNormNode", np.zeros(x.shape), x, **layer)
    softmax = {"x": Tid(0), "axis": -1, "precise": True}
    yield one("softmax of equal values", "SoftmaxNode", np.full(x.shape, 1 / 64), x, **softmax)
    points = np.linspace(-8, 8, 129).astype(own)
    wide = _wide(points)
    # Half of an argument's last place moves the result by that, relatively.
    allowed = np.exp(wide) * (1 + np.abs(wide)) * 8 * half_ulp(np.ones(129), dtype)
    yield Canary(
        "exact", dtype, "exp", (points,), 0, (("ExpNode", {"x": Tid(0)}),), np.exp(wide),
        allowed=allowed,
    )  # fmt: skip
