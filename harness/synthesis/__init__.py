"""Synthesis: text → prompt → frames of codes → waveform, on anything that runs the six methods.

`prompt`    token ids of a text and a voice
`noise`     the flow's starting noise
`sampling`  the choice of the semantic code
`frames`    the loop that makes frames of codes
`decoding`  codes to waveform, of a whole speech or as it grows
`utterance` what to say, and the limits of what says it
`speech`    all of it, free-running or along given codes
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
    frames_short_of_context,
    stream_windows,
)
from harness.synthesis.frames import (
    N_SPECIAL_CODES,
    round_levels,
    scaled_levels,
)
from harness.synthesis.noise import FlowNoise
from harness.synthesis.prompt import build_prompt
from harness.synthesis.record import Call, Recorder, Reset, Runner
from harness.synthesis.speech import Followed, Speech, follow, speak
from harness.synthesis.utterance import TEXT, Limits, Prompt, Utterance, make_prompt

__all__ = [
    "N_SPECIAL_CODES",
    "RUNNER_CHUNKS",
    "TEXT",
    "Call",
    "Chunks",
    "FlowNoise",
    "Followed",
    "Limits",
    "Prompt",
    "Recorder",
    "Reset",
    "Runner",
    "Speech",
    "Utterance",
    "build_prompt",
    "codec_lookback",
    "decode_codes",
    "decode_streaming",
    "follow",
    "frames_short_of_context",
    "make_prompt",
    "round_levels",
    "scaled_levels",
    "speak",
    "stream_windows",
]
