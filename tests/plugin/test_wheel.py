"""A stranger's environment: the wheel, pytest, and no checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.plugin.test_parity import RED

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

FACTORY = """
import torch

def make():
    return torch.nn.Linear(4, 4), (torch.eye(4),)
"""

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Typed:
    """Run a program of a fresh environment, in a directory of its own with the examples.

    torch, executorch and the like are those of this environment, so that gigabytes need not be
    installed again; the package itself comes from the wheel.
    """
    root = tmp_path_factory.mktemp("stranger")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(root), str(ROOT)], check=True)
    (wheel,) = root.glob("voxtral_parity-*.whl")
    home = root / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    install = [*pip, "--python", str(python), "install", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    shutil.copytree(ROOT / "examples", root / "work")
    (root / "work" / "factory.py").write_text(FACTORY)
    (root / "work" / "wrong.py").write_text(RED)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}

    def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(home / "bin" / program), *arguments],
            cwd=root / "work",
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_package_is_the_wheels(typed: Typed) -> None:
    told = typed("python", "-c", "import harness; print(harness.__file__)").stdout
    assert "venv" in told
    assert str(ROOT) not in told


def test_the_examples_are_green(typed: Typed) -> None:
    done = typed("python", "-m", "pytest", "-q", ".")
    assert done.returncode == 0, done.stdout + done.stderr
    passed = int(done.stdout.strip().splitlines()[-1].split(" passed")[0].split()[-1])
    assert passed >= 2  # the third needs transformers


def test_a_red_one_names_the_operator(typed: Typed) -> None:
    done = typed("python", "-m", "pytest", "-q", "wrong.py")
    assert done.returncode == 1
    assert "the lowering is at fault, at aten.sort.default" in done.stdout


def test_the_command(typed: Typed) -> None:
    done = typed("voxtral-parity", "model", "factory.py:make", "--executor", "portable")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every verdict passed" in done.stdout
