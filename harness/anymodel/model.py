"""What is judged: any module, the calls that are made of it, and what does not matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any

from harness.errors import InputError, brief

__all__ = ["ENTRY", "Call", "Ignored", "Model", "as_model", "entry_of"]

ENTRY = "forward"
"""Name of the method in a file that the harness exports."""


def entry_of(names: Sequence[str]) -> str:
    """Which of a file's methods is called; `InputError` where several could be."""
    if ENTRY in names or not names:
        return ENTRY
    if len(names) == 1:
        return names[0]
    raise InputError(f"the .pte must have a method {ENTRY} (it has {', '.join(names)})")


class Call:
    """The arguments of one call: ``Call(x, mask=mask)`` stands for ``module(x, mask=mask)``."""

    def __init__(self, /, *args: Any, **kwargs: Any) -> None:
        self.args, self.kwargs = args, kwargs

    @classmethod
    def of(cls, value: Any) -> Call:
        """A call, or a tuple of positional arguments, as a call."""
        if isinstance(value, cls):
            return value
        if isinstance(value, tuple | list):
            return cls(*value)
        raise InputError(
            f"a call must be a tuple of arguments or Call(…) (got {type(value).__name__}); "
            "write (x,) for one argument"
        )


@dataclass(frozen=True)
class Ignored:
    """Elements of an output that do not matter.

    Attributes
    ----------
    where
        Boolean tensor that broadcasts to the output, True where an element does not matter; or a
        function that makes it from the `Call`.
    reason
        Why they do not matter; the verdict repeats it.
    output
        Number of the output, counted over the tensors of the returned tree.
    """

    where: Any
    reason: str
    output: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str):
            raise InputError(
                f"Ignored.reason must be a text (got {type(self.reason).__name__}); write "
                "Ignored(where, reason, output)"
            )
        if not self.reason.strip():
            raise InputError("Ignored needs a reason: say why these elements do not matter")
        if not isinstance(self.output, int):
            raise InputError(f"Ignored.output must be a number (got {brief(self.output)})")


@dataclass(frozen=True)
class Model:
    """A module and how it is called.

    Attributes
    ----------
    module
        `torch.nn.Module`, or `torch.export.ExportedProgram`.
    args, kwargs
        Of the example call, with which the module is exported. Trees of tensors are allowed.
    calls
        Calls after the first, in order, each in the state that the one before left (mutated
        buffers, such as KV caches).
    examples
        Other calls, each from a fresh state: other shapes, other values. A list of calls is a
        sequence.
    dynamic_shapes
        As `torch.export.export` takes them.
    ignored
        Elements that do not matter; a single `Ignored` needs no list.
    pte
        A file that was exported from `module`; None: it is exported here.
    partial
        Whether operators may stay outside the MLX delegate.
    name
        In reports; the class's name by default.
    """

    module: Any
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    calls: Sequence[Any] = ()
    examples: Sequence[Any] = ()
    dynamic_shapes: Any = None
    ignored: Sequence[Ignored] = ()
    pte: str | Path | None = None
    partial: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.args, tuple | list):
            raise InputError(
                f"args must be a tuple of arguments (got {type(self.args).__name__}); write (x,) "
                "for one argument"
            )
        if self.kwargs is None:
            object.__setattr__(self, "kwargs", {})
        if isinstance(self.ignored, Ignored):
            object.__setattr__(self, "ignored", (self.ignored,))
        if not isinstance(self.kwargs, Mapping):
            raise InputError(
                f"kwargs must be a dict of arguments by name (got {type(self.kwargs).__name__})"
            )
        for key in self.kwargs:
            if not isinstance(key, str):
                raise InputError(f"kwargs must have names as keys (got {brief(key)})")
        if self.name is not None and not isinstance(self.name, str):
            raise InputError(f"name must be a text (got {type(self.name).__name__})")
        if self.pte is not None and not isinstance(self.pte, str | PathLike):
            raise InputError(
                f"pte must be the path of a file (got {type(self.pte).__name__}); leave it out to "
                "have the module exported"
            )
        for name, what in (("calls", "calls"), ("examples", "calls"), ("ignored", "Ignored(…)")):
            value = getattr(self, name)
            if not isinstance(value, tuple | list):
                raise InputError(f"{name} must be a list of {what} (got {type(value).__name__})")
        for one in self.ignored:
            if not isinstance(one, Ignored):
                raise InputError(
                    f"ignored must be a list of Ignored(where, reason) (got {type(one).__name__} "
                    "in it)"
                )
        if any(isinstance(example, list) and not example for example in self.examples):
            raise InputError(
                "an example must be a call, or a list of calls (got an empty list); write () for "
                "a call without arguments"
            )

    @property
    def title(self) -> str:
        """What reports call it."""
        return self.name or type(self.module).__name__

    @property
    def sequences(self) -> list[list[Call]]:
        """The calls of each case, the example's first."""
        first = [Call(*self.args, **self.kwargs), *map(Call.of, self.calls)]
        others = [
            [Call.of(call) for call in example] if isinstance(example, list) else [Call.of(example)]
            for example in self.examples
        ]
        return [first, *others]


def as_model(made: Any, name: str = "", **options: Any) -> Model:
    """What a factory returned as a `Model`.

    Parameters
    ----------
    made
        A `Model`, or a tuple (module, args) or (module, args, kwargs).
    name
        For a model that has none.
    options
        Put in the place of the model's own fields.
    """
    if isinstance(made, tuple) and len(made) in (2, 3):
        made = Model(*made)
    if not isinstance(made, Model):
        raise InputError(
            "the factory must return (module, args), (module, args, kwargs) or a Model "
            f"(got {brief(type(made).__name__)})"
        )
    return replace(made, name=made.name or name, **options)


Masker = Callable[[Call], Any]
