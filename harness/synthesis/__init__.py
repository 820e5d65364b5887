"""Synthesis: text → prompt → frames of codes → waveform, on anything that runs the six methods.

`prompt`  token ids of a text and a voice
`noise`   the flow's starting noise
`speech`  the loop itself
`record`  keep every call of a run, for teacher-forced replays
"""

from harness.synthesis.noise import FlowNoise
from harness.synthesis.prompt import build_prompt
from harness.synthesis.record import Call, Recorder, Reset, Runner
from harness.synthesis.speech import Rounding, Speech, decode_codes, round_codes, speak

__all__ = [
    "Call",
    "FlowNoise",
    "Recorder",
    "Reset",
    "Rounding",
    "Runner",
    "Speech",
    "build_prompt",
    "decode_codes",
    "round_codes",
    "speak",
]
