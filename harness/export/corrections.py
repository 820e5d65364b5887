"""Upstream's MLX lowering bugs, each mended in one named place.

`applied` swaps the corrected handlers in for the length of one lowering and puts the stock
ones back. Each correction says what stock does wrong; `tests/export/test_corrections.py` shows
stock wrong on a minimal case, so that the test fails, and the correction can go, on the day
upstream mends it. All were seen in executorch 1.5.1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import InputError
from harness.export.index_put import accumulate_at
from harness.export.integer_division import divides_integers, floor_divide
from harness.export.negative_padding import crop_and_pad, crops

__all__ = ["CORRECTIONS", "Correction", "applied", "check_names"]


@dataclass(frozen=True)
class Correction:
    """One upstream bug and its mend.

    Attributes
    ----------
    name
        What users type after ``--without``.
    wrong
        What the stock lowering does, in one sentence.
    install
        Puts the mend in place and returns the function that takes it out again.
    """

    name: str
    wrong: str
    install: Callable[[], Callable[[], None]]


@contextmanager
def applied(without: Collection[str] = ()) -> Iterator[None]:
    """Lower with every correction in place, except those named in `without`."""
    check_names(without)
    undo = []
    try:
        for correction in CORRECTIONS:
            if correction.name not in without:
                undo.append(correction.install())
        yield
    finally:
        for restore in reversed(undo):
            restore()


def check_names(names: Collection[str]) -> None:
    """Raise `InputError` for a name that is no correction."""
    known = [correction.name for correction in CORRECTIONS]
    for name in names:
        if name not in known:
            raise InputError(f"correction must be one of {', '.join(known)} (got {name!r})")


# --- advanced indexing ---------------------------------------------------------------------


def _index(builder: Any, node: Any) -> Any:
    """``aten.index.Tensor``: Gather, Squeeze, and a Transpose where the indices sit together.

    MLX's gather puts the indexed dimensions first. So does PyTorch where the indices are
    separated by a slice; where they are adjacent, it leaves them in place, and the result
    needs the transpose that the stock handler forgets (it reshapes instead).
    """
    from executorch.backends.mlx.serialization import mlx_graph_schema as schema

    x, index_list = builder.args(node)
    axes = [axis for axis, index in enumerate(index_list) if index is not None]
    metas = [node.args[1][axis].meta["val"] for axis in axes]
    if any(meta.dtype in (torch.bool, torch.uint8) for meta in metas):
        raise ValueError("aten.index.Tensor with a mask has a data-dependent shape")
    if len(axes) == 1:
        return _take(builder, node, x, index_list[axes[0]], axes[0])

    sizes = node.args[0].meta["val"].shape
    slices = [1 if axis in axes else size for axis, size in enumerate(sizes)]
    if not all(isinstance(size, int) for size in slices):
        raise ValueError(f"aten.index.Tensor: an axis that is not indexed is dynamic: {sizes}")
    lead = max(meta.dim() for meta in metas)
    first = axes[0]
    adjacent = axes == list(range(first, first + len(axes)))
    in_place = adjacent and first > 0

    _, gathered = builder.make_tmp_slot()
    builder.emit(
        schema.GatherNode(
            x=builder.slot_to_tid(x),
            indices=[builder.slot_to_tid(index_list[axis]) for axis in axes],
            out=builder.slot_to_tid(gathered),
            axes=axes,
            slice_sizes=slices,
        )
    )
    squeezed = builder.make_tmp_slot()[1] if in_place else builder.make_or_get_slot(node)
    builder.emit(
        schema.SqueezeNode(
            x=builder.slot_to_tid(gathered),
            out=builder.slot_to_tid(squeezed),
            dims=[lead + axis for axis in axes],
        )
    )
    if not in_place:
        return squeezed
    out = builder.make_or_get_slot(node)
    rank = lead + len(sizes) - len(axes)
    before = list(range(lead, lead + first))
    builder.emit(
        schema.TransposeNode(
            x=builder.slot_to_tid(squeezed),
            out=builder.slot_to_tid(out),
            perm=[*before, *range(lead), *range(lead + first, rank)],
        )
    )
    return out


def _take(builder: Any, node: Any, x: Any, index: Any, axis: int) -> Any:
    """One index tensor of any rank: its sizes replace the indexed axis, as MLX's take does."""
    from executorch.backends.mlx.serialization import mlx_graph_schema as schema

    out = builder.make_or_get_slot(node)
    builder.emit(
        schema.TakeNode(
            x=builder.slot_to_tid(x),
            index=schema.IntOrVidOrTid.from_tid(builder.slot_to_tid(index)),
            out=builder.slot_to_tid(out),
            axis=axis,
        )
    )
    return out


# --- copy ----------------------------------------------------------------------------------


def _copy(builder: Any, node: Any) -> Any:
    """``aten.copy``: the source, cast to the destination's type and broadcast to its shape."""
    from executorch.backends.mlx.builder.op_helpers import torch_dtype_to_scalar_type
    from executorch.backends.mlx.serialization import mlx_graph_schema as schema

    destination, source, *_ = builder.args(node)
    want, have = node.args[0].meta["val"], node.args[1].meta["val"]
    cast = source
    if want.dtype != have.dtype:
        _, cast = builder.make_tmp_slot()
        builder.emit(
            schema.AsTypeNode(
                x=builder.slot_to_tid(source),
                out=builder.slot_to_tid(cast),
                scalar_type=torch_dtype_to_scalar_type(want.dtype),
            )
        )
    shape = []
    for axis, size in enumerate(want.shape):
        if isinstance(size, int):
            shape.append(builder.to_int_or_vid(size))
            continue
        _, length = builder.make_tmp_value_slot()
        builder.emit(
            schema.SymSizeNode(
                a=builder.slot_to_tid(destination), dim=axis, out=builder.slot_to_vid(length)
            )
        )
        shape.append(builder.to_int_or_vid(length))
    out = builder.make_or_get_slot(node)
    builder.emit(
        schema.BroadcastToNode(
            x=builder.slot_to_tid(cast), out=builder.slot_to_tid(out), shape=shape
        )
    )
    return out


# --- lifted scalars ------------------------------------------------------------------------


def _install_typed_scalars() -> Callable[[], None]:
    from executorch.backends.mlx.builder.program_builder import MLXProgramBuilder

    stock = MLXProgramBuilder.make_or_get_constant

    def typed(self: Any, name: str, tensor: torch.Tensor) -> Any:
        if name.startswith("_scalar_"):
            name = f"{name}_{str(tensor.dtype).removeprefix('torch.')}_{tensor.dim()}d"
        return stock(self, name, tensor)

    MLXProgramBuilder.make_or_get_constant = typed

    def restore() -> None:
        MLXProgramBuilder.make_or_get_constant = stock

    return restore


def _override(
    target: Any, handles: Callable[[Any], bool], handler: Callable[[Any, Any], Any]
) -> Callable[[], Callable[[], None]]:
    """Installer of `handler` for the nodes of `target` that `handles` picks."""

    def install() -> Callable[[], None]:
        from executorch.backends.mlx import ops as _registers_handlers  # noqa: F401
        from executorch.backends.mlx.builder.op_registry import REGISTRY

        stock = REGISTRY._handlers[target]
        check = REGISTRY._support_checks.get(target)

        def corrected(builder: Any, node: Any) -> Any:
            return (handler if handles(node) else stock)(builder, node)

        REGISTRY.unregister(target)  # `register` refuses a taken target
        REGISTRY.register(target)(corrected)

        def restore() -> None:
            REGISTRY.unregister(target)
            REGISTRY.register(target)(stock)
            if check is not None:
                REGISTRY.register_support_check(target)(check)

        return restore

    return install


def _addition(target: Any, handler: Callable[[Any, Any], Any]) -> Callable[[], Callable[[], None]]:
    """Installer of `handler` for a `target` that stock does not take at all."""

    def install() -> Callable[[], None]:
        from executorch.backends.mlx import ops as _registers_handlers  # noqa: F401
        from executorch.backends.mlx.builder.op_registry import REGISTRY

        REGISTRY.register(target)(handler)
        return lambda: REGISTRY.unregister(target)

    return install


def _together(
    *installers: Callable[[], Callable[[], None]],
) -> Callable[[], Callable[[], None]]:
    """One installer of several handlers."""

    def install() -> Callable[[], None]:
        undo = [each() for each in installers]

        def restore() -> None:
            for one in reversed(undo):
                one()

        return restore

    return install


def _index_tensors(node: Any) -> int:
    return sum(index is not None for index in node.args[1])


CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        name="adjacent-indices",
        wrong="x[:, i, j] is gathered without the transpose that puts the indexed axes back in "
        "place, so values land in the wrong order (F.unfold, hence the codec's unfold form)",
        install=_override(
            torch.ops.aten.index.Tensor, lambda node: _index_tensors(node) > 1, _index
        ),
    ),
    Correction(
        name="index-rank",
        wrong="x[i] with an index of x's own rank becomes take_along_axis, whose shape is "
        "another one unless both are 1-D",
        install=_override(
            torch.ops.aten.index.Tensor, lambda node: _index_tensors(node) == 1, _index
        ),
    ),
    Correction(
        name="copy-broadcast",
        wrong="copy_ keeps the source's shape and type instead of the destination's, so that "
        "`logit[:, 0] = -inf` lowers fully and then cannot run (semantic_head)",
        install=_override(torch.ops.aten.copy.default, lambda node: True, _copy),
    ),
    Correction(
        name="scalar-type",
        wrong="lifted scalars are shared by value whatever their type and rank, so 2 may arrive "
        "as the float 2.0 of another operator",
        install=_install_typed_scalars,
    ),
    Correction(
        name="integer-division",
        wrong="floor division of integer tensors is a float32 quotient that nothing rounds: "
        "(7 // 2) * 2 is 7, and 16777217 // 1 is 16777216",
        install=_together(
            _override(torch.ops.aten.floor_divide.default, divides_integers, floor_divide),
            _override(torch.ops.aten.div.Tensor_mode, divides_integers, floor_divide),
        ),
    ),
    Correction(
        name="index-put",
        wrong="index_put is not taken, so that F.fold, and with it overlap-add, runs outside "
        "the delegate",
        install=_addition(torch.ops.aten.index_put.default, accumulate_at),
    ),
    Correction(
        name="negative-padding",
        wrong="padding by a negative width, which crops, lowers fully and then cannot run "
        "(F.fold with padding)",
        install=_override(torch.ops.aten.constant_pad_nd.default, crops, crop_and_pad),
    ),
)
