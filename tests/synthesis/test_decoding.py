"""Windows of the codec: of a whole speech, and of a stream."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from harness.arrays import Array
from harness.checkpoint import Checkpoint, open_checkpoint
from harness.errors import InputError
from harness.reference.eager import EagerModel
from harness.synthesis import Chunks, codec_lookback, decode_codes, decode_streaming, stream_windows
from harness.synthesis.decoding import Stream, Window


class Echo:
    """A codec each of whose samples is its frame's semantic code; remembers its windows."""

    def __init__(self) -> None:
        self.windows: list[list[int]] = []

    def reset(self, state: str = "default") -> None: ...

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        self.windows.append(inputs[0][0, 0].tolist())
        return [np.repeat(inputs[0][:, :1], 1920, axis=2).astype(np.float32)]


def test_a_stream_starts_with_five_frames_and_goes_on_by_twenty_five() -> None:
    assert stream_windows(70) == [
        Window(0, 0, 5),
        Window(0, 5, 30),
        Window(5, 30, 55),
        Window(30, 55, 70),
    ]


@pytest.mark.parametrize(("frames", "windows"), [(0, 0), (4, 1), (5, 1), (6, 2), (30, 2), (31, 3)])
def test_what_is_left_over_is_a_window_of_its_own(frames: int, windows: int) -> None:
    assert len(stream_windows(frames)) == windows


@pytest.mark.parametrize("frames", [0, 3, 5, 7, 9, 12])
def test_chunks_follow_one_another_without_gap_or_overlap(tiny: Checkpoint, frames: int) -> None:
    echo = Echo()
    codes = np.tile(np.arange(frames), (37, 1))
    waveform = decode_streaming(echo, tiny.config, codes, 8, Chunks(3, 4, 2))
    assert waveform.reshape(-1, 1920)[:, 0].tolist() == list(range(frames))


def test_a_chunk_brings_its_left_context_and_is_padded_with_its_last_frame(
    tiny: Checkpoint,
) -> None:
    echo = Echo()
    decode_streaming(echo, tiny.config, np.tile(np.arange(8), (37, 1)), 8, Chunks(3, 4, 2))
    assert echo.windows == [
        [0, 1, 2, 2, 2, 2, 2, 2],
        [1, 2, 3, 4, 5, 6, 6, 6],
        [5, 6, 7, 7, 7, 7, 7, 7],
    ]


def test_a_chunk_comes_as_soon_as_it_is_whole(tiny: Checkpoint) -> None:
    stream = Stream(Echo(), tiny.config, 8, Chunks(3, 4, 2))
    came = [stream.add(np.full(37, frame)) is not None for frame in range(8)]
    assert came == [False, False, True, False, False, False, True, False]
    assert stream.finish() is not None
    assert stream.finish() is None


def test_a_window_longer_than_the_codec_takes_is_refused(tiny: Checkpoint) -> None:
    codes = np.zeros((37, 60), np.int64)
    with pytest.raises(InputError, match=r"windows of up to 50 frames.*takes 40: export with"):
        decode_streaming(Echo(), tiny.config, codes, 40)


@pytest.mark.parametrize(("preset", "frames"), [("tiny", 15), ("small", 21)])
def test_the_codec_looks_back_a_known_number_of_frames(preset: str, frames: int) -> None:
    assert codec_lookback(open_checkpoint(preset).config) == frames


def test_beyond_its_lookback_the_codec_hears_nothing(tiny: Checkpoint, tiny_model: object) -> None:
    draw = np.random.default_rng(3)
    codes = draw.integers(2, 23, (37, 40))
    other = codes.copy()
    other[:, 10] = draw.integers(2, 23, 37)
    eager = EagerModel(tiny_model)

    pair = [decode_codes(eager, tiny.config, each, 40) for each in (codes, other)]

    heard = np.flatnonzero(np.subtract(*pair)) // 1920
    assert heard.min() == 10  # causal
    assert heard.max() == 10 + 15


def test_streaming_equals_offline_where_both_have_their_context(
    tiny: Checkpoint, tiny_model: object
) -> None:
    codes = np.random.default_rng(5).integers(2, 23, (37, 50))
    eager = EagerModel(tiny_model)

    offline = decode_codes(eager, tiny.config, codes, 64)
    streamed = decode_streaming(eager, tiny.config, codes, 64)

    np.testing.assert_allclose(streamed, offline, atol=1e-5 * np.abs(offline).max())
