"""Speech recognition: what a recogniser hears in a sound, against what should have been said.

`normalise`    text to the words that a recogniser would write
`judge`        word error rate, and whether the sound holds speech at all
`transcriber`  a recogniser and both of them, on an audio file
`recognisers`  Apple's, PocketSphinx, Whisper, or any command
"""

from harness.asr.judge import judge_words, speaks, word_errors
from harness.asr.recognisers import Recogniser, recogniser
from harness.asr.transcriber import SYNTHETIC, Transcriber

__all__ = [
    "SYNTHETIC",
    "Recogniser",
    "Transcriber",
    "judge_words",
    "recogniser",
    "speaks",
    "word_errors",
]
