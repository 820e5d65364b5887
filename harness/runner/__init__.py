"""Upstream's C++ runner, ``voxtral_tts_runner``, as a program.

`drive`   run it, and read its WAV, its codes and its times
`preset`  the CMake preset that builds it with MLX
"""

from harness.runner.drive import RunnerArgs, check_program, run_runner

__all__ = ["RunnerArgs", "check_program", "run_runner"]
