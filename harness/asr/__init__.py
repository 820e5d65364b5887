"""Words: what a recogniser makes of a sound, against what should have been said.

`normalise`    text to the words that a recogniser would write
`judge`        word error rate, and whether anybody spoke at all
`listen`       both, of a WAV file
`recognisers`  Apple's, PocketSphinx, Whisper, or any command
"""

from harness.asr.judge import Errors, judge_words, speaks, word_errors
from harness.asr.listen import Ear, judge_wav
from harness.asr.normalise import normalise
from harness.asr.recognisers import ENGINES, Recogniser, recogniser

__all__ = [
    "ENGINES",
    "Ear",
    "Errors",
    "Recogniser",
    "judge_wav",
    "judge_words",
    "normalise",
    "recogniser",
    "speaks",
    "word_errors",
]
