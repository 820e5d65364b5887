"""Upstream's MLX lowering bugs, each mended in one named place.

`applied` swaps the corrected handlers in for the length of one lowering and puts the stock
ones back. Each correction says what stock does wrong; `tests/export/test_corrections.py` shows
stock wrong on a minimal case, so that the test fails, and the correction can go, on the day
upstream mends it. All were seen in executorch 1.5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from harness.errors import one_of
from harness.export.defaults import (
    adds_in_another_type,
    cumsum,
    lacks_eps,
    rms_norm,
    told_layouts,
)
from harness.export.emitting import emit
from harness.export.fusing import lossless_casts, true_norms
from harness.export.index_put import accumulate_at
from harness.export.indexing import index
from harness.export.integer_division import (
    divides_integers,
    floor_divide,
    floors_an_integer,
    promoted_floor_divide,
)
from harness.export.negative_padding import crop_and_pad, crops
from harness.export.ordering import argsort, descends, sort, takes_least, topk
from harness.export.patching import handled, patched
from harness.export.reductions import (
    ALONG_AN_AXIS,
    KEEPING,
    corrects_by_a_fraction,
    is_a_number,
    keeps_every_axis,
    logsumexp,
    names_no_axis,
    of_one_element,
    reshaped,
    spread,
)
from harness.export.refusing import FORMS, of_integers, refuse
from harness.export.scalars import in_common_type, in_float32
from harness.export.shaping import (
    by_fractions,
    filled,
    fills_otherwise,
    flattens,
    no_axis,
    range_by_fractions,
    repeat_flat,
    squeeze,
)
from harness.export.signature import one_slot_for_one_parameter, without_constant_inputs
from harness.upstream import enable_mlx_exporter, quiet

__all__ = ["CORRECTIONS", "Correction", "applied", "check_names", "corrected", "corrections"]


_ATEN = torch.ops.aten


@dataclass(frozen=True)
class Correction:
    """One upstream bug and its mend.

    Attributes
    ----------
    name
        What users type after ``--without``.
    wrong
        What the stock lowering does, in one sentence.
    installed
        Contexts in which the mend is in place.
    """

    name: str
    wrong: str
    installed: tuple[Callable[[], AbstractContextManager[None]], ...]


@contextmanager
def applied(without: Collection[str] = ()) -> Iterator[None]:
    """Lower with every correction in place, except those named in `without`."""
    check_names(without)
    with ExitStack() as stack:
        for correction in CORRECTIONS:
            for installed in correction.installed if correction.name not in without else ():
                stack.enter_context(installed())
        yield


@contextmanager
def corrected(without: Collection[str] = ()) -> Iterator[None]:
    """Let anybody's export lower to MLX with the bugs of the stock lowering mended.

    Put the call of ``to_edge_transform_and_lower`` into the block::

        with corrected():
            edge = to_edge_transform_and_lower(program, partitioner=[MLXPartitioner()])

    It can be nested; what is stock comes back behind the block. Where the installed executorch
    lacks the MLX exporter's generated modules, as on Linux, they are made first.

    Parameters
    ----------
    without
        Names of corrections to leave out; `corrections` lists them.
    """
    enable_mlx_exporter()
    with quiet():
        from executorch.backends.mlx import ops as _registers_handlers  # noqa: F401
    with applied(without):
        yield


def corrections() -> dict[str, str]:
    """Each correction by its name, with what the stock lowering does wrong."""
    return {correction.name: correction.wrong for correction in CORRECTIONS}


def check_names(names: Collection[str]) -> None:
    """Raise `InputError` for a name that is no correction."""
    known = [correction.name for correction in CORRECTIONS]
    for name in names:
        one_of("correction", name, known)


# --- copy ----------------------------------------------------------------------------------


def _copy(builder: Any, node: Any) -> Any:
    """``aten.copy``: the source, cast to the destination's type and broadcast to its shape."""
    from executorch.backends.mlx.builder.op_helpers import torch_dtype_to_scalar_type

    destination, source, *_ = builder.args(node)
    want, have = node.args[0].meta["val"], node.args[1].meta["val"]
    if want.dtype != have.dtype:
        kind = torch_dtype_to_scalar_type(want.dtype)
        source = emit(builder, "AsTypeNode", x=source, scalar_type=kind)
    shape = list(want.shape)
    for axis, size in enumerate(shape):
        if not isinstance(size, int):
            length = builder.make_tmp_value_slot()[1]
            shape[axis] = emit(builder, "SymSizeNode", length, a=destination, dim=axis)
    return emit(builder, "BroadcastToNode", builder.make_or_get_slot(node), x=source, shape=shape)


# --- lifted scalars ------------------------------------------------------------------------


@contextmanager
def _typed_scalars() -> Iterator[None]:
    from executorch.backends.mlx.builder.program_builder import MLXProgramBuilder

    stock = MLXProgramBuilder.make_or_get_constant

    def typed(self: Any, name: str, tensor: torch.Tensor) -> Any:
        if name.startswith("_scalar_"):
            name = f"{name}_{str(tensor.dtype).removeprefix('torch.')}_{tensor.dim()}d"
        return stock(self, name, tensor)

    with patched(MLXProgramBuilder, "make_or_get_constant", typed):
        yield


def _index_tensors(node: Any) -> int:
    return sum(index is not None for index in node.args[1])


CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        "adjacent-indices",
        "x[:, i, j] is gathered without the transpose that puts the indexed axes back in "
        "place, so values land in the wrong order (F.unfold, hence the codec's unfold form)",
        (partial(handled, _ATEN.index.Tensor, index, lambda node: _index_tensors(node) > 1),),
    ),
    Correction(
        "index-rank",
        "x[i] with an index of x's own rank becomes take_along_axis, whose shape is "
        "another one unless both are 1-D",
        (partial(handled, _ATEN.index.Tensor, index, lambda node: _index_tensors(node) == 1),),
    ),
    Correction(
        "copy-broadcast",
        "copy_ keeps the source's shape and type instead of the destination's, so that "
        "`logit[:, 0] = -inf` lowers fully and then cannot run (semantic_head)",
        (partial(handled, _ATEN.copy.default, _copy),),
    ),
    Correction(
        "scalar-type",
        "lifted scalars are shared by value whatever their type and rank, so 2 may arrive "
        "as the float 2.0 of another operator",
        (_typed_scalars,),
    ),
    Correction(
        "integer-division",
        "floor division of integer tensors is a float32 quotient that nothing rounds: "
        "(7 // 2) * 2 is 7, and 16777217 // 1 is 16777216; so is that of an integer by a float",
        (
            partial(handled, _ATEN.floor_divide.default, promoted_floor_divide, floors_an_integer),
            partial(handled, _ATEN.div.Tensor_mode, promoted_floor_divide, floors_an_integer),
            partial(handled, _ATEN.floor_divide.default, floor_divide, divides_integers),
            partial(handled, _ATEN.div.Tensor_mode, floor_divide, divides_integers),
        ),
    ),
    Correction(
        "index-put",
        "index_put is not taken, so that F.fold, and with it overlap-add, runs outside "
        "the delegate",
        (partial(handled, _ATEN.index_put.default, accumulate_at),),
    ),
    Correction(
        "negative-padding",
        "padding by a negative width, which crops, lowers fully and then cannot run "
        "(F.fold with padding)",
        (partial(handled, _ATEN.constant_pad_nd.default, crop_and_pad, crops),),
    ),
    Correction(
        "descending",
        "sort and argsort with descending=True sort up, and topk with largest=False takes the "
        "greatest",
        (
            partial(handled, _ATEN.sort.default, sort, descends),
            partial(handled, _ATEN.argsort.default, argsort, descends),
            partial(handled, _ATEN.topk.default, topk, takes_least),
        ),
    ),
    Correction(
        "lossy-casts",
        "of two casts the first is dropped even where it changes values, as in "
        "x.to(int64).to(float32) or a round trip through bfloat16",
        (lossless_casts,),
    ),
    Correction(
        "false-norms",
        "w * (x * rsqrt(y.pow(2).mean(dim) + eps)) becomes an RMS norm of x over its last axis, "
        "whatever y and dim are",
        (true_norms,),
    ),
    Correction(
        "norm-eps",
        "an RMS norm whose eps is None takes 1e-5, where torch takes float32's 1.2e-7",
        (partial(handled, _ATEN.rms_norm.default, rms_norm, lacks_eps),),
    ),
    Correction(
        "integer-scalars",
        "beside an integer tensor a float scalar is cast to an integer, and beside a bool any "
        "scalar to a bool: i < 2.5 is i < 2, i ** 0.5 is i ** 0, and True + 2 is True",
        (in_common_type,),
    ),
    Correction(
        "rounded-scalars",
        "beside a 16-bit tensor a scalar is rounded to 16 bits first: in bfloat16 x * 0.1 is "
        "x * 0.1001, where torch multiplies in float32",
        (in_float32,),
    ),
    Correction(
        "fractional-correction",
        "var and std take the whole part of a fractional correction",
        (
            partial(handled, _ATEN.var.correction, spread("Var"), corrects_by_a_fraction),
            partial(handled, _ATEN.std.correction, spread("Std"), corrects_by_a_fraction),
        ),
    ),
    Correction(
        "unnamed-axes",
        "where no axis is named, squeeze takes every axis, logsumexp none, and argmax, argmin, "
        "sum and mean with keepdim=True keep none",
        (
            partial(handled, _ATEN.squeeze.dims, squeeze, no_axis),
            partial(handled, _ATEN.squeeze_copy.dims, squeeze, no_axis),
            partial(handled, _ATEN.logsumexp.default, logsumexp, names_no_axis),
            *(
                partial(handled, target, handles=keeps_every_axis, around=reshaped)
                for target in KEEPING
            ),
        ),
    ),
    Correction(
        "flat-repeat",
        "repeat_interleave without an axis repeats along the first one instead of all elements in "
        "a row",
        (partial(handled, _ATEN.repeat_interleave.self_int, repeat_flat, flattens),),
    ),
    Correction(
        "axis-of-a-number",
        "softmax, sort, sum and others along the axis 0 of a number, which torch lets it have, "
        "lower fully and then cannot run",
        tuple(
            partial(handled, target, handles=is_a_number, around=of_one_element)
            for target in ALONG_AN_AXIS
        ),
    ),
    Correction(
        "fractional-range",
        "arange takes the whole part of its bounds and step: arange(0, 1, 0.25) has the step 0",
        (
            partial(handled, _ATEN.arange.default, range_by_fractions, by_fractions),
            partial(handled, _ATEN.arange.start_step, range_by_fractions, by_fractions),
        ),
    ),
    Correction(
        "filled-type",
        "full without a dtype makes float32 of integers and truth values, and a whole number that "
        "float32 does not hold is rounded",
        tuple(
            partial(handled, target, filled, fills_otherwise)
            for target in (_ATEN.full.default, _ATEN.full_like.default, _ATEN.scalar_tensor.default)
        ),
    ),
    Correction(
        "negative-powers",
        "a negative power of an integer is 0, of 1 and -1 too",
        (partial(handled, _ATEN.pow.Tensor_Tensor, refuse, of_integers),),
    ),
    Correction(
        "unsupported-forms",
        "products of integers, pooling and convolution without a batch, places of what a pooling "
        "takes, and others lower fully and then cannot run, where the CPU kernels could",
        tuple(partial(handled, target, refuse, form) for target, form in FORMS.items()),
    ),
    Correction(
        "cumsum-type",
        "cumsum ignores its dtype, and adds 16-bit numbers up in 16 bits",
        (partial(handled, _ATEN.cumsum.default, cumsum, adds_in_another_type),),
    ),
    Correction(
        "shared-weight",
        "one weight of a convolution and of a transposed one is laid out once, for whichever "
        "comes first",
        (told_layouts,),
    ),
    Correction(
        "shared-parameter",
        "a parameter that two delegates use has two placeholders in one of them, of which the "
        "second takes the name of both, so that the file cannot be loaded",
        (one_slot_for_one_parameter,),
    ),
    Correction(
        "constant-input",
        "a program with an input that is None, a bool, a number or text cannot be lowered",
        (without_constant_inputs,),
    ),
)
