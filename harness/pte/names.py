"""What an export says of its instructions, as `harness.export.node_names` wrote it beside a `.pte`.

A `.pte` names weights and nothing else: what an instruction stands for, and the type and shape of
a temporary, are lost when it is written. They are kept in ``model.nodes.json`` next to
``model.pte``::

    {"schema": 3, "sha256": "<of the .pte>", "methods": {"forward": {
        "delegates": [{
            "payload": "<sha256 of the delegate's payload>",
            "instructions": [[chain, index, edge node, exported node, module], …],
            "values": [[exported node, chain, index, output], …],
            "types": [[chain, index, output, numpy's dtype, [size or null, …]], …]}, …],
        "kernels": [[plan instruction, edge node, exported node, module], …],
        "nodes": {"<exported node>": [operator, module, source line, [[size, …], …]], …}}}}

`values` says which instruction makes the value of an exported node: one that was lowered to
several instructions has the last of them, and a view that costs no instruction has that of what
it views. `types` are those of the graph that was lowered; a size that a call decides is null, and
an instruction that stands for no node has none. `nodes` tell of the exported nodes that are named
which operator each is, the line of the model that it comes from, and the shapes of its arguments
and its result; a size that a call decides is -1. Files of schema 1 have no `types`, and those of
schema 1 and 2 no `nodes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import InputError, brief
from harness.files import file_digest, read_json
from harness.pte.plan import DelegateCall
from harness.pte.program import Program

__all__ = ["SCHEMA", "GraphNode", "Origin", "StepNames", "as_exported", "names_file", "read_names"]

SCHEMA = 3
_OLDEST = 1

Place = tuple[int, int | None, int | None]
"""Plan instruction; chain and index in a delegate, or None and None for a kernel."""

ValueType = tuple[str, tuple[int | None, ...]]
"""numpy's name of a type, and a shape; None where a call decides a size."""


@dataclass(frozen=True)
class Origin:
    """The node of the lowered graph that an instruction computes, and what that came from.

    `node` is of the exported graph, `module` the path of its caller: ``layers.0.attention``.
    """

    edge: str
    node: str | None
    module: str | None


@dataclass(frozen=True)
class GraphNode:
    """One node of the exported graph.

    Attributes
    ----------
    target
        The operator: ``aten.linear.default``.
    module
        Path of the module that computes it; empty where none is known.
    source
        File, line and text of the model's code; empty where torch does not tell.
    shapes
        Of its tensor arguments, in order, then of its result; -1 for a size that a call decides.
    """

    target: str
    module: str
    source: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class StepNames:
    """Names in one method.

    Attributes
    ----------
    origins
        Place → what was computed there.
    values
        Exported node → place, and number of the output there, that is its value.
    types
        Place and number of the output there → its type and shape; empty in files of schema 1.
    nodes
        Exported node → what is known of it; empty in files of schema 1 and 2.
    """

    origins: Mapping[Place, Origin] = field(default_factory=dict)
    values: Mapping[str, tuple[Place, int]] = field(default_factory=dict)
    types: Mapping[tuple[Place, int], ValueType] = field(default_factory=dict)
    nodes: Mapping[str, GraphNode] = field(default_factory=dict)


def names_file(pte: Path) -> Path:
    """Where the names of an export lie: ``model.nodes.json`` for ``model.pte``."""
    return pte.with_suffix(".nodes.json")


def as_exported(pte: Path) -> bool | None:
    """Whether a file still is what was exported; None where no digest was kept beside it."""
    try:
        wanted = read_json(names_file(pte), "names file")["sha256"]
    except (InputError, LookupError, TypeError):
        return None
    return bool(file_digest(pte) == wanted)


def read_names(program: Program) -> Mapping[str, StepNames]:
    """Names by method; empty where the export left none.

    Raises
    ------
    InputError
        The file belongs to another export, or is damaged.
    """
    path = names_file(program.path)
    if not path.is_file():
        return {}
    try:
        content = read_json(path, "names file")
        if not _OLDEST <= (schema := content["schema"]) <= SCHEMA:
            expected = f"expected {_OLDEST} to {SCHEMA}; export again"
            raise InputError(f"{path} has schema {brief(schema)}, {expected}")
        return {
            name: _of_method(program, name, method, path)
            for name, method in content["methods"].items()
            if name in program.plans
        }
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is damaged ({brief(error)}); export again, or delete it"
        ) from error


def _of_method(program: Program, name: str, content: Any, path: Path) -> StepNames:
    plan = program.plans[name]
    digests = []
    for delegate in plan.delegates:
        with program.data(delegate.payload) as data:
            digests.append(hashlib.sha256(data).hexdigest())
    if digests != [delegate["payload"] for delegate in content["delegates"]]:
        raise InputError(
            f"{path} belongs to another export than {program.path.name}; export again, or delete it"
        )
    origins: dict[Place, Origin] = {}
    values: dict[str, tuple[Place, int]] = {}
    types: dict[tuple[Place, int], ValueType] = {}
    kernels = {kernel[0]: Origin(*kernel[1:]) for kernel in content["kernels"]}
    for position, call in enumerate(plan.instructions):
        if isinstance(call, DelegateCall):
            found = content["delegates"][call.delegate]
            for chain, index, *origin in found["instructions"]:
                origins[position, chain, index] = Origin(*origin)
            for node, chain, index, output in found["values"]:
                values[node] = ((position, chain, index), output)
            for chain, index, output, dtype, shape in found.get("types", ()):
                types[(position, chain, index), output] = (dtype, tuple(shape))
        elif position in kernels:
            place: Place = (position, None, None)
            origins[place] = kernels[position]
            if (made := origins[place].node) is not None:
                values[made] = (place, 0)
    nodes = {
        str(name): GraphNode(
            str(target), str(module), str(source), tuple(tuple(map(int, shape)) for shape in shapes)
        )
        for name, (target, module, source, shapes) in content.get("nodes", {}).items()
    }
    return StepNames(origins, values, types, nodes)
