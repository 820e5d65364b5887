from __future__ import annotations

import platform
import sys

import pytest

from harness.runtime.native import available, machine, why_not

ON_APPLE_SILICON = sys.platform == "darwin" and platform.machine() == "arm64"


@pytest.mark.parametrize(("reason", "expected"), [(None, True), ("no Metal", False)])
def test_it_is_available_where_nothing_speaks_against_it(
    monkeypatch: pytest.MonkeyPatch, reason: str | None, expected: bool
) -> None:
    monkeypatch.setattr(machine, "why_not", lambda: reason)
    assert available() is expected


@pytest.mark.skipif(ON_APPLE_SILICON, reason="this is Apple Silicon")
def test_elsewhere_the_reason_names_what_is_needed_and_what_this_is() -> None:
    reason = why_not()
    assert reason is not None
    assert "macOS 14+ on Apple Silicon" in reason
    assert platform.machine() in reason


def test_a_runtime_without_the_backend_lists_what_it_found() -> None:
    reason = machine.missing(registered=["XnnpackBackend"], usable=["XnnpackBackend"])
    assert reason is not None
    assert "no MLX backend (found: XnnpackBackend)" in reason


def test_a_backend_without_metal_is_not_usable() -> None:
    reason = machine.missing(registered=["MLXBackend"], usable=[])
    assert reason is not None
    assert "no Metal device" in reason


def test_a_usable_backend_leaves_no_reason() -> None:
    assert machine.missing(registered=["MLXBackend"], usable=["MLXBackend"]) is None


@pytest.mark.parametrize(
    ("value", "note"),
    [
        (None, "MLX_ENABLE_TF32=0: float32 matrix products in full float32"),
        ("1", "MLX_ENABLE_TF32=1: float32 matrix products of more than one row may run in TF32"),
        ("0", "MLX_ENABLE_TF32=0: float32 matrix products in full float32"),
    ],
)
def test_fingerprint_says_whether_tf32_is_in_play(
    monkeypatch: pytest.MonkeyPatch, value: str | None, note: str
) -> None:
    monkeypatch.delenv("MLX_ENABLE_TF32", raising=False)
    if value is not None:
        monkeypatch.setenv("MLX_ENABLE_TF32", value)
    notes = machine.fingerprint(["MLXBackend"]).notes
    assert any(line.startswith(note) for line in notes)


def test_fingerprint_quotes_the_architecture_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_METAL_GPU_ARCH", "applegpu_g13s")
    notes = machine.fingerprint(["MLXBackend"]).notes
    assert "MLX_METAL_GPU_ARCH=applegpu_g13s: selects the kernels" in notes


def test_fingerprint_without_mlx_has_no_mlx_switches() -> None:
    assert machine.fingerprint(["XnnpackBackend"]).notes == ("backends: XnnpackBackend",)


@pytest.mark.parametrize(("answer", "virtual"), [("1", True), ("0", False), ("", False)])
def test_a_virtual_mac_is_told(monkeypatch: pytest.MonkeyPatch, answer: str, virtual: bool) -> None:
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    monkeypatch.setattr(machine, "_sysctl", lambda name: answer)
    monkeypatch.setattr(machine, "_versions", dict)

    assert machine.fingerprint(["MLXBackend"]).virtual is virtual
    assert not machine.fingerprint(["XnnpackBackend"]).virtual  # a CPU is a CPU
