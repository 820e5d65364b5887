"""What to say, and how: the one value that eager, executors and upstream's runner are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.checkpoint import Checkpoint
from harness.checkpoint.voices import load_voice, readable_voice
from harness.errors import InputError
from harness.synthesis.prompt import build_prompt

TEXT = "Hello, how are you today?"
"""The sentence of upstream's own examples; its figures for the real model are published."""

SEED = 42
"""Noise seed of the same examples."""

MAX_NEW_TOKENS = 2048
"""Upstream's most frames of one speech."""


Rounding = Literal["half-away", "half-even"]
"""Ties of acoustic codes: away from zero (upstream's C++ runner) or to even (torch, mlx)."""


@dataclass(frozen=True)
class Utterance:
    """What to say, and how: the flags of upstream's runner.

    Attributes
    ----------
    text, voice
        What, and in whose voice: a voice's name or the path of its file. None is upstream's
        default voice, or no voice where the checkpoint does not have that one.
    seed, temperature
        Of the flow's starting noise and of the draws; of the semantic code's softmax, where 0 takes
        the greatest logit.
    max_new_tokens
        Frames after which to stop without END_AUDIO.
    seed_step
        Feed one more [AUDIO] token after the prompt and take the first frame from there, as
        upstream's C++ runner and voxtral-tts.c do. vLLM-Omni and mlx-audio take it from the
        prompt's last position: False. `harness.reference.semantics` says who else disputes what.
    streaming
        Decode while the frames come, instead of when all are there.
    rounding
        Of an acoustic value halfway between two codes.
    """

    text: str = TEXT
    voice: str | None = None
    seed: int = SEED
    temperature: float = 0.0
    max_new_tokens: int = MAX_NEW_TOKENS
    seed_step: bool = True
    streaming: bool = False
    rounding: Rounding = "half-away"

    def check(self, checkpoint: Checkpoint, max_seq_len: int) -> None:
        """Refuse no text, one too long even without a voice, and a voice that cannot be read."""
        readable_voice(checkpoint, self.voice)
        least = build_prompt(checkpoint, self.text, None, voice_rows=0).shape[1]
        check_capacity(least + self.seed_step, max_seq_len)


@dataclass(frozen=True)
class Prompt:
    """An utterance's prompt as the methods take it.

    `ids` are token ids, int64, shape (1, S); `voice_rows` are embeddings of the voice, float32,
    shape (rows, dim), which replace those of [AUDIO].
    """

    ids: NDArray[np.int64]
    voice_rows: NDArray[np.float32]


@dataclass(frozen=True)
class Limits:
    """What a model's files take.

    Attributes
    ----------
    max_seq_len
        Positions of the KV cache; speech stops when it is full, as the runner does.
    codec_frames
        Frames that one call of the codec takes.
    dtype
        Floating-point type of the methods' inputs, ``"float32"`` or ``"bfloat16"``. Between the
        calls everything is float32.
    """

    max_seq_len: int
    codec_frames: int
    dtype: str = "float32"


def make_prompt(
    checkpoint: Checkpoint, utterance: Utterance, *, voice_embed_len: int | None = None
) -> Prompt:
    """The prompt of an utterance; `voice_embed_len` is what `model.pte` says of the voice's rows.

    Raises
    ------
    InputError
        There is no such voice.
    CheckpointError
        The tokenizer, the voice and the model do not agree.
    """
    rows = load_voice(checkpoint, utterance.voice, rows_hint=voice_embed_len)
    return Prompt(build_prompt(checkpoint, utterance.text, utterance.voice, len(rows)), rows)


def check_capacity(needed: int, max_seq_len: int) -> None:
    """Refuse a prompt of `needed` positions that leaves none for speech."""
    if needed >= max_seq_len:
        raise InputError(
            f"the prompt takes {needed} positions and the KV cache has {max_seq_len}, which "
            "leaves none for speech: shorten the text or raise max_seq_len"
        )
