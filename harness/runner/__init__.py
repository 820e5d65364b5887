"""Upstream's C++ runner, ``voxtral_tts_runner``, as a program.

`drive`   run it, and read its WAV, its codes and its times
`trace`   what it tells of the first frames
`preset`  the CMake preset that builds it with MLX
"""

from harness.runner.drive import RunnerArgs, RunnerResult, check_program, run_runner

__all__ = ["RunnerArgs", "RunnerResult", "check_program", "run_runner"]
