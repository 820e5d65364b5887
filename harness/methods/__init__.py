"""The six methods of Voxtral TTS, declared once.

`spec`    what a method is: artifact, inputs, state, and how its results are judged
`catalog` the six of them, in their fixed order
`cases`   the inputs each one is judged on besides the recorded speech
"""

from harness.methods.catalog import ARTIFACTS, CODEC, METHODS, MODEL, SOUND, select_methods
from harness.methods.spec import Dimensions, Method

__all__ = [
    "ARTIFACTS",
    "CODEC",
    "METHODS",
    "MODEL",
    "SOUND",
    "Dimensions",
    "Method",
    "select_methods",
]
