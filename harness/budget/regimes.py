"""Regimes of arithmetic: how exactly an executor forms sums of products, whatever its chip.

A product is measured, not believed: a canary has operands whose result is known in float64, and
what came of it is of the least class that explains its error (`class_of`). A result that none
explains is a fault of a kernel, which is no regime.

References
----------
N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, SIAM 2002, section 3.1: errors of
sums of n products stay near √n·u where their signs are random, and below n·u always.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.fingerprint import Regime

__all__ = [
    "CLASSES",
    "EMULATED",
    "EXACT",
    "NAMES",
    "NARROW",
    "PRODUCTS",
    "Terms",
    "class_of",
    "half_ulp",
    "regime_name",
    "terms_of_a_sum",
    "unit_roundoff",
]

Float64 = NDArray[np.float64]

EXACT, TF32, BF16 = "exact-f32", "tf32-class", "bf16-class"

NARROW = f"{EXACT}.{BF16}-in-16-bits"
"""The regime of MLX's own kernels on CPUs: 16-bit quantised products are added up in 16 bits."""

CLASSES: Mapping[str, float] = {EXACT: 2.0**-24, TF32: 2.0**-11, BF16: 2.0**-8}
"""Class of a product → unit roundoff of its operands or its sum, from the most exact on."""

NAMES = (*CLASSES, *(f"{base}.{worse}-in-16-bits" for base, worse in combinations(CLASSES, 2)))
"""What a regime can be called; see `regime_name`."""

EMULATED = ("tf32", "bf16-accumulate", "fp16-grid")
"""Arithmetic of GPUs that the portable executor can imitate."""

PRODUCTS = ("matrix", "convolution", "quantised", "unpacking", "attention", "sum")
"""Kinds of product, the unpacking of a quantised one's weights by itself, and the plain sum."""

_BETWEEN = math.sqrt(CLASSES[TF32] * CLASSES[BF16])
"""Relative error of a product's terms from which on they were rounded more than TF32 does."""

_BITS = {"float32": 24, "float16": 11, "bfloat16": 8}
"""Element type → bits of its significand."""


@dataclass(frozen=True)
class Terms:
    """What a result is a sum of, for each of its elements or for all.

    Attributes
    ----------
    spread
        Root of the sum of the terms' squares: an error of u in each, of random sign, adds up to
        u times this.
    bound
        What the greatest error may come to in units of the unit roundoff.
    growth
        How many unit roundoffs of `spread` the additions of a sum cost at most.
    """

    spread: Float64
    bound: Float64
    growth: float


def terms_of_a_sum(magnitudes: Float64, squares: Float64, count: int) -> Terms:
    """The terms of sums of `count` products, from the sums of their magnitudes and squares."""
    growth = 3 + 0.5 * math.sqrt(count)
    return Terms(np.sqrt(squares), growth * magnitudes, growth)


def half_ulp(values: Float64, dtype: str) -> Float64:
    """Half the distance to the next number of `dtype` at each of `values`: one rounding's error."""
    _, exponent = np.frexp(values)
    return np.where(values == 0, 0.0, np.ldexp(0.5, exponent - _BITS[dtype]))


def class_of(got: NDArray[Any], wanted: Float64, terms: Terms) -> str | None:
    """The least class that explains a result; None for a fault.

    The final rounding to the result's own type is free. The RMS of what is left says how the
    terms were rounded, and no single element may lie beyond what such terms can come to.

    Parameters
    ----------
    got
        float32, float16 or bfloat16, of the shape of `wanted`.
    wanted, terms
        What should have come out, in float64, and of what it is the sum.
    """
    made = got.astype(np.float64)
    if got.shape != wanted.shape or not np.isfinite(made).all():
        return None
    beyond = np.maximum(np.abs(made - wanted) - half_ulp(wanted, got.dtype.name), 0.0)
    spread = math.sqrt(float(np.mean(np.square(terms.spread))))
    error = math.sqrt(float(np.mean(np.square(beyond)))) / spread
    for name, roundoff in CLASSES.items():
        most = _BETWEEN if name == TF32 else roundoff * terms.growth
        if error <= most and bool((beyond <= roundoff * terms.bound).all()):
            return name
    return None


def regime_name(products: Mapping[str, str]) -> str:
    """The name of a regime: the class of float32 products, and where 16-bit ones are worse.

    Unpacked weights, attention and sums are left out: in 16 bits eager rounds there too, and what
    that may cost was measured with the rounding in it.
    """
    multiplied = [key for key in products if key.split()[0] in PRODUCTS[:3]]
    base = _worst(products[key] for key in multiplied if key.endswith("float32"))
    narrow = _worst(products[key] for key in multiplied if not key.endswith("float32"))
    order = list(CLASSES)
    return base if order.index(narrow) <= order.index(base) else f"{base}.{narrow}-in-16-bits"


def unit_roundoff(kind: str, dtype: str, regime: Regime | None) -> float:
    """The unit roundoff that one instruction's error is counted in.

    Parameters
    ----------
    kind
        One of `PRODUCTS`; ``"function"`` for what has intermediate results of its own (softmax,
        silu, norms, rope); ``"exact"`` for what rounds once or not at all.
    dtype
        Element type of the result: float32, float16 or bfloat16.
    regime
        As measured; None stands for float32 sums, which every CPU has.

    Raises
    ------
    ValueError
        No such kind or type.
    """
    if dtype not in _BITS:
        raise ValueError(f"no unit roundoff is known for {dtype}")
    own = 2.0 ** -_BITS[dtype]
    if kind == "exact":
        return 0.0
    if kind == "function":
        return own
    if kind not in PRODUCTS:
        raise ValueError(f"no unit roundoff is known for the kind {kind!r}")
    products = {} if regime is None else regime.products
    parts = ("quantised", "unpacking") if kind == "quantised" else (kind,)
    measured = CLASSES[_worst(products.get(f"{part} {dtype}", EXACT) for part in parts)]
    # Attention rounds its scores and weights on the way, which are results of its own type.
    return max(own, measured) if kind == "attention" else measured


def _worst(classes: Any) -> str:
    order = list(CLASSES)
    return max(classes, key=order.index, default=EXACT)
