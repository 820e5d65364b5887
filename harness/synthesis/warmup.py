"""Pay what only the first speech would pay, before a stopwatch runs."""

from __future__ import annotations

import numpy as np

from harness.arrays import as_array
from harness.checkpoint import Checkpoint
from harness.synthesis.prompt import open_tokenizer
from harness.synthesis.record import Runner

__all__ = ["warm_up"]


def warm_up(run: Runner, checkpoint: Checkpoint, dtype: str, state: str = "speech") -> None:
    """Open the tokenizer, and call the methods that upstream's runner calls while it loads.

    These are the stateless ones of `model.pte`; neither the decoder nor the codec. `state` is the
    one to speak with, so that no other is made.

    References
    ----------
    ``examples/models/voxtral_tts/voxtral_tts_runner.cpp`` (`warmup`).
    """
    open_tokenizer(checkpoint.tokenizer)
    config = checkpoint.config
    hidden = as_array(np.zeros((1, config.decoder.dim)), dtype)
    noise = as_array(np.zeros((1, config.acoustic_dim)), dtype)
    one = np.ones((1, 1), np.int64)
    frame = np.zeros((1, config.n_codebooks, 1), np.int64)
    run.call("token_embedding", [one], state=state)
    run.call("audio_token_embedding", [frame], state=state)
    run.call("semantic_head", [hidden], state=state)
    run.call("predict_velocity", [noise, np.zeros(1, np.int64), hidden], state=state)
