"""What a module depends on is found by reading import lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import harness
from harness.cache import closure, sources
from harness.cache.sources import package_sources

ROOT = Path(harness.__file__).parent


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import harness.a.b", [("harness.a.b", "", "harness.a.b")]),
        ("from harness.a import b", [("harness.a", "b", "b")]),
        ("    from harness.a import b as c, d", [("harness.a", "b", "c"), ("harness.a", "d", "d")]),
        (
            "from harness.a import (  # why\n    b,  # noqa\n    c as d,\n)\n",
            [("harness.a", "b", "b"), ("harness.a", "c", "d")],
        ),
        ("from harness import cache", [("harness", "cache", "cache")]),
        ('"""Words on harness.a and its import."""', []),
        ("from other import harness", []),
    ],
)
def test_import_lines_are_read(source: str, found: list[tuple[str, str, str]]) -> None:
    assert list(sources._imports(source.encode())) == found


def test_imports_inside_functions_count() -> None:
    assert "export/lower.py" in closure("harness.export.artifacts")


def test_a_name_that_a_front_re_exports_leads_to_its_home_alone() -> None:
    found = closure("harness.checkpoint.loading")  # imports harness.checkpoint.Checkpoint

    assert "checkpoint/__init__.py" not in found
    assert "checkpoint/opening.py" in found


def test_what_stores_and_reports_is_not_followed() -> None:
    found = closure("harness.export.artifacts")

    assert not [name for name in found if name.startswith(("cache/", "files", "errors"))]


def test_a_module_that_is_no_longer_there_is_an_error() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"harness\.gone is no module"):
        closure("harness.gone")
    with pytest.raises(ModuleNotFoundError, match=r"harness\.gone is no module"):
        closure("harness.export.lower", without=("harness.gone",))


def test_the_scan_finds_what_the_compiler_finds() -> None:
    """Every import of ours in every module, function-level ones included."""
    for file in ROOT.rglob("*.py"):
        expected = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("harness"):
                expected |= {(node.module, name.name) for name in node.names}
            elif isinstance(node, ast.Import):
                names = (name.name for name in node.names)
                expected |= {(name, "") for name in names if name.startswith("harness")}
        found = {(module, name) for module, name, _ in sources._imports(file.read_bytes())}
        assert expected <= found, file


def test_fronts_of_packages_only_re_export() -> None:
    """`closure` steps over them: what else one did on import would be missing from keys."""
    busy = []
    for file in ROOT.rglob("__init__.py"):
        for node in ast.parse(file.read_text("utf-8")).body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            listed = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            if not (text or listed or isinstance(node, (ast.Import, ast.ImportFrom))):
                busy.append(file.relative_to(ROOT).as_posix())
    # These import their parts when they are asked for; nothing cached is made by any.
    lazy = {"runtime/portable/__init__.py", "plugin/__init__.py", "cli/__init__.py"}
    assert set(busy) <= lazy


def test_all_of_the_package_is_read() -> None:
    modules = [name for name in sources._modules() if not name.startswith("harness.cache")]

    assert len(sources._closure(tuple(modules), ())) > 100


def test_sources_of_a_package_leave_tests_out_unless_named() -> None:
    without = package_sources("executorch", "backends/mlx")
    named = package_sources("executorch", "backends/mlx/test")

    assert "backends/mlx/ops.py" in without
    assert not [name for name in without if "/test/" in name or "/third-party/" in name]
    assert "backends/mlx/test/test_ops.py" in named
    with pytest.raises(OSError, match="No such file"):
        package_sources("executorch", "no/such/part")
