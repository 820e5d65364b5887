"""Put something else in the place of what upstream has, for the length of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Handler", "handled", "listed_once", "patched", "registry"]

Handler = Callable[[Any, Any], Any]
"""Lowers a node: called with upstream's program builder and the node."""


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """`owner.name` is `value` in the block, and behind it what stood there, class methods too."""
    stock = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, stock)


@contextmanager
def listed_once() -> Iterator[None]:
    """Lower in three quarters of the time.

    torch looks up every composite operator dozens of times a lowering, so that ``torch.ops`` has
    them all; where no library registered another one since, it has.
    """
    import torch
    import torch._export.utils as utils

    stock = getattr(utils, "_materialize_cpp_cia_ops", None)
    if stock is None:  # another torch
        yield
        return
    looked_up: list[str] = []

    def look_up() -> None:
        key = "CompositeImplicitAutograd"
        now = torch._C._dispatch_get_registrations_for_dispatch_key(key)
        if now != looked_up:
            stock()
            looked_up[:] = now

    with patched(utils, "_materialize_cpp_cia_ops", look_up):
        yield


def registry() -> Any:
    """Upstream's registry of handlers, filled."""
    from executorch.backends.mlx import ops as _registers_handlers  # noqa: F401
    from executorch.backends.mlx.builder.op_registry import REGISTRY

    return REGISTRY


@contextmanager
def handled(
    target: Any,
    handler: Handler | None = None,
    handles: Callable[[Any], bool] | None = None,
    around: Callable[[Handler], Handler] | None = None,
) -> Iterator[None]:
    """`handler` for the nodes of `target` that `handles` picks; for all where stock takes none.

    In the place of a handler, `around` makes one of stock's own.
    """
    known = registry()
    stock: Any = known._handlers.get(target)
    check = known._support_checks.get(target)
    own: Any = handler if around is None else around(stock)

    def corrected(builder: Any, node: Any) -> Any:
        return (own if handles is None or handles(node) else stock)(builder, node)

    if stock is not None:
        known.unregister(target)  # `register` refuses a taken target
    known.register(target)(corrected)
    try:
        yield
    finally:
        known.unregister(target)
        if stock is not None:
            known.register(target)(stock)
        if check is not None:
            known.register_support_check(target)(check)
