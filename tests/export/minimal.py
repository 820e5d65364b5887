"""A minimal case of each upstream lowering bug, and of forms beside it that stock has right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


class Of(nn.Module):
    """A module around a function, for torch.export."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


@dataclass(frozen=True)
class Differing:
    """Stock runs, and so many elements are wrong."""

    elements: int


@dataclass(frozen=True)
class Refused:
    """Stock lowers, and the program refuses to run in these words, a regular expression."""

    reason: str


@dataclass(frozen=True)
class LeftOutside:
    """Stock leaves this operator to a CPU kernel."""

    operator: str


@dataclass(frozen=True)
class NotLowered:
    """Stock raises an error in these words."""

    reason: str


@dataclass(frozen=True)
class NotLoaded:
    """Stock lowers, and the file cannot be read, in these words."""

    reason: str


@dataclass(frozen=True)
class Minimal:
    correction: str
    function: Callable[..., torch.Tensor]
    inputs: tuple[Any, ...]
    wrong: Differing | Refused | LeftOutside | NotLowered | NotLoaded
    passes: bool = False
    """Whether the bug is in one of the passes that exporters of other models run."""


def of_passes(*given: Any) -> Minimal:
    """A bug of one of the passes."""
    return Minimal(*given, passes=True)


def grid(*shape: int) -> torch.Tensor:
    return torch.arange(float(torch.Size(shape).numel())).reshape(shape)


ATEN = torch.ops.aten
I2, J2 = torch.tensor([0, 2]), torch.tensor([3, 1])
IDS = torch.tensor([[0, 2, 1], [3, 3, 0]])
INDEX_PUT = LeftOutside("aten::index_put.out")
PAD_WIDTHS = r"PadNode\): pad widths .* do not fit"

# Each at the edge of a quotient, where one unit of error in it would show.
LARGE = torch.tensor([2**62 - 1, 2**62, -(2**62), 2**53 + 1, -(2**53) - 1, 2**24 + 1, 2**31 - 1])
DIVISORS = torch.tensor([3, 2**31 - 1, 7, -3, 1, 2**24, 2**31])
LARGE_32 = torch.tensor([2**31 - 1, 2**31 - 2, 2**31 - 1, -(2**31), 2**25 + 1], dtype=torch.int32)


def masked_logits(x: torch.Tensor) -> torch.Tensor:
    y = x * 1.0
    y[:, 0] = float("-inf")
    return y


def copied_into_wider_type(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros(2, 4, dtype=torch.float32) + x.float()
    y[:, 1:3] = x[:, 1:3]
    return y


def relu_of_float_then_integer(x: torch.Tensor, n: torch.Tensor) -> torch.Tensor:
    return torch.relu(x).to(torch.int64) + torch.relu(n)


class ThreeProducts(nn.Module):
    """A weight that two delegates use, one of them twice."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(grid(3, 3), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = F.elu(F.linear(x, self.weight))
        return F.linear(first, self.weight) + x @ self.weight


def halves_doubled(n: torch.Tensor) -> torch.Tensor:
    return (n // 2) * 2


def folded(x: torch.Tensor) -> torch.Tensor:
    return F.fold(x, (9, 4), kernel_size=(3, 2), stride=(2, 1), dilation=(2, 1))


def folded_with_crop(x: torch.Tensor) -> torch.Tensor:
    return F.fold(x, (8, 1), kernel_size=(4, 1), stride=(2, 1), padding=(1, 0))


WRONG = [
    Minimal("adjacent-indices", lambda x, i, j: x[:, i, j], (grid(3, 4, 5), I2, J2), Differing(4)),
    Minimal(
        "adjacent-indices", lambda x, i, j: x[:, :, i, j], (grid(2, 3, 4, 5), I2, J2), Differing(10)
    ),
    Minimal(
        "adjacent-indices", lambda x, i, j: x[:, i, j, :], (grid(2, 3, 4, 5), I2, J2), Differing(10)
    ),
    Minimal(
        "adjacent-indices",
        lambda x, i, j: x[:, i[:, None], j[None, :]],
        (grid(3, 4, 5), I2, torch.tensor([3, 1, 0])),
        Differing(16),
    ),
    Minimal(
        "adjacent-indices",
        lambda x: F.unfold(x, kernel_size=(3, 1)),
        (grid(1, 2, 6, 1),),
        Differing(20),
    ),
    Minimal(
        "adjacent-indices",
        lambda x: F.unfold(x, kernel_size=(3, 2), stride=(2, 1), dilation=(2, 1)),
        (grid(1, 2, 9, 3),),
        Differing(64),
    ),
    Minimal(
        "index-rank",
        lambda x, i: x[i],
        (grid(4, 5), IDS),
        Refused(r"TakeAlongAxisNode.*Shapes \(5\) and \(3\) cannot be broadcast"),
    ),
    Minimal(
        "index-rank",
        lambda x, i: x[:, i],
        (grid(2, 4), IDS),
        Refused(r"a tensor of shape \(2, 3\) is made, expected \(2, 2, 3\)"),
    ),
    Minimal(
        "copy-broadcast",
        masked_logits,
        (grid(1, 4),),
        Refused(r"ExpandDimsNode.*\[expand_dims\] Axis 1 is out of bounds"),
    ),
    # beyond 2**24, where float32 has no odd integers left
    Minimal(
        "scalar-type", relu_of_float_then_integer, (grid(1), torch.tensor([16777217])), Differing(1)
    ),
    Minimal("integer-division", halves_doubled, (torch.tensor([7, 8, -7, -8, 0]),), Differing(2)),
    Minimal(
        "integer-division", lambda n: n // 1, (torch.tensor([16777217, -16777217]),), Differing(2)
    ),
    Minimal("integer-division", lambda n, m: n // m, (LARGE, DIVISORS), Differing(6)),
    Minimal(
        "integer-division",
        lambda n, m: torch.div(n, m, rounding_mode="floor"),
        (LARGE_32, torch.tensor([1, 3, -1, -7, 2**24 + 1], dtype=torch.int32)),
        Differing(5),
    ),
    Minimal("index-put", folded, (grid(1, 12, 9),), INDEX_PUT),
    Minimal("index-put", folded_with_crop, (grid(1, 8, 4),), INDEX_PUT),
    Minimal(
        "index-put",
        lambda x, i, v: torch.ops.aten.index_put.default(x, [None, i], v, True),
        (grid(2, 4), torch.tensor([1, 1, -1]), grid(2, 3)),
        INDEX_PUT,
    ),
    Minimal(
        "negative-padding",
        lambda x: F.pad(x, (-1, 2, 1, -2), value=5.0),
        (grid(2, 4, 3),),
        Refused(PAD_WIDTHS),
    ),
    Minimal("negative-padding", lambda x: F.pad(x, (-1, -1)), (grid(2, 5),), Refused(PAD_WIDTHS)),
    Minimal("negative-padding", folded_with_crop, (grid(1, 8, 4),), Refused(PAD_WIDTHS)),
]

BF16 = torch.tensor([1.0, 2.0**-9, 2.0**-9, 3.0], dtype=torch.bfloat16)
MIXED = torch.tensor([[3.0, 1.0, 2.0, 1.0], [0.5, 4.0, 0.25, 4.0]])
COUNTS = torch.tensor([0, 1, 2, 3, 9])


def squared_mean(x: torch.Tensor, y: torch.Tensor, dim: tuple[int, ...]) -> torch.Tensor:
    return W8 * (x * torch.rsqrt(y.pow(2).mean(dim, keepdim=True) + 1e-6))


def both_convolutions(x: torch.Tensor) -> torch.Tensor:
    return F.conv1d(x, SQUARE) + F.conv_transpose1d(x, SQUARE)


W8 = torch.arange(1.0, 9.0)
SQUARE = grid(3, 3, 1)
TRUTHS = torch.tensor([True, False, True, True])
SIXTEEN = torch.arange(1, 65).bfloat16()
REFUSED = Refused("a tensor of shape .* is made, expected")
OUTSIDE = {"negative-powers", "shared-parameter", "unsupported-forms"}
"""Corrections whose programs have an operator outside the delegate, once they are right."""

NORMED = grid(2, 4, 8).sub(20).div(8)

WRONG += [
    Minimal("descending", lambda x: x.sort(descending=True).values, (MIXED,), Differing(8)),
    Minimal("descending", lambda x: x.sort(dim=0, descending=True).indices, (MIXED,), Differing(8)),
    Minimal("descending", lambda x: torch.argsort(x, -1, True), (MIXED,), Differing(8)),
    Minimal("descending", lambda x: x.topk(2, largest=False).values, (MIXED,), Differing(4)),
    Minimal("descending", lambda x: x[:, :3].topk(2, -1, False).indices, (MIXED,), Differing(2)),
    of_passes(
        "lossy-casts",
        lambda x: x.to(torch.int64).to(torch.float32),
        (MIXED,),
        Differing(2),
    ),
    of_passes("lossy-casts", lambda n: n.bool().float(), (COUNTS,), Differing(3)),
    of_passes(
        "lossy-casts",
        lambda x: x.bfloat16().float(),
        (grid(4).mul(1.001),),
        Differing(3),
    ),
    of_passes("false-norms", lambda x: squared_mean(x, x, (1,)), (NORMED,), Differing(63)),
    of_passes("false-norms", lambda x: squared_mean(x, x, (1, 2)), (NORMED,), Differing(63)),
    of_passes(
        "false-norms",
        lambda x, y: squared_mean(x, y, (-1,)),
        (NORMED, NORMED + 1),
        Differing(64),
    ),
    Minimal("norm-eps", lambda x: F.rms_norm(x, (8,)), (NORMED / 1024,), Differing(63)),
    Minimal(
        "norm-eps",
        lambda x: F.rms_norm(x, (8,)).float(),
        ((NORMED / 1024).bfloat16(),),
        Differing(63),
    ),
    Minimal("integer-scalars", lambda n: n < 2.5, (COUNTS,), Differing(1)),
    Minimal("integer-scalars", lambda n: n == 2.5, (COUNTS,), Differing(1)),
    Minimal("integer-scalars", lambda n: n**0.5, (COUNTS,), Differing(4)),
    Minimal("integer-scalars", lambda n: n.clamp(min=0.5, max=2.5), (COUNTS,), Differing(3)),
    Minimal("cumsum-type", lambda x: x.cumsum(-1, dtype=torch.float32), (BF16,), Differing(3)),
    Minimal("shared-weight", both_convolutions, (grid(1, 3, 4),), Differing(12)),
    Minimal("shared-parameter", ThreeProducts(), (grid(2, 3),), NotLoaded("without name")),
    Minimal("constant-input", lambda x, y: x if y else -x, (MIXED, True), NotLowered("value=True")),
    Minimal(
        "constant-input",
        lambda x, y: -x if y is None else x,
        (MIXED, None),
        NotLowered("value=None"),
    ),
    Minimal("integer-scalars", lambda n: ATEN.add.Scalar(n, 2.5), (COUNTS,), Differing(5)),
    Minimal("integer-scalars", lambda n: ATEN.sub.Scalar(n, 0.5), (COUNTS,), Differing(5)),
    Minimal("integer-scalars", lambda b: ATEN.add.Scalar(b, 2), (TRUTHS,), Differing(4)),
    Minimal("integer-scalars", lambda b: b | 2, (TRUTHS,), Differing(4)),
    Minimal("integer-scalars", lambda n: n % 0.5, (COUNTS,), Refused("divided by 0")),
    Minimal(
        "integer-division",
        lambda n, x: torch.floor_divide(n, x),
        (COUNTS - 4, torch.full((5,), 1.5)),
        Differing(4),
    ),
    Minimal(
        "rounded-scalars", lambda x: ATEN.mul.Scalar(x, 0.1).float(), (SIXTEEN,), Differing(12)
    ),
    Minimal("rounded-scalars", lambda x: F.leaky_relu(-x).float(), (SIXTEEN,), Differing(11)),
    Minimal(
        "fractional-correction",
        lambda x: x.var(-1, correction=1.5),
        (torch.tensor([[0.0, 2.0, 4.0, 6.0]]),),
        Differing(1),
    ),
    Minimal(
        "fractional-correction",
        lambda x: x.std(correction=0.5) > 5.3,
        (torch.tensor([0.0, 8.0, 0.0, 12.0]),),
        Differing(1),
    ),
    Minimal("unnamed-axes", lambda x: x.squeeze(dim=[]), (grid(2, 1, 3),), REFUSED),
    Minimal("unnamed-axes", lambda x: x.logsumexp([], True) > 0, (grid(2, 3),), REFUSED),
    Minimal("unnamed-axes", lambda x: x.argmax(keepdim=True), (grid(2, 3),), REFUSED),
    Minimal("unnamed-axes", lambda x: x.sum(None, keepdim=True), (grid(2, 3),), REFUSED),
    Minimal("flat-repeat", lambda x: x.repeat_interleave(2), (grid(2, 3),), REFUSED),
    Minimal("axis-of-a-number", lambda x: x.softmax(0), (grid(),), Refused("Softmax")),
    Minimal("axis-of-a-number", lambda x: x.sort(0).indices, (grid(),), Refused("[Aa]xis")),
    Minimal("axis-of-a-number", lambda x: x.sum(0, keepdim=True), (grid(),), Refused("[Aa]xis")),
    Minimal(
        "fractional-range",
        lambda x: torch.arange(0, 1, 0.25) + x,
        (grid(1),),
        Refused("the step of a range is 0"),
    ),
    Minimal(
        "filled-type", lambda b: torch.full((3,), True) & b, (TRUTHS[:3],), Refused("bitwise_and")
    ),
    Minimal("filled-type", lambda n: torch.full((5,), 2**24 + 1) - n, (COUNTS,), Differing(5)),
    Minimal("negative-powers", lambda n: (n - 2) ** (n - 3), (COUNTS[:4],), Differing(1)),
    Minimal("unsupported-forms", lambda n: n @ n, (COUNTS[:4].view(2, 2),), Refused("inexact")),
    Minimal(
        "unsupported-forms", lambda x: F.max_pool2d(x, 2), (grid(1, 4, 4),), Refused("axes for")
    ),
]

RIGHT = [
    ("front", lambda x, i, j: x[i, j], (grid(3, 4, 5), I2, J2)),
    ("separated", lambda x, i, j: x[i, :, j], (grid(3, 4, 5), I2, J2)),
    ("one index, lower rank", lambda x, i: x[:, i], (grid(2, 4, 3), J2)),
    ("one index, higher rank", lambda x, i: x[i], (grid(4), IDS)),
    ("1-D on 1-D", lambda x, i: x[i], (grid(4), I2)),
    ("copy of a narrower type", copied_into_wider_type, (grid(2, 4).to(torch.bfloat16),)),
    ("sorted up", lambda x: x.sort().values, (MIXED,)),
    ("the greatest", lambda x: x.topk(2).values, (MIXED,)),
    ("a wider type and back", lambda x: x.float().bfloat16().float(), (BF16,)),
    ("integers compared", lambda n: n < 2, (COUNTS,)),
    ("integer bounds", lambda n: n.clamp(1, 2), (COUNTS,)),
    ("an RMS norm", lambda x: squared_mean(x, x, (-1,)), (NORMED,)),
    ("added up in its own type", lambda x: x.cumsum(-1), (MIXED,)),
    (
        "one weight twice in one layout",
        lambda x: F.conv1d(F.conv1d(x, SQUARE), SQUARE),
        (grid(1, 3, 4),),
    ),
    (
        "three adjacent",
        lambda x, i, j: x[:, i, j, i],
        (grid(2, 3, 4, 3), I2, J2),
    ),
]
