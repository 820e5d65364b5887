"""Upstream's test modules, opened on any machine.

Two imports stand in the way of them, neither for what the cases test: a package initialiser that
needs torchtune, and a Hugging Face cache class that needs transformers. The first is stepped
over. For the second a stand-in is imported, and the few cases that really use it say so, unless
transformers is installed (`pyproject.toml`, group ``conformance``).
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.conformance.cases import Case
from harness.errors import UnavailableError
from harness.upstream import enable_mlx_exporter, package_directory, quiet

__all__ = ["cases", "instance", "open_utils"]

_MLX = "executorch.backends.mlx"
_UTILS = f"{_MLX}.test.test_utils"

# Suite → module. The op suite registers its classes; the others only define them.
_MODULES = {
    "ops": f"{_MLX}.test.test_ops",
    "gated_delta_rule": f"{_MLX}.custom_kernel_ops.test.test_gated_delta_rule",
    "tq4_compress": f"{_MLX}.custom_kernel_ops.test.test_tq4_compress",
    "tq_dequant": f"{_MLX}.custom_kernel_ops.test.test_tq_dequant",
    "tq_norm": f"{_MLX}.custom_kernel_ops.test.test_tq_norm",
    "gguf.embedding": f"{_MLX}.custom_kernel_ops.gguf.test.test_embedding",
    "gguf.linear": f"{_MLX}.custom_kernel_ops.gguf.test.test_linear",
    "sample": f"{_MLX}.test.test_sample",
}
# Its other classes test eager code and start no runner.
_SAMPLE = "TestSampleEndToEnd"


@cache
def open_utils() -> Any:
    """Upstream's `test_utils`, with every suite imported; `UnavailableError` without them."""
    enable_mlx_exporter()
    _step_over_torchtune()
    _stand_in_for_transformers()
    with quiet():
        try:
            for module in _MODULES.values():
                importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise UnavailableError(
                f"upstream's MLX test suite cannot be imported ({error}); "
                "install the executorch that pyproject.toml pins"
            ) from error
    return sys.modules[_UTILS]


def cases() -> list[Case]:
    """Every configuration of every suite, in upstream's order."""
    found = []
    for suite in _MODULES:
        seen: Counter[str] = Counter()
        for group, kind in _classes(suite).items():
            for index, configuration in enumerate(_configurations(kind)):
                name = configuration.name
                seen[name] += 1
                label = name if seen[name] == 1 else f"{name}#{seen[name]}"
                found.append(Case(suite, group, index, label))
    return found


def instance(case: Case) -> Any:
    """Upstream's `OpTestCase` of a case, made afresh."""
    return _configurations(_classes(case.suite)[case.group])[case.index]


@cache
def _classes(suite: str) -> dict[str, Any]:
    """Test classes of a suite by upstream's name."""
    utils = open_utils()
    if suite == "ops":
        return dict(utils._TEST_REGISTRY)
    module = sys.modules[_MODULES[suite]]
    if suite == "sample":
        units: Any = getattr(module, _SAMPLE)
        tests = [_Unit(units, name) for name in vars(units) if name.startswith("test_")]
        return {_SAMPLE: types.SimpleNamespace(get_test_configs=lambda: tests)}
    defined: list[Any] = [kind for kind in vars(module).values() if isinstance(kind, type)]
    return {
        kind.name: kind
        for kind in defined
        if issubclass(kind, utils.OpTestCase) and kind.__module__ == module.__name__
    }


@dataclass
class _Unit:
    """A unittest method of upstream's that starts the runner, in the shape of its op tests.

    It lowers into a directory of its own, so that there is nothing to keep, and, as with any op
    test, `tried` assigns the directory.
    """

    kind: Any
    name: str

    def run_test(self) -> bool:
        module = sys.modules[self.kind.__module__]
        # The module holds the function under a name of its own.
        module.run_cpp_test_runner = open_utils().run_cpp_test_runner  # type: ignore[attr-defined]
        self.kind(self.name).debug()  # raises what a test runner would note
        return True


def _configurations(kind: Any) -> list[Any]:
    return kind.get_test_configs() if hasattr(kind, "get_test_configs") else [kind()]


def _step_over_torchtune() -> None:
    """Import `executorch.extension.llm.modules.*` without the package's own initialiser."""
    name = "executorch.extension.llm.modules"
    if name in sys.modules or importlib.util.find_spec("torchtune") is not None:
        return
    package = types.ModuleType(name)
    package.__path__ = [str(package_directory("executorch.extension.llm") / "modules")]
    sys.modules[name] = package


def _stand_in_for_transformers() -> None:
    if importlib.util.find_spec("transformers") is not None:
        return

    class StaticCache:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            raise ModuleNotFoundError("No module named 'transformers'", name="transformers")

    package = types.ModuleType("transformers")
    module = types.ModuleType("transformers.cache_utils")
    package.cache_utils = module  # type: ignore[attr-defined]
    module.StaticCache = StaticCache  # type: ignore[attr-defined]
    sys.modules[package.__name__] = package
    sys.modules[module.__name__] = module
