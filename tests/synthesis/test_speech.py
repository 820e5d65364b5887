"""The loop's decisions, on a model that does as the test says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from harness.arrays import Array
from harness.checkpoint import Checkpoint
from harness.errors import InputError
from harness.synthesis import (
    Chunks,
    Limits,
    Recorder,
    Utterance,
    decode_codes,
    follow,
    make_prompt,
    round_levels,
    scaled_levels,
    speak,
)

PROMPT = 26  # positions of "Hello, how are you today?" in the voice neutral_female


class Scripted:
    """Says semantic codes 5, 6, 7, … and END after `length` frames, with constant velocities."""

    def __init__(self, length: int = 1000, dtype: Any = np.float32) -> None:
        self.length, self.dtype, self.steps = length, dtype, 0

    def reset(self, state: str = "default") -> None:
        self.steps = 0

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        if method == "token_embedding":
            output = np.zeros((1, inputs[0].shape[1], 256))
        elif method == "audio_token_embedding":
            output = np.zeros((1, 1, 256))
        elif method == "text_decoder":
            output = np.ones(inputs[0].shape)
        elif method == "semantic_head":
            output = np.zeros((1, 640))
            output[0, 1 if self.steps == self.length else 5 + self.steps] = 4.0
            self.steps += 1
        elif method == "predict_velocity":
            output = np.full((1, 36), 0.5 if inputs[2].any() else 0.25)
        else:
            # each sample tells its frame's semantic code
            output = np.repeat(inputs[0][:, :1], 1920, axis=2)
        return [output.astype(self.dtype)]


def say(run: Any, checkpoint: Checkpoint, **changes: Any) -> Any:
    limits = Limits(
        changes.pop("max_seq_len", 64),
        changes.pop("codec_frames", 8),
        changes.pop("dtype", "float32"),
    )
    chunks = changes.pop("chunks", None)
    utterance = Utterance(
        voice=changes.pop("voice", "neutral_female"),
        max_new_tokens=changes.pop("max_frames", 8),
        streaming=chunks is not None,
        **changes,
    )
    prompt = make_prompt(checkpoint, utterance)
    return speak(run, checkpoint.config, prompt, utterance, limits, chunks=chunks or Chunks())


def test_end_audio_stops_and_is_no_frame(tiny: Checkpoint) -> None:
    speech = say(Scripted(length=3), tiny)
    assert speech.ended
    assert speech.codes[0].tolist() == [5, 6, 7]
    assert speech.argmax_margins.tolist() == [4.0] * 4


def test_the_frame_limit_stops_without_an_end(tiny: Checkpoint) -> None:
    speech = say(Scripted(), tiny, max_frames=5)
    assert not speech.ended
    assert speech.frames == 5


def test_a_full_cache_stops_speech(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted())
    speech = say(recorder, tiny, max_seq_len=PROMPT + 1 + 4)
    assert speech.frames == 4
    last = max(int(call.inputs[1].max()) for call in recorder.calls("text_decoder"))
    assert last == PROMPT + 4


def test_a_prompt_that_fills_the_cache_is_refused(tiny: Checkpoint) -> None:
    with pytest.raises(InputError, match="prompt takes 27 positions and the KV cache has 27"):
        say(Scripted(), tiny, max_seq_len=27)


def test_an_immediate_end_is_silence_of_no_length(tiny: Checkpoint) -> None:
    speech = say(Scripted(length=0), tiny)
    assert speech.codes.shape == (37, 0)
    assert speech.rounding_margins.shape == (36, 0)
    assert speech.waveform.shape == (0,)


def test_positions_count_up_by_one(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted(length=2))
    say(recorder, tiny)
    positions = [call.inputs[1].tolist() for call in recorder.calls("text_decoder")]
    assert positions == [list(range(PROMPT)), [26], [27], [28]]


def test_without_the_seed_step_the_first_frame_follows_the_prompt(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted(length=2))
    say(recorder, tiny, seed_step=False)
    positions = [call.inputs[1].tolist() for call in recorder.calls("text_decoder")]
    assert positions == [list(range(PROMPT)), [26], [27]]
    assert len(recorder.calls("token_embedding")) == 1


def test_the_seed_step_feeds_an_audio_token(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted(length=0))
    say(recorder, tiny)
    assert recorder.calls("token_embedding")[1].inputs[0].tolist() == [[24]]


def test_the_state_is_reset_first(tiny: Checkpoint) -> None:
    run = Scripted(length=2)
    first, second = say(run, tiny), say(run, tiny)
    assert np.array_equal(first.codes, second.codes)


def test_guidance_is_extrapolated_over_seven_steps(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted(length=1))
    say(recorder, tiny)
    calls = recorder.calls("predict_velocity")
    assert [int(call.inputs[1][0]) for call in calls] == [s for s in range(7) for _ in range(2)]
    conditions = [bool(call.inputs[2].any()) for call in calls]
    assert conditions == [True, False] * 7
    # 1.2 · 0.5 − 0.2 · 0.25 = 0.55 for a seventh of the time
    moved = calls[2].inputs[0] - calls[0].inputs[0]
    np.testing.assert_allclose(moved, 0.55 / 7, rtol=1e-5)


def test_codes_carry_the_special_offset(tiny: Checkpoint) -> None:
    speech = say(Scripted(length=4), tiny)
    assert speech.codes[1:].min() >= 2
    assert speech.codes[1:].max() <= 22


def test_the_frame_is_fed_back(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted(length=2))
    speech = say(recorder, tiny)
    for frame, call in enumerate(recorder.calls("audio_token_embedding")):
        assert call.inputs[0].shape == (1, 37, 1)
        assert call.inputs[0][0, :, 0].tolist() == speech.codes[:, frame].tolist()


def test_bfloat16_models_get_bfloat16_and_the_loop_stays_float32(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted(length=1, dtype=ml_dtypes.bfloat16))
    speech = say(recorder, tiny, dtype="bfloat16")
    for method in ("text_decoder", "semantic_head", "predict_velocity"):
        assert recorder.calls(method)[0].inputs[0].dtype == ml_dtypes.bfloat16
    assert recorder.calls("predict_velocity")[0].inputs[1].dtype == np.int64
    assert speech.argmax_margins.dtype == np.float32
    assert speech.waveform.dtype == np.float32


def test_the_codec_is_padded_with_the_last_frame(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted())
    codes = np.arange(37 * 3).reshape(37, 3)
    waveform = decode_codes(recorder, tiny.config, codes, 5)
    (call,) = recorder.calls("codec")
    assert call.inputs[0].shape == (1, 37, 5)
    assert call.inputs[0][0, 0].tolist() == [0, 1, 2, 2, 2]
    assert waveform.shape == (3 * 1920,)


def test_long_speech_is_decoded_in_windows(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted())
    codes = np.tile(np.arange(7), (37, 1))
    waveform = decode_codes(recorder, tiny.config, codes, 3)
    windows = [call.inputs[0][0, 0].tolist() for call in recorder.calls("codec")]
    assert windows == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert waveform.reshape(7, 1920)[:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("value", "away", "even"),
    [(-1.0, 0, 0), (1.0, 20, 20), (-7.0, 0, 0), (7.0, 20, 20), (0.0, 10, 10),
     (0.25, 13, 12), (0.75, 18, 18), (-0.75, 3, 2)],
)  # fmt: skip
def test_rounding_of_clamps_and_ties(value: float, away: int, even: int) -> None:
    x = np.array([value], np.float32)
    assert round_levels(scaled_levels(x, 21)).tolist() == [away]
    assert round_levels(scaled_levels(x, 21), "half-even").tolist() == [even]


def test_just_below_a_tie_is_not_rounded_up() -> None:
    # Of two levels it comes to 0.49999997, and 0.5 more in float32 is 1.
    levels = scaled_levels(np.array([-(2.0**-24)], np.float32), 2)
    assert round_levels(levels).tolist() == [0]


@pytest.mark.parametrize(("value", "margin"), [(0.25, 0.0), (0.3, 0.5), (0.26, 0.1)])
def test_levels_tell_the_distance_from_a_tie(value: float, margin: float) -> None:
    (level,) = scaled_levels(np.array([value], np.float32), 21)
    assert abs(level - np.floor(level) - 0.5) == pytest.approx(margin, abs=1e-5)


def test_along_given_codes_every_decision_has_the_same_history(tiny: Checkpoint) -> None:
    recorder = Recorder(Scripted(length=4))
    spoken = say(Scripted(length=4), tiny)
    utterance = Utterance(voice="neutral_female", max_new_tokens=8)
    prompt, limits = make_prompt(tiny, utterance), Limits(64, 8)
    codes = spoken.codes.copy()
    codes[0, 1] = 99  # another semantic code: its logit is 0, the best is 4
    codes[3, 2] += 2

    found = follow(recorder, tiny.config, prompt, utterance, limits, (codes, True))

    assert found.followed == 4
    assert found.behind.tolist() == [0, 4, 0, 0, 0]
    assert np.argwhere(found.beyond > 0).tolist() == [[2, 2]]
    assert found.beyond[2, 2] == pytest.approx(1.5, abs=0.5)
    fed = [call.inputs[0][0, 0, 0] for call in recorder.calls("audio_token_embedding")]
    assert fed == codes[0].tolist()
