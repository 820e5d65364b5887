"""Edge inputs: within range, reproducible, and covering what the design names."""

from __future__ import annotations

import dataclasses
import hashlib

import ml_dtypes
import numpy as np
import pytest

from harness.methods import METHODS, select_methods
from harness.methods.cases import edge_cases
from tests.methods.test_spec import SIZES

NAMES = [method.name for method in METHODS]


@pytest.mark.parametrize("name", NAMES)
def test_every_case_passes_the_host_check(name: str) -> None:
    (method,) = select_methods([name])
    for case in edge_cases(name, SIZES):
        assert case.calls
        for call in case.calls:
            method.check_inputs(call, SIZES)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_the_same_every_time(name: str) -> None:
    def digest() -> str:
        arrays = [a for case in edge_cases(name, SIZES) for call in case.calls for a in call]
        return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()

    assert digest() == digest()


def test_inputs_are_pinned_across_platforms() -> None:
    first = edge_cases("semantic_head", SIZES)[0].calls[0][0]
    assert first.dtype == np.float32
    assert first.tolist() == [
        [-0.7719709873199463, -1.4971041679382324, -1.1641432046890259, 0.48910802602767944]
    ]


def test_random_reals_have_the_scale_of_a_live_model() -> None:
    wide = edge_cases("text_decoder", SIZES)[2].calls[0][0]
    assert wide.shape == (1, SIZES.max_seq_len, SIZES.dim)
    assert 0.7 < float(np.sqrt(np.mean(wide**2))) < 1.3


def test_text_decoder_reaches_one_some_and_all_positions() -> None:
    lengths = [[c[0].shape[1] for c in case.calls] for case in edge_cases("text_decoder", SIZES)]
    assert [1, 1] in lengths
    assert [SIZES.max_seq_len] in lengths
    assert [SIZES.max_seq_len - 1, 1] in lengths


def test_token_embedding_reaches_both_ends_of_the_vocabulary() -> None:
    ids = np.concatenate(
        [c[0].ravel() for case in edge_cases("token_embedding", SIZES) for c in case.calls]
    )
    assert {0, SIZES.vocab_size - 1} <= set(ids.tolist())


def test_every_row_of_every_table_is_read() -> None:
    sizes = dataclasses.replace(SIZES, max_codec_frames=10)

    def swept(method: str, label: str) -> np.ndarray:
        (case,) = (case for case in edge_cases(method, sizes) if case.label == label)
        return np.concatenate([call[0] for call in case.calls], axis=-1)[0]

    assert set(swept("token_embedding", "every id")) == set(range(10))
    for method in ("audio_token_embedding", "codec"):
        codes = swept(method, "every code")
        assert set(codes[0]) == set(range(130))
        assert all(set(row) == set(range(23)) for row in codes[1:])


def test_a_table_too_long_to_sweep_is_sampled_evenly() -> None:
    large = dataclasses.replace(SIZES, vocab_size=131072, max_seq_len=5)
    (ids,) = edge_cases("token_embedding", large)[-1].calls[0]
    assert edge_cases("token_embedding", large)[-1].label == "5 ids spread evenly"
    assert ids.tolist() == [[0, 32767, 65535, 98303, 131071]]


def test_predict_velocity_reaches_the_first_and_last_knot() -> None:
    knots = {int(c[1][0]) for case in edge_cases("predict_velocity", SIZES) for c in case.calls}
    assert knots == {0, 6}


def test_codec_sees_special_codes() -> None:
    labels = {case.label: case for case in edge_cases("codec", SIZES)}
    assert not labels["all codes special"].calls[0][0].any()


def test_bfloat16_inputs_are_bfloat16() -> None:
    (hidden,) = edge_cases("semantic_head", SIZES, "bfloat16")[0].calls[0]
    assert hidden.dtype == ml_dtypes.bfloat16
