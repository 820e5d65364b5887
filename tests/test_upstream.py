"""The wheel's MLX exporter imports everywhere, and site-packages stays untouched."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from harness import upstream
from harness.errors import UnavailableError


def test_every_node_type_of_the_schema_has_a_field_table() -> None:
    upstream.enable_mlx_exporter()
    from executorch.backends.mlx._generated_inspector import OP_NODE_FIELDS
    from executorch.backends.mlx.serialization.mlx_graph_schema import OpNodeUnion

    assert len(OP_NODE_FIELDS) == len(OpNodeUnion.__args__) == 136


@pytest.mark.skipif(sys.platform == "darwin", reason="the macOS wheel is complete: no overlay")
def test_the_exporter_works_in_a_fresh_process_and_writes_only_to_the_cache(
    tmp_path: Path,
) -> None:
    package = upstream.package_directory("executorch") / "backends" / "mlx"

    def written() -> list[str]:  # Python itself may write bytecode there
        return sorted(p.name for p in package.rglob("*") if "__pycache__" not in p.parts)

    before = written()

    subprocess.run(
        [
            sys.executable,
            "-c",
            "from harness.upstream import enable_mlx_exporter as e; e(); e();"
            "from executorch.backends.mlx import MLXPartitioner",
        ],
        env={**os.environ, "VOXTRAL_PARITY_CACHE": str(tmp_path)},
        check=True,
        capture_output=True,
    )

    assert written() == before
    (made,) = [path for path in (tmp_path / "mlx-serialization").iterdir() if path.is_dir()]
    assert (made / "serialization" / "mlx_graph_schema.py").exists()


def test_a_wheel_without_the_generator_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "serialization").mkdir()
    monkeypatch.setattr(upstream, "_mlx_package", lambda: tmp_path)
    with pytest.raises(UnavailableError, match=r"schema\.fbs not found .* install the version"):
        upstream.overlay_directory()


def test_a_flatc_without_its_run_bit_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = tmp_path / "bin" / "flatc"
    shipped.parent.mkdir()
    shipped.write_text("#!/bin/sh\necho flatc\n")
    shipped.chmod(stat.S_IRUSR | stat.S_IWUSR)
    monkeypatch.setattr(upstream, "package_directory", lambda name: shipped.parent)
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path / "cache"))

    runnable = Path(upstream.flatc())

    assert runnable != shipped
    assert subprocess.run([runnable], capture_output=True, text=True).stdout == "flatc\n"


def test_mlx_is_pinned_at_the_version_inside_the_pinned_executorch() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    wanted = map(Requirement, project["dependencies"])
    pins = {pin.name: str(pin.specifier).removeprefix("==") for pin in wanted}
    # On Apple Silicon the wheel itself is read; elsewhere stands what was read there.
    inside = upstream.embedded_mlx() or upstream.MACOS_WHEELS[pins["executorch"]]
    assert inside == pins["mlx"]
    assert inside == upstream.MACOS_WHEELS[pins["executorch"]]


def test_the_version_of_mlx_is_read_from_its_library(tmp_path: Path) -> None:
    library = tmp_path / "lib" / "libexecutorch_backend_mlx.dylib"
    assert upstream.embedded_mlx(tmp_path) is None
    library.parent.mkdir()
    library.write_bytes(b"\xcf\xfa\0v1.2.3\0bool_\x000.32.7\0FlatBuffer 9.9.9 of\0")
    assert upstream.embedded_mlx(tmp_path) == "0.32.7"
    library.write_bytes(b"\x000.32.7\x000.32.8\0")
    with pytest.raises(UnavailableError, match=r"must hold one version of MLX \(got 2\)"):
        upstream.embedded_mlx(tmp_path)


NOISY = """
import contextlib, sys
from harness.upstream import quiet, quietly_loaded
with quietly_loaded() if "loaded" in sys.argv else contextlib.nullcontext():
    import torch
from torch._subclasses import FakeTensorMode
with FakeTensorMode(), quiet() if "quiet" in sys.argv else contextlib.nullcontext():
    try:
        torch.ops.aten.bmm.default(torch.ones(1, 2, 2), torch.ones(1, 2, 2).bfloat16())
    except RuntimeError as error:
        print(error)
torch.ops.aten.std.correction(torch.rand(1), [0], correction=1)
"""


def noise(*words: str) -> str:
    """What a process writes to stderr in which a fake tensor fails and C++ warns."""
    done = subprocess.run(
        [sys.executable, "-c", NOISY, *words], capture_output=True, text=True, check=True
    )
    assert "bfloat16" in done.stdout.lower() or "scalar type" in done.stdout  # raised all the same
    return done.stderr


@pytest.mark.slow
def test_a_quiet_process_writes_no_warnings_and_no_tracebacks_of_what_it_raises() -> None:
    loud = noise()
    assert "failed while attempting to run meta" in loud
    assert "degrees of freedom" in loud
    assert noise("quiet", "loaded") == ""


def test_processes_that_start_meanwhile_are_quiet_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_CPP_LOG_LEVEL", raising=False)
    with upstream.quietly_loaded():
        assert os.environ["TORCH_CPP_LOG_LEVEL"] == "ERROR"
    assert "TORCH_CPP_LOG_LEVEL" not in os.environ


@pytest.mark.slow
def test_a_process_that_starts_meanwhile_writes_no_warnings() -> None:
    with upstream.quietly_loaded():
        assert noise("quiet") == ""


def test_a_level_that_the_user_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "INFO")
    with upstream.quietly_loaded():
        assert os.environ["TORCH_CPP_LOG_LEVEL"] == "INFO"
    assert os.environ["TORCH_CPP_LOG_LEVEL"] == "INFO"
