from __future__ import annotations

import importlib
import subprocess
import sys
import types

import pytest

from harness.errors import InputError, UnavailableError
from harness.runtime.select import choose


class Native:
    """Stands for NativeExecutor."""


class Portable:
    """Stands for PortableExecutor."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without the native runtime."""
    native = importlib.import_module("harness.runtime.native")
    monkeypatch.setattr(native, "NativeExecutor", Native)
    monkeypatch.setattr(native, "why_not", lambda: "this is a toaster")
    portable = types.ModuleType("harness.runtime.portable.executor")
    portable.PortableExecutor = Portable  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "harness.runtime.portable.executor", portable)
    return monkeypatch


@pytest.fixture
def mac(machine: pytest.MonkeyPatch) -> None:
    """A machine with the native runtime."""
    machine.setattr("harness.runtime.native.why_not", lambda: None)


@pytest.mark.usefixtures("machine")
def test_auto_without_native_is_portable() -> None:
    assert isinstance(choose("auto"), Portable)


@pytest.mark.usefixtures("mac")
def test_auto_with_native_is_native() -> None:
    assert isinstance(choose("auto"), Native)


@pytest.mark.usefixtures("mac")
@pytest.mark.parametrize(("name", "require"), [("portable", None), ("auto", "portable")])
def test_portable_can_be_had_where_native_is(name: str, require: str | None) -> None:
    assert isinstance(choose(name, require), Portable)


@pytest.mark.parametrize(("name", "require"), [("xnnpack", None), ("auto", "xnnpack")])
def test_xnnpack_runs_on_executorchs_runtime_under_its_own_name(
    name: str, require: str | None
) -> None:
    executor = choose(name, require)

    assert type(executor).__name__ == "NativeExecutor"
    assert executor.fingerprint.executor == "xnnpack"
    executor.close()


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(("name", "require"), [("native", None), ("auto", "native")])
def test_native_where_there_is_none_is_unavailable(name: str, require: str | None) -> None:
    with pytest.raises(UnavailableError, match="not available: this is a toaster"):
        choose(name, require)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(
        InputError,
        match=r"auto, native, portable, portable:faithful, portable:gpu, xnnpack \(got 'metal'\)",
    ):
        choose("metal")


def test_an_unknown_requirement_lists_the_known_ones() -> None:
    with pytest.raises(
        InputError,
        match=r"one of native, portable, portable:faithful, portable:gpu, xnnpack \(got 'auto'\)",
    ):
        choose("auto", "auto")


def test_a_name_that_contradicts_the_requirement_is_refused() -> None:
    with pytest.raises(InputError, match="executor 'portable' contradicts require 'native'"):
        choose("portable", "native")


def test_a_faithful_executor_leaves_the_environment_as_it_was() -> None:
    script = (
        "import os; before = dict(os.environ)\n"
        "from harness.runtime.select import choose\n"
        "print(choose('portable:faithful').fingerprint.notes[0])\n"
        "print(dict(os.environ) == before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [
        "BLAS: MLX's own (VOXTRAL_PARITY_STOCK_BLAS=1)",
        "True",
    ]


def test_the_main_job_settles_on_no_blas_before_it_chooses() -> None:
    script = "import sys, harness.parity.check; print('mlx.core' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_importing_it_loads_no_framework() -> None:
    script = (
        "import sys, harness.runtime.select, harness.runtime.native\n"
        "print({'torch', 'executorch', 'mlx'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
