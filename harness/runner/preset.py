"""The CMake preset that builds upstream's runner with the MLX backend.

Upstream's presets for this runner are CPU and CUDA, and its ``CMakeLists.txt`` links neither the
MLX delegate nor what it needs beside the program. Both can be added from outside: CMake reads
``CMakeUserPresets.json`` beside the project's own presets, and includes the file that
``CMAKE_PROJECT_voxtral_tts_INCLUDE`` names as soon as the project begins; a call deferred to the
end of the directory then finds the runner's target.
"""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import InputError, in_a_sentence
from harness.files import read_json, replace_file

__all__ = ["BUILD_COMMANDS", "PRESET", "write_preset"]

PRESET = "voxtral-tts-mlx"

_PROJECT = Path("examples/models/voxtral_tts")
_INCLUDE = "voxtral_tts_mlx.cmake"
_BASE = "voxtral-tts-base"

BUILD_COMMANDS = (
    "cmake --workflow --preset mlx-release",
    f"(cd {_PROJECT} && cmake --workflow --preset {PRESET})",
)
"""What builds the runner on a Mac, in ExecuTorch's directory: the libraries, then the program."""

_TITLE = "Voxtral TTS runner (MLX)"
_PRESETS = {
    "configurePresets": [
        {
            "name": PRESET,
            "displayName": _TITLE,
            "inherits": [_BASE],
            "cacheVariables": {
                "EXECUTORCH_BUILD_MLX": "ON",
                "CMAKE_PROJECT_voxtral_tts_INCLUDE": f"${{sourceDir}}/{_INCLUDE}",
            },
        }
    ],
    "buildPresets": [
        {
            "name": PRESET,
            "displayName": f"Build {_TITLE}",
            "configurePreset": PRESET,
            "configuration": "Release",
            "targets": ["voxtral_tts_runner"],
        }
    ],
    "workflowPresets": [
        {
            "name": PRESET,
            "displayName": _TITLE,
            "steps": [{"type": kind, "name": PRESET} for kind in ("configure", "build")],
        }
    ],
}

_CMAKE = """\
# Written by `voxtral-parity runner-preset`: links the MLX delegate into voxtral_tts_runner.
if(NOT APPLE)
  message(FATAL_ERROR "voxtral-tts-mlx: the MLX delegate builds on macOS on Apple Silicon only")
endif()

function(_voxtral_tts_link_mlx)
  if(NOT TARGET mlxdelegate)
    message(FATAL_ERROR "voxtral-tts-mlx: ExecuTorch was installed without MLX; first run "
                        "`cmake --workflow --preset mlx-release` in its directory")
  endif()
  # The backend registers itself when it is loaded, which nothing else in the runner refers to.
  executorch_target_link_options_shared_lib(mlxdelegate)
  target_link_libraries(voxtral_tts_runner PUBLIC mlxdelegate mlx)
  if(COMMAND executorch_target_copy_mlx_metallib)
    executorch_target_copy_mlx_metallib(voxtral_tts_runner)
  endif()
endfunction()

cmake_language(DEFER DIRECTORY "${CMAKE_SOURCE_DIR}" CALL _voxtral_tts_link_mlx)
"""


def write_preset(executorch: Path) -> list[Path]:
    """Write the preset into an ExecuTorch checkout; the two files, now or there already.

    Raises
    ------
    InputError
        No such project; presets that have no base to build on; or a file of the user's own in
        the place of one of ours, which stays as it is.
    """
    project, name = executorch / _PROJECT, _PROJECT / "CMakePresets.json"
    if not (executorch / name).exists():
        raise InputError(
            f"{executorch} is no ExecuTorch checkout with the Voxtral TTS runner: there is no "
            f"{name}"
        )
    presets = read_json(executorch / name, "ExecuTorch's presets")
    try:
        names = {preset["name"] for preset in presets["configurePresets"]}
        version = int(presets["version"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{name} is no presets file: {in_a_sentence(error)}") from None
    if _BASE not in names:
        raise InputError(f"{name} has no preset {_BASE} to build on")
    if PRESET in names:
        raise InputError(f"{name} has a preset {PRESET} itself; use that")
    made = json.dumps({"version": version, **_PRESETS}, indent=2) + "\n"
    wanted = {project / "CMakeUserPresets.json": made, project / _INCLUDE: _CMAKE}
    for path, text in wanted.items():
        if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
            raise InputError(
                f"{path} exists and is not ours; move it away, or add the preset {PRESET} to it"
            )
    for path, text in wanted.items():
        if not path.exists():
            with replace_file(path) as scratch:
                scratch.write_text(text, encoding="utf-8")
    return list(wanted)
