"""In which arithmetic an export computes, and how its weights are quantised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from harness.errors import InputError, one_of

__all__ = ["FP32", "PRECISIONS", "SCOPES", "Precision", "parse_precision"]

PER_AXIS = 0
"""Group size that stands for one scale a row, as upstream writes it."""

SCOPES = ("all", "attention", "feed_forward", "none")
"""Which of the decoder's linear layers are quantised; the flow head's always are."""

# What upstream's exporter takes where no group size is named.
_USUAL_GROUP = {"4w": 32, "8w": PER_AXIS}

_TYPES = {"fp32": "float32", "bf16": "bfloat16"}


# MLX has kernels for groups of 32, 64 and 128 (16 for embeddings only); a longer group is cut
# into such pieces, which share its scale.
_MLX_LEAST = {"qlinear": 32, "qembedding": 16}


def _group(size: int | None) -> str:
    return "row" if size == PER_AXIS else f"g{size}"


@dataclass(frozen=True)
class Precision:
    """Floating-point type, and what is quantised in which way: upstream's options.

    Attributes
    ----------
    base
        ``"fp32"`` or ``"bf16"``: the type of weights, activations and KV cache.
    qlinear, qembedding
        ``"4w"`` or ``"8w"`` (bits of each weight), or None: not quantised.
    qlinear_group_size, qembedding_group_size
        Weights that share a scale, along a row; 0: the whole row. None takes upstream's usual
        one, 32 for 4w and 0 for 8w, and stays None where nothing is quantised.
    decoder_qlinear_scope
        One of `SCOPES`.

    Raises
    ------
    InputError
        An option is none of these, or is given for what is not quantised.
    """

    base: str = "fp32"
    qlinear: str | None = None
    qlinear_group_size: int | None = None
    decoder_qlinear_scope: str = "all"
    qembedding: str | None = None
    qembedding_group_size: int | None = None

    def __post_init__(self) -> None:
        one_of("base", self.base, _TYPES)
        one_of("decoder-qlinear-scope", self.decoder_qlinear_scope, SCOPES)
        if self.decoder_qlinear_scope != "all" and self.qlinear is None:
            raise InputError("decoder-qlinear-scope needs qlinear: no linear is quantised")
        for what in ("qlinear", "qembedding"):
            width, group = getattr(self, what), getattr(self, f"{what}_group_size")
            if width is not None:
                one_of(what, width, _USUAL_GROUP)
                if group is None:
                    object.__setattr__(self, f"{what}_group_size", _USUAL_GROUP[width])
                if getattr(self, f"{what}_group_size") < 0:
                    raise InputError(f"{what}-group-size must be 0 or more (got {group})")
            elif group is not None:
                raise InputError(f"{what}-group-size needs {what}: nothing is quantised")

    def check_for_mlx(self) -> None:
        """Refuse groups that MLX has no kernel for; other lowerings take what torchao takes."""
        for what, least in _MLX_LEAST.items():
            group = getattr(self, f"{what}_group_size")
            if group not in (None, PER_AXIS) and group % least:
                raise InputError(
                    f"{what}-group-size must be 0 (one scale a row) or a multiple of {least}, "
                    f"which MLX's kernels need (got {group})"
                )

    @property
    def name(self) -> str:
        """What users type, and goldens are kept under; other options spell themselves out."""
        for name, known in PRECISIONS.items():
            if self == known:
                return name
        parts = [self.base]
        if self.qlinear:
            parts.append(f"linear{self.qlinear}{_group(self.qlinear_group_size)}")
            if self.decoder_qlinear_scope != "all":
                parts.append(f"decoder_{self.decoder_qlinear_scope}")
        if self.qembedding:
            parts.append(f"embedding{self.qembedding}{_group(self.qembedding_group_size)}")
        return "-".join(parts)

    @property
    def float_type(self) -> str:
        """Name of the floating-point type: ``"float32"`` or ``"bfloat16"``."""
        return _TYPES[self.base]

    @property
    def quantized(self) -> bool:
        """Whether any weight is quantised."""
        return self.qlinear is not None or self.qembedding is not None

    @property
    def allowance(self) -> str:
        """Which of a method's allowances applies.

        Rounding decides that, not the width of the weights: both sides have the same ones.
        """
        return f"{self.base}-4w8w" if self.quantized else self.base


FP32 = Precision("fp32")

PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {
        "fp32": FP32,
        "bf16": Precision("bf16"),
        # What upstream ships for Apple Silicon (pytorch/executorch #19177).
        "bf16-4w8w": Precision("bf16", qlinear="4w", qembedding="8w", qembedding_group_size=128),
    }
)
"""The named precisions."""


def parse_precision(
    name: str | Precision,
    *,
    qlinear: str | None = None,
    qlinear_group_size: int | None = None,
    decoder_qlinear_scope: str | None = None,
    qembedding: str | None = None,
    qembedding_group_size: int | None = None,
) -> Precision:
    """A named precision, with the options that are given in place of its own.

    Raises
    ------
    InputError
        There is no precision of that name, or the options make none.
    """
    if isinstance(name, Precision):
        precision = name
    else:
        one_of("precision", name, PRECISIONS)
        precision = PRECISIONS[name]
    if qlinear not in (None, precision.qlinear):
        precision = replace(precision, qlinear=qlinear, qlinear_group_size=None)
    if qembedding not in (None, precision.qembedding):
        precision = replace(precision, qembedding=qembedding, qembedding_group_size=None)
    given: dict[str, Any] = {
        "qlinear_group_size": qlinear_group_size,
        "decoder_qlinear_scope": decoder_qlinear_scope,
        "qembedding_group_size": qembedding_group_size,
    }
    return replace(precision, **{key: value for key, value in given.items() if value is not None})
