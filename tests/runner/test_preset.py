"""The preset that builds the runner with MLX: CMake itself lists it and configures with it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import cmake
import pytest

from harness.errors import InputError
from harness.runner.preset import PRESET, write_preset

CMAKE = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")

BASE = {
    "name": "voxtral-tts-base", "hidden": True, "binaryDir": "${sourceDir}/../../../cmake-out/tts",
    "generator": "Unix Makefiles", "cacheVariables": {"CMAKE_BUILD_TYPE": "Release"},
}  # fmt: skip
CPU = {"name": "voxtral-tts-cpu", "inherits": ["voxtral-tts-base"]}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The runner's directory in a checkout with presets of upstream's form."""
    directory = tmp_path / "examples" / "models" / "voxtral_tts"
    directory.mkdir(parents=True)
    presets = {"version": 6, "configurePresets": [BASE, CPU]}
    (directory / "CMakePresets.json").write_text(json.dumps(presets))
    return directory


def run(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CMAKE, *arguments], cwd=directory, capture_output=True, text=True, timeout=120
    )


@pytest.mark.parametrize("kind", ["configure", "build", "workflow"])
def test_cmake_lists_it(project: Path, tmp_path: Path, kind: str) -> None:
    write_preset(tmp_path)
    listed = run(project, f"--list-presets={kind}")
    assert listed.returncode == 0, listed.stderr
    assert f'"{PRESET}"' in listed.stdout
    if kind == "configure":
        assert '"voxtral-tts-cpu"' in listed.stdout


LISTS = """
cmake_minimum_required(VERSION 3.24)
project(voxtral_tts NONE)
function(executorch_target_link_options_shared_lib target)
  message(STATUS "whole: ${target}")
endfunction()
function(executorch_target_copy_mlx_metallib target)
  message(STATUS "metallib beside: ${target}")
endfunction()
%s
add_library(mlx INTERFACE IMPORTED)
add_library(voxtral_tts_runner INTERFACE)
macro(target_link_libraries target how)
  message(STATUS "linked: ${target} with ${ARGN}")
endmacro()
"""


def test_the_delegate_is_linked_into_the_runner(project: Path, tmp_path: Path) -> None:
    write_preset(tmp_path)
    lists = LISTS % "add_library(mlxdelegate INTERFACE IMPORTED)"
    (project / "CMakeLists.txt").write_text(lists)
    made = run(project, "--preset", PRESET, "-DAPPLE=1")
    assert made.returncode == 0, made.stderr
    assert "whole: mlxdelegate" in made.stdout
    assert "linked: voxtral_tts_runner with mlxdelegate;mlx" in made.stdout
    assert "metallib beside: voxtral_tts_runner" in made.stdout


def test_an_executorch_without_mlx_is_told(project: Path, tmp_path: Path) -> None:
    write_preset(tmp_path)
    (project / "CMakeLists.txt").write_text(LISTS % "")
    made = run(project, "--preset", PRESET, "-DAPPLE=1")
    assert made.returncode != 0
    assert "ExecuTorch was installed without MLX" in made.stderr


def test_writing_twice_changes_nothing(project: Path, tmp_path: Path) -> None:
    first = {path: path.read_bytes() for path in write_preset(tmp_path)}
    assert {path: path.read_bytes() for path in write_preset(tmp_path)} == first


@pytest.mark.parametrize("name", ["CMakeUserPresets.json", "voxtral_tts_mlx.cmake"])
def test_a_file_of_the_users_is_never_replaced(project: Path, tmp_path: Path, name: str) -> None:
    (project / name).write_text("mine")
    with pytest.raises(InputError, match=f"{name} exists and is not ours"):
        write_preset(tmp_path)
    assert (project / name).read_text() == "mine"
    assert sum(path.name != "CMakePresets.json" for path in project.iterdir()) == 1


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no ExecuTorch checkout"):
        write_preset(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "presets .* is not readable JSON"),
        ("[" * 100_000, "presets .* is not readable JSON"),
        ("[]", "is no presets file"),
        ('{"version": 6, "configurePresets": []}', "has no preset voxtral-tts-base"),
        (json.dumps({"version": 6, "configurePresets": [BASE, {"name": PRESET}]}), "itself"),
    ],
)
def test_presets_that_cannot_be_built_on_are_refused(
    project: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    (project / "CMakePresets.json").write_text(text)
    with pytest.raises(InputError, match=complaint):
        write_preset(tmp_path)
