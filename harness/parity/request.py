"""What a run is asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import InputError
from harness.methods.precision import Precision
from harness.reference.semantics import EXECUTORCH, find_semantics
from harness.synthesis import Utterance
from harness.synthesis.prompt import check_text

__all__ = ["RUNNER", "Request"]

RUNNER = "runner"
"""The executor that is no library but a program: upstream's ``voxtral_tts_runner``."""


@dataclass(frozen=True)
class Request:
    """What to judge, and with what.

    Attributes
    ----------
    checkpoint
        Preset name or checkpoint directory.
    methods
        Names; none means all six.
    precision
        Name of a precision, or one made of its parts.
    executor, require
        Name of the executor, and one that must be had (``"native"``), else an error.
    regime
        A GPU's arithmetic to emulate on the portable executor; see `harness.runtime.select`.
    max_seq_len, max_codec_frames
        Capacities; None takes the checkpoint's usual ones.
    codec_form, without
        How to export; see `ExportOptions`.
    artifacts
        Directory with given `.pte` files to judge instead of exporting.
    fresh
        Make again what the cache has: eager's evidence, quantised layers and artifacts.
    triangulate
        Whether to observe the same evidence on XNNPACK too.
    utterance
        What eager says for evidence, and the executor by itself.
    speak
        Whether a run of all six methods also lets the executor speak by itself.
    local_all
        Whether the steps of every call are judged by themselves, not those of some calls.
    asr, asr_command
        What transcribes the executor's speech; see `harness.asr.recogniser`.
    runner, runner_timeout
        Where upstream's runner is, and the seconds after which it is ended. A path alone means
        the executor ``"runner"``.
    allow_virtual_gpu
        Whether the GPU of a virtual machine may run the artifacts.
    semantics
        Name of the set of `harness.reference.semantics` that eager follows; what is exported stays
        ExecuTorch's.

    Raises
    ------
    InputError
        The text is empty, or the runner is asked for what it cannot do.
    """

    checkpoint: str = "tiny"
    methods: tuple[str, ...] = ()
    precision: str | Precision = "fp32"
    executor: str = "auto"
    require: str | None = None
    regime: str | None = None
    max_seq_len: int | None = None
    max_codec_frames: int | None = None
    codec_form: str = "conv"
    without: tuple[str, ...] = ()
    artifacts: Path | None = None
    fresh: bool = False
    triangulate: bool = False
    utterance: Utterance = field(default_factory=Utterance)
    speak: bool = True
    local_all: bool = False
    asr: str | None = None
    asr_command: str | None = None
    runner: Path | None = None
    runner_timeout: float = 3600.0
    allow_virtual_gpu: bool = False
    semantics: str = EXECUTORCH.name

    def __post_init__(self) -> None:
        check_text(self.utterance.text)
        find_semantics(self.semantics)
        if self.asr is not None and (self.methods or not self.speak):
            raise InputError(
                "--asr transcribes the executor's speech, which takes all six methods; leave "
                "--asr out, or METHOD and --no-speak"
            )
        if self.runner is not None and self.executor == "auto":
            object.__setattr__(self, "executor", RUNNER)
        if (self.executor == RUNNER) != (self.runner is not None):
            raise InputError("--executor runner and --runner-path go together; give both")
        if self.runner is None:
            return
        if self.methods:
            raise InputError(
                "the runner only speaks and cannot call one method at a time; leave "
                f"{', '.join(self.methods)} out"
            )
        for given, name in (
            (self.triangulate, "--triangulate"),
            (self.require, "--require"),
            (self.regime, "--regime"),
        ):
            if given:
                raise InputError(f"{name} cannot be combined with the runner; leave it out")
        if not self.speak:
            raise InputError("the runner is judged by its speech alone; leave --no-speak out")
