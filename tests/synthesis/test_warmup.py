"""What upstream's runner calls while it loads, and nothing that leaves a trace in the speech."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fixtures.exports import Line
from harness.checkpoint import Checkpoint
from harness.parity.observe import say
from harness.synthesis import Recorder
from harness.synthesis.warmup import warm_up


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_methods_that_upstream_warms(tiny: Checkpoint, dtype: str) -> None:
    asked = []

    class Ends:
        def reset(self, state: str = "default") -> None:
            raise AssertionError("nothing was written")

        def call(self, method: str, inputs: list[np.ndarray], *, state: str) -> list[np.ndarray]:
            asked.append((method, [(value.dtype.name, value.shape) for value in inputs], state))
            return [np.zeros(1)]

    warm_up(Recorder(Ends()), tiny, dtype)

    dim = tiny.config.decoder.dim
    assert asked == [
        ("token_embedding", [("int64", (1, 1))], "speech"),
        ("audio_token_embedding", [("int64", (1, 37, 1))], "speech"),
        ("semantic_head", [(dtype, (1, dim))], "speech"),
        ("predict_velocity", [(dtype, (1, 36)), ("int64", (1,)), (dtype, (1, dim))], "speech"),
    ]


def test_speech_is_the_same_after_it(tiny_line: Line) -> None:
    utterance = dataclasses.replace(tiny_line.plan.utterance, max_new_tokens=2)
    plan = dataclasses.replace(tiny_line.plan, utterance=utterance)
    cold = say(tiny_line.run, plan, tiny_line.evidence, plan.limits)
    warm_up(tiny_line.run, tiny_line.checkpoint, "float32")
    assert np.array_equal(
        say(tiny_line.run, plan, tiny_line.evidence, plan.limits).waveform, cold.waveform
    )
