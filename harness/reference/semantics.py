"""What public implementations of the model dispute, as data: each choice, and who makes it.

The reference is ExecuTorch's eager model, `EXECUTORCH`; the other sets say what that model would
have to do to agree with another implementation. Needs no torch.

References
----------
ExecuTorch: ``examples/models/voxtral_tts`` (`model.py`, ``voxtral_tts_runner.cpp``). vLLM-Omni:
``vllm_omni/model_executor/models/voxtral_tts``. voxtral-tts.c: ``voxtral_tts_codec.c``,
``voxtral_tts_kernels.c``, ``voxtral_tts_acoustic.c``. mlx-audio 0.6.2: ``mlx_audio/tts/models/
voxtral_tts``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.errors import one_of
from harness.synthesis import Utterance
from harness.synthesis.utterance import Rounding

__all__ = [
    "DISPUTES",
    "EXECUTORCH",
    "SEMANTICS",
    "SPEECH",
    "Dispute",
    "Semantics",
    "find_semantics",
]

SOUND, SPEECH = "codec", "speech"
"""Subjects of verdicts that a choice can change: the codec's method, and free-running speech."""


@dataclass(frozen=True)
class Semantics:
    """What one implementation does where others do something else.

    Attributes
    ----------
    name, title
        What users type, and what the implementation calls itself.
    alibi
        Power of the first head's slope in the codec's attention: head h of n has
        ``2 ** (-8 * (h + alibi) / n)``.
    window
        Positions that an attention window of W steps takes beside its W − 1 last and its own: 1,
        or 0.
    padding
        What stands before the first frame in the codec's first convolution: ``"replicate"`` or
        ``"reflect"``.
    specials
        What the codec makes of the special codes 0 and 1: ``"zero"`` decodes code 0 of the
        codebook, ``"kept"`` the values that −2 and −1 stand for.
    seed_step
        Whether one more [AUDIO] token follows the prompt.
    rounding
        Of an acoustic value halfway between two codes.
    text, long_audio
        How a text becomes tokens, and how the codec takes a long speech. Told, not switched.
    """

    name: str
    title: str
    alibi: int = 1
    window: int = 1
    padding: str = "replicate"
    specials: str = "zero"
    seed_step: bool = True
    rounding: Rounding = "half-away"
    text: str = "mistral-common"
    long_audio: str = "codec calls"

    def spoken(self, utterance: Utterance) -> Utterance:
        """The utterance as this implementation says it; ExecuTorch's is as asked for."""
        if self == EXECUTORCH:
            return utterance
        return dataclasses.replace(utterance, seed_step=self.seed_step, rounding=self.rounding)


EXECUTORCH = Semantics("executorch", "ExecuTorch")

_OTHERS = (
    Semantics(
        "vllm-omni",
        "vLLM-Omni",
        alibi=0,
        specials="kept",
        seed_step=False,
        rounding="half-even",
        long_audio="375 frames",
    ),
    Semantics(
        "voxtral-tts.c",
        "voxtral-tts.c",
        window=0,
        padding="reflect",
        text="longest match",
        long_audio="whole",
    ),
    Semantics(
        "mlx-audio",
        "mlx-audio",
        specials="kept",
        seed_step=False,
        rounding="half-even",
        text="normalised",
        long_audio="whole",
    ),
)

SEMANTICS: Mapping[str, Semantics] = MappingProxyType(
    {semantics.name: semantics for semantics in (EXECUTORCH, *_OTHERS)}
)
"""By name, the reference's own first."""


@dataclass(frozen=True)
class Dispute:
    """One choice on which the implementations differ.

    Attributes
    ----------
    name, field
        In words, and its field of `Semantics`.
    subjects
        Of the verdicts that it can change.
    words
        What each value means.
    switched
        Whether eager can be made to do it.
    note
        Evidence for one side or the other; a clause, or nothing.
    """

    name: str
    field: str
    subjects: tuple[str, ...]
    words: Mapping[Any, str]
    switched: bool = True
    note: str = ""

    def value(self, semantics: Semantics) -> str:
        """What `semantics` chooses, in words."""
        return self.words[getattr(semantics, self.field)]

    def source(self, semantics: Semantics) -> str:
        """Who chooses as `semantics` does, and what the others choose instead."""
        by_value: dict[str, list[str]] = {}
        for one in (semantics, *SEMANTICS.values()):
            titles = by_value.setdefault(self.value(one), [])
            if one.title not in titles and one.name in SEMANTICS:
                titles.append(one.title)
        (_, own), *others = by_value.items()
        told = [", ".join(own)]
        told += [f"{', '.join(titles)}: {value}" for value, titles in others]
        return "; ".join([*told, *filter(None, [self.note])])


DISPUTES = (
    Dispute(
        "ALiBi slopes",
        "alibi",
        (SOUND, SPEECH),
        {1: "2^(−8(h+1)/n)", 0: "2^(−8h/n)"},
        note="tt-metal as vLLM-Omni",
    ),
    Dispute(
        "codec attention window",
        "window",
        (SOUND, SPEECH),
        {1: "W + 1 positions", 0: "W positions"},
    ),
    Dispute(
        "padding of the codec's first convolution",
        "padding",
        (SOUND, SPEECH),
        {"replicate": "the first frame, repeated", "reflect": "the first frames, reflected"},
    ),
    Dispute(
        "special codes at the codec",
        "specials",
        (SOUND, SPEECH),
        {"zero": "→ 0", "kept": "→ −2 and −1"},
    ),
    Dispute(
        "seed step",
        "seed_step",
        (SPEECH,),
        {True: "one more [AUDIO] token after the prompt", False: "none"},
        note="tt-metal as vLLM-Omni; mlx-audio had it in 0.5.0, and its source says since 0.6.2 "
        "that it garbles the opening words",
    ),
    Dispute(
        "rounding of acoustic codes",
        "rounding",
        (SPEECH,),
        {"half-away": "half away from zero", "half-even": "half to even"},
    ),
    Dispute(
        "text",
        "text",
        (SPEECH,),
        {
            "mistral-common": "mistral-common's tokens, as given",
            "longest match": "the longest token first",
            "normalised": "numbers and markup put into words first",
        },
        switched=False,
        note="ExecuTorch's C++ runner makes control tokens of [AUDIO] or <s> in a text",
    ),
    Dispute(
        "long speech at the codec",
        "long_audio",
        (SPEECH,),
        {
            "codec calls": "windows of max_codec_frames without context",
            "375 frames": "windows of 375 frames without context",
            "whole": "all of it at once",
        },
        switched=False,
    ),
)
"""Every choice that implementations are known to dispute."""


def find_semantics(name: str) -> Semantics:
    """The set of that name; `InputError` where there is none."""
    one_of("semantics", name, SEMANTICS)
    return SEMANTICS[name]
