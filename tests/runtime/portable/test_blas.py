"""MLX borrows torch's BLAS before it is imported, unless told not to."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fixtures.rooms import Room
from harness.runtime.portable.blas import BLAS

REPORT = (
    "from harness.runtime.portable import PortableExecutor as E; print(E().fingerprint.notes[0])"
)


def note(before: str = "", **variables: str) -> str:
    environment = {**os.environ, **variables}
    run = subprocess.run(
        [sys.executable, "-c", before + REPORT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return run.stdout.strip()


@pytest.mark.skipif(sys.platform != "linux", reason="only MLX's Linux wheel has a reference BLAS")
def test_torchs_blas_is_lent_on_linux() -> None:
    assert note() == "BLAS: torch's, lent to MLX"


@pytest.mark.skipif(sys.platform != "linux", reason="only MLX's Linux wheel has a reference BLAS")
def test_these_tests_run_on_it() -> None:
    """A test module that imports `mlx.core` by itself would take it from all the others."""
    assert BLAS == "BLAS: torch's, lent to MLX"


@pytest.mark.skipif(sys.platform != "linux", reason="only MLX's Linux wheel has a reference BLAS")
def test_the_loan_can_be_switched_off() -> None:
    assert "MLX's own (VOXTRAL_PARITY_STOCK_BLAS=1)" in note(VOXTRAL_PARITY_STOCK_BLAS="1")


@pytest.mark.skipif(sys.platform != "linux", reason="only MLX's Linux wheel has a reference BLAS")
def test_a_loan_that_comes_too_late_is_told() -> None:
    assert "mlx.core was imported before" in note("import mlx.core; ")


def test_torch_is_not_imported() -> None:
    code = "import sys, harness.runtime.portable.executor; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


@pytest.mark.skipif(sys.platform != "linux", reason="torch's library brings OpenMP on Linux")
@pytest.mark.parametrize(("given", "taken"), [(None, "PASSIVE"), ("active", "ACTIVE")])
def test_openmp_is_told_to_wait_asleep_before_it_reads_that(given: str | None, taken: str) -> None:
    environment = {**os.environ, "OMP_DISPLAY_ENV": "true"}
    environment.pop("OMP_WAIT_POLICY", None)
    if given is not None:
        environment["OMP_WAIT_POLICY"] = given
    run = subprocess.run(
        [sys.executable, "-c", "import harness.runtime.portable.blas"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"OMP_WAIT_POLICY = '{taken}'" in run.stderr


IN_A_ROOM = """
from types import SimpleNamespace as Node
import numpy as np
from harness.runtime.portable.blas import BLAS, mx
from harness.runtime.portable.ops_linear import OPS, _conv1d
from harness.runtime.portable.products import product

random = np.random.default_rng(1)
array = lambda *shape: mx.array(random.standard_normal(shape).astype(np.float32))
print(BLAS)
for a, b in [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 7, 3, 4), (2, 7, 4, 5))]:
    a, b = array(*a), array(*b)
    assert np.allclose(product(a, b), a @ b, atol=1e-5)
try:
    product(array(3, 4), array(5, 6))
except Exception as error:
    print(type(error).__name__)
for stride, padding, taps in [(1, 0, 3), (1, 2, 3), (2, 0, 4), (3, 1, 2)]:
    x, w = array(2, 11, 6), array(5, taps, 6)
    tensors = Node(fp32_weights={}, tensor=lambda value: value)
    node = Node(x=x, w=w, stride=stride, padding=padding, dilation=1, groups=1)
    ours, theirs = OPS["Conv1DNode"](node, tensors), _conv1d(node, tensors)
    assert ours.shape == theirs.shape
    assert np.allclose(ours, theirs, atol=1e-5)
    wrong = Node(**{**vars(node), "w": array(5, taps, 7)})
    try:
        OPS["Conv1DNode"](wrong, tensors)
    except Exception as error:
        print(type(error).__name__)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only MLX's Linux wheel has a reference BLAS")
def test_without_torch_the_fast_routes_multiply_with_numpys(mlx_room: Room) -> None:
    assert mlx_room.lacks("torch", "executorch")
    done = mlx_room.run("-c", IN_A_ROOM)
    assert done.returncode == 0, done.stderr
    told, *refusals = done.stdout.splitlines()
    assert told == "BLAS: numpy's in the fast routes, as torch is not installed"
    assert refusals == ["ExecutionError"] * 5  # MLX's own
