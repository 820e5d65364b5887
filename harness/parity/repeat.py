"""Does exporting twice give the same bytes? A second export, elsewhere, and a comparison."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import MachineError
from harness.process import call_self, complaint
from harness.pte.plan import Span, TensorValue
from harness.pte.program import Program, read_program

__all__ = ["Repeat", "compare_exports", "exported_again"]

_NAMED = 5
"""Parts that a sentence names; the rest are counted."""


@dataclass(frozen=True)
class Repeat:
    """How a second export of the same thing compares with the first.

    Attributes
    ----------
    same
        Every byte is equal.
    benign
        Equal, or the same graphs and weights laid out otherwise: what runs is the same.
    summary
        Which bytes differ, and what that means, in one sentence.
    """

    same: bool
    benign: bool
    summary: str


@contextmanager
def exported_again(arguments: Sequence[str], *, hash_seed: str | None = None) -> Iterator[Path]:
    """Directory of a second export, made by a new process that shares nothing with this one.

    It has an empty cache and another hash seed, so that neither a kept file nor the order of
    a set can make two exports agree by luck.

    Parameters
    ----------
    arguments
        Those of ``voxtral-parity``, `export` first; ``--output-dir`` is added.
    hash_seed
        The other process's ``PYTHONHASHSEED``; one that this process has not, if not given.

    Raises
    ------
    MachineError
        The second export failed, where the first did not.
    """
    with tempfile.TemporaryDirectory(prefix="voxtral-parity-") as name:
        output = Path(name) / "output"
        seed = hash_seed or ("2" if os.environ.get("PYTHONHASHSEED") == "1" else "1")
        done = call_self(
            [*arguments, "--output-dir", output],
            PYTHONHASHSEED=seed,
            VOXTRAL_PARITY_CACHE=str(Path(name) / "cache"),
        )
        if done.returncode != 0:
            raise MachineError(
                f"the second export ended with exit code {done.returncode}: {complaint(done)}"
            )
        yield output


def compare_exports(first: Path, second: Path) -> Repeat:
    """Compare two `.pte` byte by byte, and part by part where they differ.

    Raises
    ------
    ProgramError
        The files differ and one of them is not a program.
    """
    count, offset = _unequal_bytes(first, second)
    if count == 0:
        return Repeat(True, True, f"the same {first.stat().st_size:,} bytes")
    one, two = read_program(first), read_program(second)
    try:
        before, after = _parts(one), _parts(two)
    finally:
        one.close()
        two.close()
    names = dict.fromkeys((*before, *after))
    changed = [name for name in names if before.get(name) != after.get(name)]
    where = f"{count:,} of {first.stat().st_size:,} bytes differ, the first at {offset:,}"
    if not changed:
        return Repeat(
            False,
            True,
            f"{where}; benign: graphs, payloads and weights are the same, only laid out otherwise",
        )
    more = f" and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
    return Repeat(False, False, f"{where}, in {', '.join(changed[:_NAMED])}{more}")


def _unequal_bytes(first: Path, second: Path) -> tuple[int, int]:
    """How many bytes differ, those that only one file has included, and where the first is."""
    one, two = (np.memmap(path, np.uint8, "r") for path in (first, second))
    length = min(one.size, two.size)
    unequal = np.flatnonzero(one[:length] != two[:length])
    beyond = abs(one.size - two.size)
    return unequal.size + beyond, int(unequal[0]) if unequal.size else length


def _parts(program: Program) -> Mapping[str, object]:
    """Everything that a run reads: graphs with their delegates' payloads, and weights."""

    def content(where: Span | bytes | None) -> str | None:
        return None if where is None else hashlib.sha256(program.data(where)).hexdigest()

    parts: dict[str, object] = {}
    for method, plan in program.plans.items():
        values = [
            (value.scalar_type, value.sizes, value.dim_order, value.dynamic, content(value.data))
            if isinstance(value, TensorValue)
            else value
            for value in plan.values
        ]
        parts[f"plan of {method}"] = (values, plan.inputs, plan.outputs, plan.instructions)
        for index, delegate in enumerate(plan.delegates):
            parts[f"delegate {index} of {method}"] = (delegate.backend, content(delegate.payload))
    for name, where in program.named_data.items():
        parts[f"weight {name}"] = content(where)
    return parts
