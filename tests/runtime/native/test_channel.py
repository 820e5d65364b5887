from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest

from harness.runtime.native.channel import Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    here, there = (Channel(end) for end in socket.socketpair())
    yield here, there
    here.close()
    there.close()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.int64).reshape(1, 2, 3),
        np.array(2.5, np.float32),
        np.array([1.5, -2], ml_dtypes.bfloat16),
        np.array([True, False]),
        np.array("cheerful_female"),
        np.zeros((0, 3), np.float16),
        np.arange(12.0).reshape(3, 4).T,
        np.arange(10, dtype=np.uint16)[::3],
    ],
    ids=["int64", "0-d", "bfloat16", "bool", "text", "empty", "transposed", "strided"],
)
def test_arrays_arrive_as_they_were(ends: tuple[Channel, Channel], array: np.ndarray) -> None:
    here, there = ends
    here.send({"method": "codec"}, [array, array])
    fields, arrays = there.receive()
    assert fields == {"method": "codec"}
    for got in arrays:
        assert (got.dtype, got.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(got, array)
        assert got.flags.writeable


def test_nan_payloads_and_infinities_keep_their_bits(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    bits = np.array([0x7FC00001, 0xFF800000, 0x80000000], np.uint32)
    here.send({}, [bits.view(np.float32)])
    assert there.receive()[1][0].view(np.uint32).tolist() == bits.tolist()


def test_more_than_the_socket_buffers_hold(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    big = np.arange(4_000_000, dtype=np.int32)
    sender = threading.Thread(target=here.send, args=({}, [big]))
    sender.start()
    np.testing.assert_array_equal(there.receive()[1][0], big)
    sender.join()


def test_receiving_ends_at_the_deadline(ends: tuple[Channel, Channel]) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        ends[0].receive(deadline=start + 0.1)
    assert 0.1 <= time.monotonic() - start < 2


def test_sending_to_one_who_does_not_read_ends_at_the_deadline(
    ends: tuple[Channel, Channel],
) -> None:
    big = np.zeros(16_000_000, np.uint8)
    with pytest.raises(TimeoutError):
        ends[0].send({}, [big], deadline=time.monotonic() + 0.1)


def test_the_other_end_hanging_up_is_a_connection_error(ends: tuple[Channel, Channel]) -> None:
    here, there = ends
    there.close()
    with pytest.raises(ConnectionError):
        here.receive()
