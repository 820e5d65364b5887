"""Append instructions to an MLX program that is being built."""

from __future__ import annotations

from functools import cache
from typing import Any, get_type_hints

__all__ = ["emit"]


def emit(builder: Any, kind: str, out: Any = None, **fields: Any) -> Any:
    """Append a node of upstream's `kind` and return the slot that it writes.

    That is `out`, or a temporary tensor. Slots and numbers among `fields`, and lists of them, are
    put into the form that the schema asks for.
    """
    from executorch.backends.mlx.serialization import mlx_graph_schema

    slot = builder.make_tmp_slot()[1] if out is None else out
    node = getattr(mlx_graph_schema, kind)
    given = {"out": slot, **fields}
    builder.emit(node(**{name: _field(builder, _forms(node)[name], given[name]) for name in given}))
    return slot


@cache
def _forms(node: type) -> dict[str, str]:
    """Field of a node → its type in words."""
    return {name: str(hint) for name, hint in get_type_hints(node).items()}


def _field(builder: Any, form: str, value: Any) -> Any:
    if isinstance(value, list):
        return [_field(builder, form, item) for item in value]
    makers = {
        "IntOrVidOrTid": builder.to_int_or_vid_or_tid,
        "IntOrVid": builder.to_int_or_vid,
        "Tid": builder.slot_to_tid,
        "Vid": builder.slot_to_vid,
    }
    return next((make(value) for name, make in makers.items() if name in form), value)
