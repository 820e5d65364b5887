"""Synthesis: text → prompt → frames of codes → waveform, on anything that runs the six methods.

`prompt`    token ids of a text and a voice
`noise`     the flow's starting noise
`sampling`  the choice of the semantic code
`frames`    the loop that makes frames of codes
`decoding`  codes to waveform, of a whole speech or as it grows
`speech`    all of it
`timing`    how long it took
`warmup`    what only the first speech would pay
`wav`       WAV and FLAC files
`dump`      codes as text, frame by frame
`record`    keep every call of a run, for teacher-forced replays
"""

from harness.synthesis.decoding import (
    RUNNER_CHUNKS,
    Chunks,
    codec_lookback,
    decode_codes,
    decode_streaming,
    stream_windows,
)
from harness.synthesis.frames import Rounding, round_codes
from harness.synthesis.noise import FlowNoise
from harness.synthesis.prompt import build_prompt
from harness.synthesis.record import Call, Recorder, Reset, Runner
from harness.synthesis.speech import Listener, Speech, speak

__all__ = [
    "RUNNER_CHUNKS",
    "Call",
    "Chunks",
    "FlowNoise",
    "Listener",
    "Recorder",
    "Reset",
    "Rounding",
    "Runner",
    "Speech",
    "build_prompt",
    "codec_lookback",
    "decode_codes",
    "decode_streaming",
    "round_codes",
    "speak",
    "stream_windows",
]
