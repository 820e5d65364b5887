"""MLX borrows torch's BLAS before it is imported, unless told not to."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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
def test_the_loan_can_be_switched_off() -> None:
    assert "MLX's own (VOXTRAL_PARITY_STOCK_BLAS=1)" in note(VOXTRAL_PARITY_STOCK_BLAS="1")


@pytest.mark.skipif(sys.platform != "linux", reason="only MLX's Linux wheel has a reference BLAS")
def test_a_loan_that_comes_too_late_is_told() -> None:
    assert "mlx.core was imported before" in note("import mlx.core; ")


def test_torch_is_not_imported() -> None:
    code = "import sys, harness.runtime.portable.executor; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
