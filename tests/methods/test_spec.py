"""What the host refuses before a runtime would misread it or drop it silently."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import InputError
from harness.methods import METHODS, Dimensions, select_methods

SIZES = Dimensions(
    dim=4,
    vocab_size=10,
    semantic_codebook_size=128,
    padded_semantic_size=256,
    acoustic_dim=2,
    acoustic_levels=21,
    n_decoding_steps=7,
    downsample_factor=8,
    sampling_rate=24000,
    max_seq_len=6,
    max_codec_frames=5,
)


def check(name: str, *inputs: np.ndarray) -> None:
    (method,) = select_methods([name])
    method.check_inputs(inputs, SIZES)


def positions(start: int, length: int) -> np.ndarray:
    return np.arange(start, start + length, dtype=np.int64)


def embeds(length: int) -> np.ndarray:
    return np.zeros((1, length, 4), np.float32)


def test_the_six_methods_in_their_order() -> None:
    assert [method.name for method in METHODS] == [
        "token_embedding",
        "audio_token_embedding",
        "text_decoder",
        "semantic_head",
        "predict_velocity",
        "codec",
    ]


def test_selection_keeps_the_catalogue_order() -> None:
    assert [m.name for m in select_methods(["codec", "token_embedding"])] == [
        "token_embedding",
        "codec",
    ]


def test_a_typo_names_the_nearest_method() -> None:
    with pytest.raises(InputError, match=r"got 'text_decodr'\); did you mean text_decoder\?"):
        select_methods(["text_decodr"])


def test_the_last_cache_slot_may_be_written() -> None:
    check("text_decoder", embeds(2), positions(4, 2))


def test_a_write_past_the_cache_is_refused() -> None:
    with pytest.raises(InputError, match=r"positions 4\.\.6 of a KV cache of 6"):
        check("text_decoder", embeds(3), positions(4, 3))


def test_a_negative_position_is_refused() -> None:
    with pytest.raises(InputError, match=r"positions -1\.\.0"):
        check("text_decoder", embeds(2), positions(-1, 2))


def test_positions_that_do_not_count_up_are_refused() -> None:
    with pytest.raises(InputError, match="must count up by one"):
        check("text_decoder", embeds(2), np.array([3, 5]))


def test_positions_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"expected \(2,\), got \(3,\)"):
        check("text_decoder", embeds(2), positions(0, 3))


def test_an_id_beyond_the_vocabulary_is_refused() -> None:
    with pytest.raises(InputError, match=r"ids must be within 0\.\.9 \(got 10\.\.10\)"):
        check("token_embedding", np.array([[10]]))


def test_an_acoustic_code_beyond_its_codebook_is_refused() -> None:
    codes = np.zeros((1, 3, 1), np.int64)
    codes[0, 2, 0] = 23
    with pytest.raises(InputError, match=r"acoustic codes must be within 0\.\.22"):
        check("audio_token_embedding", codes)


def test_a_semantic_code_beyond_its_codebook_is_refused() -> None:
    codes = np.zeros((1, 3, 5), np.int64)
    codes[0, 0, 4] = 130
    with pytest.raises(InputError, match=r"codec semantic codes must be within 0\.\.129"):
        check("codec", codes)


def test_a_timestep_beyond_the_last_knot_is_refused() -> None:
    x, hidden = np.zeros((1, 2), np.float32), np.zeros((1, 4), np.float32)
    check("predict_velocity", x, np.array([7]), hidden)
    with pytest.raises(InputError, match=r"t_idx must be within 0\.\.7"):
        check("predict_velocity", x, np.array([8]), hidden)


def test_a_wrong_shape_names_the_input() -> None:
    with pytest.raises(InputError, match=r"codes must have shape \(1, 3, 5\) \(got \(1, 3, 4\)\)"):
        check("codec", np.zeros((1, 3, 4), np.int64))


def test_a_missing_input_is_refused() -> None:
    with pytest.raises(InputError, match=r"semantic_head takes 1 inputs \(got 0\)"):
        check("semantic_head")
