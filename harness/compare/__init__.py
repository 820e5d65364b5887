"""Judge arrays against arrays: pure functions on numpy, float64 inside, no model anywhere.

`verdict`    what a judgement is: status, gates with their headroom, the exit code of many
`tensors`    any output of any method against its reference
`own_error`  an error beside what eager of the same precision loses by itself
`waveforms`  sound: levels before and after the 16-bit cast, and their judgement
`pcm`        two WAV files, code by code
`sound`      what a golden keeps of a sound: statistics of the signal and of its WAV
`streams`    streamed against offline sound
`sqnr`       what a narrower arithmetic costs against a wider one
`words`      how numbers, indices and shapes are spelt in messages
"""

from __future__ import annotations

from harness.compare.metrics import TensorMetrics, measure
from harness.compare.multiples import Multiples
from harness.compare.own_error import Oracle, judge_own_error, relative_error
from harness.compare.sound import WaveformStatistics, statistics
from harness.compare.tensors import Allowance, judge, judge_many
from harness.compare.verdict import Gate, Status, Verdict, exit_code
from harness.compare.waveforms import judge_waveform, levels, to_pcm16

__all__ = [
    "Allowance",
    "Gate",
    "Multiples",
    "Oracle",
    "Status",
    "TensorMetrics",
    "Verdict",
    "WaveformStatistics",
    "exit_code",
    "judge",
    "judge_many",
    "judge_own_error",
    "judge_waveform",
    "levels",
    "measure",
    "relative_error",
    "statistics",
    "to_pcm16",
]
