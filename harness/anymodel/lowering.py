"""A traced model → `.pte`, kept in the cache under what it was made from."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from harness.anymodel.model import ENTRY
from harness.anymodel.tracing import Traced
from harness.cache import Recipe, digest_of, hold, maker, read_or_make
from harness.errors import HarnessError
from harness.export.artifacts import LOWERED, LOWERED_BY, STACK, Artifact, is_refusal
from harness.export.graph_nodes import described, without_sources
from harness.files import file_digest, read_json
from harness.upstream import parts, quiet

__all__ = ["given", "lower", "program_facts", "weights_digest"]

_FILE, _ABOUT = "model.pte", "about.json"


class _RefusedError(Exception):
    """The exporter refused the program."""


def lower(
    traced: Traced,
    without: tuple[str, ...] = (),
    *,
    fresh: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Artifact:
    """Lower a program to MLX, or find it in the cache; `failures` says why it cannot be."""
    recipe = _recipe(traced, without)
    origin = "cached"

    def make(scratch: Path) -> None:
        nonlocal origin
        started = time.perf_counter()
        try:
            _lower(traced.program, scratch / _FILE, without)
        except Exception as error:
            if not is_refusal(error):
                raise
            raise _RefusedError(f"{type(error).__name__}: {error}".strip()) from error
        about = {
            "bytes": (scratch / _FILE).stat().st_size,
            "sha256": file_digest(scratch / _FILE),
            "seconds": round(time.perf_counter() - started, 3),
        }
        (scratch / _ABOUT).write_text(json.dumps(about))
        origin = "exported"

    path = hold(recipe) / _FILE
    try:
        about = read_or_make(recipe, make, _about, fresh=fresh, progress=progress)
    except _RefusedError as error:
        return Artifact(_FILE, path, 0, "", 0.0, "exported", {traced.model.title: str(error)})
    return Artifact(_FILE, path, origin=origin, failures={}, **about)


def given(traced: Traced) -> Artifact:
    """The file that the user exported from the model."""
    path = Path(str(traced.model.pte))
    return Artifact(path.name, path, path.stat().st_size, file_digest(path), 0.0, "given", {})


def _about(entry: Path) -> dict[str, Any] | None:
    """What was written of the lowering; None where that, or the program, is damaged."""
    kinds = {"bytes": int, "sha256": str, "seconds": float}
    try:
        about = read_json(entry / _ABOUT, _ABOUT)
        whole = isinstance(about, dict) and {name: type(about[name]) for name in about} == kinds
        return about if whole and file_digest(entry / _FILE) == about["sha256"] else None
    except HarnessError:
        return None


def _lower(program: ExportedProgram, path: Path, without: tuple[str, ...]) -> None:
    from harness.export.lower import lower_to_mlx

    with quiet():
        lower_to_mlx({ENTRY: program}, {}, path, without=without)


def _recipe(traced: Traced, without: tuple[str, ...]) -> Recipe:
    facts = program_facts(traced.program, traced.precision, without)
    brief = f"{traced.model.title}, {traced.precision}" + "".join(f", without {w}" for w in without)
    return Recipe("models", _FILE, facts, brief, "exporting")


def program_facts(
    program: ExportedProgram, precision: str, without: Collection[str] = ()
) -> dict[str, Any]:
    """All that the lowered file and the names beside it depend on, as facts of a cache's key.

    `precision` is the precision's name and `without` the corrections left out.
    """
    with without_sources([program]):
        text = re.sub(r"0x[0-9a-f]+", "", str(program))
    # The names beside the file also tell the module and the model's line of each node.
    nodes = [astuple(described(node)) for node in program.graph.nodes if node.op == "call_function"]
    return {
        "program": digest_of(f"{text}\n{json.dumps(nodes)}".encode()),
        "weights": f"sha256:{weights_digest(program)}",
        "without": sorted(without),
        "precision": precision,
        **maker(
            "harness.export.lower",
            stack=STACK,
            packages=parts(*LOWERED, *LOWERED_BY["mlx"], quantized="4w" in precision),
        ),
    }


def weights_digest(program: ExportedProgram) -> str:
    """SHA-256 over a program's weights and constants, in hex."""
    digest = hashlib.sha256()
    for name, value in sorted({**program.state_dict, **program.constants}.items()):
        digest.update(name.encode())
        for part in _plain(value):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.detach().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _plain(value: Any) -> Iterator[Tensor]:
    """The tensors that hold a value's numbers: several of a quantised weight."""
    if not isinstance(value, Tensor):
        return
    if hasattr(value, "qdata"):
        for name in ("qdata", "scale", "zero_point"):
            yield from _plain(getattr(value, name, None))
    else:
        yield value
