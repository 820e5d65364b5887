"""The codec's sound against its golden: compared on every run, changed by blessing alone."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import golden
from harness.checkpoint import PRESETS
from harness.compare import Verdict, WaveformStatistics, statistics
from harness.errors import ExecutionError, InputError
from harness.golden import GoldenKey
from harness.methods import CODEC, select_methods
from harness.methods.precision import FP32
from harness.parity import facts
from harness.parity.judge import refused
from harness.parity.request import GOLDEN_CHECKPOINTS, TEXT
from harness.runtime.pair import ArtifactPair
from harness.synthesis import decode_codes

if TYPE_CHECKING:
    from harness.parity.run import Parity

__all__ = ["KeptSound"]


class KeptSound:
    """What the executor's codec makes of eager's codes, and the golden kept of it.

    Parameters
    ----------
    parity
        The run whose sound it is.
    """

    def __init__(self, parity: Parity) -> None:
        self._parity = parity

    @cached_property
    def key(self) -> GoldenKey:
        """Which golden this run belongs to."""
        parity = self._parity
        executor = parity.executor(CODEC).fingerprint.executor
        regime = "metal" if executor == "native" else "cpu"
        return GoldenKey(parity.checkpoint.name, "codec", parity.precision.name, regime)

    @cached_property
    def waveform(self) -> WaveformStatistics:
        """Statistics of what the executor's codec makes of eager's codes."""
        parity = self._parity
        samples = decode_codes(
            ArtifactPair(parity.executor),
            parity.checkpoint.config,
            parity.speech.codes,
            parity.sizes.max_codec_frames,
        )
        return statistics(samples, parity.sizes.sampling_rate, parity.speech.frames)

    def judge(self, root: Path | None = None) -> list[Verdict]:
        """Compare the waveform with its golden.

        Where none was blessed on this kind of machine, that of CPUs serves: fp32 differs
        between them by less than the drift a golden allows.
        """
        parity = self._parity
        parity.progress("comparing with the golden")
        root = root or golden.default_root()
        key = self.key
        if golden.read(root, key) is None:
            key = dataclasses.replace(key, regime="cpu")
        try:
            waveform = self.waveform
        except ExecutionError as error:
            return [refused("codec", "golden", error)]
        return [
            *golden.check_file(root, key, waveform, parity.speech.codes, parity.checkpoint.digest),
            golden.judge_unused(root, _kept),
        ]

    def bless(self, reason: str, root: Path | None = None) -> golden.Blessed:
        """Make this run the golden, if every parity verdict on the codec passes.

        Raises
        ------
        InputError
            Parity is not green, or the reason is too short.
        """
        parity = self._parity
        (codec,) = select_methods(["codec"])
        return golden.bless(
            root or golden.default_root(),
            self.key,
            self.waveform,
            parity.speech.codes,
            golden.Provenance(
                date=facts.today(),
                checkpoint_digest=parity.checkpoint.digest,
                harness_version=facts.tool_version(),
                versions=facts.stack_versions(parity.executor(CODEC).fingerprint),
            ),
            reason,
            parity.judge(codec),
        )

    def expected(self) -> bool:
        """Whether a run is to be compared with a golden: the codec was asked for, as usual.

        Goldens are kept of the checkpoints in `GOLDEN_CHECKPOINTS`, in fp32; elsewhere one counts
        as soon as it was blessed.
        """
        parity = self._parity
        request = parity.request
        judged = any(method.name == "codec" for method in parity.methods)
        usual = request.max_seq_len is None and request.max_codec_frames is None
        usual = usual and request.text == TEXT
        if not judged or not usual or "codec" in parity.artifact(CODEC).failures:
            return False
        try:
            root = golden.default_root()
        except InputError:
            return False  # installed without a checkout: there are no goldens to keep
        if parity.checkpoint.name in GOLDEN_CHECKPOINTS and parity.precision == FP32:
            return True
        return golden.read(root, self.key) is not None


def _kept(checkpoint: str) -> bool:
    """Whether goldens of a checkpoint of that name are kept: of a user's own, if there are any."""
    return checkpoint in GOLDEN_CHECKPOINTS or checkpoint not in PRESETS
