"""Imports between the parts of `harness/` point downwards, and no modules form a circle.

Every import counts: inside functions and under ``TYPE_CHECKING`` too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "harness"

ORDER = """
    errors arrays values fingerprint files memory threads process upstream
    cache
    compare
    checkpoint
    methods budget
    synthesis
    pte
    reference
    export
    float64
    runtime runner
    asr golden report
    parity
    localize bundle
    anymodel
    bench conformance
    zoo
    plugin
    e2e cli
"""
"""From low to high; each may import what stands before it, on its own line too."""

NO_TORCH = {"compare", "budget", "golden", "report", "pte"}
"""Parts that import neither torch nor executorch nor mlx."""

RANK = {part: rank for rank, part in enumerate(ORDER.split())}


def imports(tree: ast.AST, modules: set[str]) -> Iterator[tuple[str, int]]:
    """The full name and the line of every import, a module where one of that name exists."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, "relative imports are not used here"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module, node.lineno


@cache
def sources() -> dict[str, ast.AST]:
    """Syntax tree by module name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def part(module: str) -> str | None:
    """``harness.pte.plan`` is of the part `pte`; None for the package itself and for others."""
    names = module.split(".")
    return names[1] if names[0] == "harness" and len(names) > 1 else None


def upward(trees: Mapping[str, ast.AST], rank: Mapping[str, int]) -> list[str]:
    """One sentence for each import that points upwards."""
    offences = []
    for module, tree in trees.items():
        here = part(module)
        for name, line in imports(tree, set(trees)):
            there = part(name)
            if here and there and here != there and rank[there] >= rank[here]:
                offences.append(f"{module}, line {line}: {here} imports {name}, which is above it")
    return offences


def circle(trees: Mapping[str, ast.AST]) -> list[str]:
    """Names of modules that import one another in a circle; empty if none do."""
    graph = {
        module: {name for name, _ in imports(tree, set(trees)) if name in trees and name != module}
        for module, tree in trees.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_part_has_a_place() -> None:
    assert {part(module) for module in sources()} - {None} == set(RANK)


def test_nothing_imports_upwards() -> None:
    offences = upward(sources(), RANK)
    assert not offences, "\n".join(offences)


def test_no_modules_form_a_circle() -> None:
    found = circle(sources())
    assert not found, " → ".join(found)


@pytest.mark.parametrize("name", sorted(NO_TORCH))
def test_the_judging_parts_import_no_framework(name: str) -> None:
    trees = {module: tree for module, tree in sources().items() if part(module) == name}
    frameworks = {"torch", "torchao", "executorch", "mlx"}
    offences = [
        f"{module}, line {line}: imports {imported}"
        for module, tree in trees.items()
        for imported, line in imports(tree, set(trees))
        if imported.split(".")[0] in frameworks
    ]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize(
    "text",
    [
        "import harness.b.two",
        "def function():\n    from harness.b import two",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from harness.b.two import Name",
    ],
    ids=["plain", "in a function", "for types alone"],
)
def test_an_upward_import_and_a_circle_are_found(text: str) -> None:
    trees = {
        "harness.a.one": ast.parse(text),
        "harness.b.two": ast.parse("import harness.a.one"),
    }
    assert len(upward(trees, {"a": 0, "b": 1})) == 1
    assert set(circle(trees)) == {"harness.a.one", "harness.b.two"}
