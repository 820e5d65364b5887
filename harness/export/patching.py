"""Put something else in the place of what upstream has, for the length of a block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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


_LOOKED_UP: list[str] = []
"""The composite operators that ``torch.ops`` has, of this process."""


@contextmanager
def listed_once() -> Iterator[None]:
    """Lower small programs in two thirds of the time.

    torch asks its dispatcher dozens of times a lowering which composite operators there are, and
    looks each up, so that ``torch.ops`` has them all; where no library registered another one
    since, it has. It then overrides each some dozens of times, and evaluates the annotation
    ``Callable[_P, _T]`` every time, which `typing` keeps and `collections.abc` does not.
    """
    import typing

    import torch
    import torch._export.utils as utils
    import torch.export.decomp_utils as decompositions
    import torch.export.exported_program as programs

    name, look_up = "_collect_all_valid_cia_ops", "_materialize_cpp_cia_ops"
    stock, places = utils.__dict__.get(look_up), (programs, decompositions)
    if stock is None or any(name not in place.__dict__ for place in places):  # another torch
        yield
        return

    def collect() -> Any:
        key = "CompositeImplicitAutograd"
        now = torch._C._dispatch_get_registrations_for_dispatch_key(key)
        if now != _LOOKED_UP:
            stock()
            _LOOKED_UP[:] = now
        with patched(utils, look_up, lambda: None):
            return utils._collect_all_valid_cia_ops()

    with ExitStack() as stack:
        for place in places:
            stack.enter_context(patched(place, name, collect))
        if "Callable" in torch._ops.__dict__:
            stack.enter_context(patched(torch._ops, "Callable", typing.Callable))
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
