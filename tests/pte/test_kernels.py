"""The list of kernels is the installed runtime's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness.pte.kernels import runtime_kernels, runtime_lacks

ASK = (
    "from executorch.extension.pybindings import portable_lib as lib; "
    "print(*lib._get_operator_names(), sep='\\n')"
)


@pytest.mark.slow
def test_the_list_is_the_runtimes() -> None:
    command = [sys.executable, "-c", ASK]  # its kernels would stay in this process
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert set(done.stdout.split()) == runtime_kernels()


def test_what_it_lacks_is_named() -> None:
    names = ["aten::exp2.out", "aten::add.out", "aten::cumprod.out", "llama::sdpa.out"]

    assert runtime_lacks(names) == ["aten::cumprod.out", "aten::exp2.out"]
