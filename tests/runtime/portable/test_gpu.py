"""Programs on a GPU: which device runs them, with which kernels, and what is said without one.

A second stream of the CPU stands in for the GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fixtures.command_line import typed
from harness.errors import InputError, MachineError, UnavailableError
from harness.runtime.portable import PortableExecutor
from harness.runtime.portable.blas import mx
from harness.runtime.select import choose


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What stands in for MLX's GPU."""
    stream = mx.new_stream(mx.cpu)
    monkeypatch.setattr(mx, "gpu", stream)
    monkeypatch.setattr(mx, "is_available", lambda device: True)
    monkeypatch.setattr(mx, "device_info", lambda device: {"device_name": "a stand-in"})
    return stream


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "is_available", lambda device: False)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("option", ["--executor", "--require"])
def test_without_a_gpu_one_sentence_says_what_would_provide_it(
    option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "check", "token_embedding", option, "portable:gpu") == 2

    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("voxtral-parity: the executor portable:gpu is not available: mlx ")
    assert "has no GPU here" in said
    assert "mlx[cuda]" in said


@pytest.mark.usefixtures("gpu")
def test_a_gpu_that_cannot_add_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*given: Any) -> Any:
        raise MachineError("[METAL] Command buffer execution failed: Device was lost")

    monkeypatch.setattr(mx, "add", lost)
    with pytest.raises(UnavailableError, match=r"cannot add two numbers: .*lost"):
        choose("portable:gpu")


@pytest.mark.usefixtures("gpu")
def test_chosen_by_name_it_asks_mlx_for_float32_products_as_native_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLX_ENABLE_TF32", "")
    monkeypatch.delenv("MLX_ENABLE_TF32")

    fingerprint = choose("portable:gpu").fingerprint

    assert fingerprint.executor == "portable:gpu"
    assert fingerprint.device.startswith("a stand-in (")
    assert fingerprint.notes[0] == "MLX_ENABLE_TF32=0: float32 matrix products in full float32"


def test_every_step_runs_on_the_chosen_device(gpu: Any, exported: Callable[[str], Any]) -> None:
    program = exported("convolutions")
    method, inputs, expected = program.calls[0]
    seen: dict[bool, set[Any]] = {}
    for on_gpu in (True, False):
        executor = PortableExecutor(gpu=on_gpu)
        executor.load(program.path)
        streams = seen.setdefault(on_gpu, set())

        def note(*step: Any, streams: set[Any] = streams) -> None:
            streams.add(str(mx.default_stream(mx.cpu)))

        (output,) = executor.call(method, inputs, observer=note)
        np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5)

    assert seen[True] == {str(gpu)}
    assert seen[False] == {str(mx.default_stream(mx.cpu))}


@pytest.mark.usefixtures("gpu")
def test_it_runs_mlxs_own_kernels(exported: Callable[[str], Any]) -> None:
    program = exported("quantized")
    method, inputs, _ = program.calls[0]
    made = {}
    for name, options in {"gpu": {"gpu": True}, "own": {"faithful": True}, "fast": {}}.items():
        executor = PortableExecutor(**options)
        executor.load(program.path)
        made[name] = executor.call(method, inputs)[0].tobytes()

    assert made["gpu"] == made["own"]
    assert made["gpu"] != made["fast"]


@pytest.mark.parametrize("other", ["fast", "faithful"])
def test_what_only_cpus_have_is_refused_on_a_gpu(other: str) -> None:
    with pytest.raises(InputError, match="one of fast, faithful, on a GPU and emulating one"):
        PortableExecutor(gpu=True, **{other: True})
