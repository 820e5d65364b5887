"""What a run is asked for, and what it takes where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import InputError
from harness.methods.precision import Precision
from harness.synthesis.prompt import check_text

__all__ = [
    "CAPACITIES",
    "GOLDEN_CHECKPOINTS",
    "MOST_FRAMES",
    "RUNNER",
    "SEED",
    "TEXT",
    "UPSTREAM_CAPACITIES",
    "VOICE",
    "Request",
]

TEXT = "Hello, how are you today?"
"""The sentence of upstream's own examples; its figures for the real model are published."""

VOICE = "neutral_female"
"""Upstream's default voice."""

SEED = 42
"""Noise seed of the same examples."""

CAPACITIES = {"tiny": (128, 40), "small": (256, 64), "full": (512, 256)}
"""max_seq_len and max_codec_frames of the presets: room for the sentence, and little more."""

MOST_FRAMES = {"full": 3}
"""Frames after which eager stops speaking; elsewhere it says the sentence to its end. A frame of
the 4B model takes a CPU some ten seconds, on either side."""

GOLDEN_CHECKPOINTS = ("tiny",)

UPSTREAM_CAPACITIES = (4096, 256)
"""Those of upstream's exporter."""

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
    max_seq_len, max_codec_frames
        Capacities; None takes the checkpoint's usual ones.
    codec_form, without
        How to export; see `ExportOptions`.
    artifacts
        Directory with `model.pte` and `codec_decoder.pte` to judge instead of exporting.
    fresh
        Export again even if the cache has the artifact.
    triangulate
        Whether to ask XNNPACK for a third opinion on every method.
    text
        What eager says for evidence, and the executor on the whole path.
    whole_path
        Whether a run of all six methods also lets the executor speak by itself.
    asr, asr_command
        Who listens to the whole path's sound; see `harness.asr.recogniser`.
    runner, runner_timeout
        With executor ``"runner"``: where the program is, and after how many seconds it hangs.

    Raises
    ------
    InputError
        There is nothing to say, or what is asked of the runner it cannot do.
    """

    checkpoint: str = "tiny"
    methods: tuple[str, ...] = ()
    precision: str | Precision = "fp32"
    executor: str = "auto"
    require: str | None = None
    max_seq_len: int | None = None
    max_codec_frames: int | None = None
    codec_form: str = "conv"
    without: tuple[str, ...] = ()
    artifacts: Path | None = None
    fresh: bool = False
    triangulate: bool = False
    text: str = TEXT
    whole_path: bool = True
    asr: str | None = None
    asr_command: str | None = None
    runner: Path | None = None
    runner_timeout: float = 3600.0

    def __post_init__(self) -> None:
        check_text(self.text)
        if self.asr is not None and (self.methods or not self.whole_path):
            raise InputError(
                "--asr listens to the whole path, which takes all six methods; leave --asr out, or "
                "METHOD and --no-whole-path"
            )
        if (self.executor == RUNNER) != (self.runner is not None):
            raise InputError("--executor runner and --runner-path go together; give both")
        if self.runner is None:
            return
        if self.methods:
            raise InputError(
                "the runner cannot call one method at a time and is judged by what it says; "
                f"leave {', '.join(self.methods)} out"
            )
        for wish, name in ((self.triangulate, "--triangulate"), (self.require, "--require")):
            if wish:
                raise InputError(f"{name} makes no sense with --executor runner; leave it out")
        if not self.whole_path:
            raise InputError("the whole path is all that the runner is judged by; let it speak")
