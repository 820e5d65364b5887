from __future__ import annotations

import subprocess
import sys

WALK = """
import importlib, pkgutil, sys
for room in ("harness.compare", "harness.golden", "harness.report"):
    package = importlib.import_module(room)
    for module in pkgutil.walk_packages(package.__path__, room + "."):
        importlib.import_module(module.name)
from harness.report import to_text
print(sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_compare_golden_and_report_import_no_framework() -> None:
    found = subprocess.run(
        [sys.executable, "-c", WALK], check=True, capture_output=True, text=True
    ).stdout
    assert "'harness'" in found
    assert "'numpy'" in found
    for framework in ("torch", "executorch", "mlx"):
        assert f"'{framework}'" not in found
