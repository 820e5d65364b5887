"""A file's metadata, size and delegation are judged; each fault is red."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fixtures.contents import method_of
from harness.checkpoint import Checkpoint
from harness.compare import Status, Verdict
from harness.methods.precision import PRECISIONS
from harness.parity.judges.files import (
    judge_coverage,
    judge_delegation,
    judge_file_size,
    judge_metadata,
)
from harness.pte.coverage import MethodDelegation
from harness.pte.facts import Constant, MethodFacts, ProgramFacts
from harness.reference.metadata import expected_metadata

FILES = ("model.pte", "codec_decoder.pte")


@pytest.fixture(scope="session")
def metadata(tiny: Checkpoint, parity_in: Any) -> Any:
    sizes = parity_in("fp32").sizes
    return expected_metadata(tiny.config, sizes, PRECISIONS["fp32"], streaming=False, voice_rows=12)


@pytest.mark.parametrize(("file", "count"), [("model.pte", 24), ("codec_decoder.pte", 5)])
def test_the_metadata_of_a_clean_export(
    file: str, count: int, metadata: Any, facts_in: Any
) -> None:
    verdict = judge_metadata(file, metadata[file], facts_in("fp32", file))

    assert verdict.status is Status.PASS
    assert verdict.elements == count
    assert verdict.metrics["not_compared"] == ()


WRONG = {
    "n_decoding_steps": 8, "cfg_alpha_x100": 125, "sample_rate": 22050, "end_audio_code": 2,
    "voice_embed_len": 11, "streaming_left_context": 0, "n_special_tokens": 0, "streaming": 1,
    "streaming_chunk_frames": 24, "streaming_initial_chunk": 6, "lm_input_is_bf16": 1,
    "max_seq_len": 127, "empty_audio_code": 1, "n_acoustic_codebook": 35, "dim": 255,
    "semantic_codebook_size": 511, "acoustic_levels": 20, "vocab_size": 8191,
    "downsample_factor": 960, "n_codebooks": 36, "audio_token_id": 25,
    "begin_audio_token_id": 24, "text_to_audio_token_id": 35, "repeat_audio_text_token_id": 36,
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "name", "value"),
    [
        *(("model.pte", name, value) for name, value in WRONG.items()),
        ("model.pte", "dim", 256.0),
        ("model.pte", "streaming", False),
        ("codec_decoder.pte", "max_codec_frames", 39),
        ("codec_decoder.pte", "codec_supports_exact_frames", 1),
        ("codec_decoder.pte", "sample_rate", 16000),
    ],
)
def test_each_wrong_value_of_metadata_is_red(
    file: str, name: str, value: Any, metadata: Any, facts_in: Any
) -> None:
    whole = facts_in("fp32", file)
    facts = replace(whole, metadata={**whole.metadata, name: value})

    verdict = judge_metadata(file, metadata[file], facts)

    assert verdict.status is Status.FAIL
    assert verdict.summary.startswith(f"{name} is {value}, expected ")


def test_every_value_of_metadata_has_a_wrong_one_above(metadata: Any) -> None:
    assert set(metadata["model.pte"]) == set(WRONG)


@pytest.mark.parametrize("precision", list(PRECISIONS))
@pytest.mark.parametrize("file", FILES)
def test_a_clean_export_is_as_long_as_its_weights(
    file: str, precision: str, expected_in: Any, facts_in: Any
) -> None:
    verdict = judge_file_size(file, expected_in(precision), facts_in(precision, file))

    assert verdict.status is Status.PASS


def test_weights_in_a_wider_type_are_too_long(expected_in: Any, facts_in: Any) -> None:
    verdict = judge_file_size("codec_decoder.pte", expected_in("bf16"), facts_in("fp32", FILES[1]))

    assert verdict.status is Status.FAIL


def test_what_surrounds_the_weights_is_bounded(expected_in: Any, facts_in: Any) -> None:
    whole = facts_in("fp32", "codec_decoder.pte")

    verdict = judge_file_size(
        "codec_decoder.pte", expected_in("fp32"), replace(whole, bytes=whole.bytes + 500_000)
    )

    assert [gate.name for gate in verdict.failed_gates] == ["around the constants"]


def delegated(
    name: str, delegates: dict[str, int], calls: tuple[str, ...] = (), nodes: int = 0
) -> Any:
    facts = MethodFacts(MethodDelegation(name, delegates, calls, {"AddNode": nodes}), (), ())
    return ProgramFacts(0, 0, {}, {name: facts})


@pytest.mark.parametrize(
    ("delegates", "calls", "status"),
    [
        ({"MLXBackend": 1}, (), Status.PASS),
        ({"MLXBackend": 2}, (), Status.FAIL),
        ({}, (), Status.FAIL),
        ({"MLXBackend": 1}, ("aten::mm.out",), Status.FAIL),
        ({"MLXBackend": 1, "XnnpackBackend": 1}, (), Status.FAIL),
    ],
)
def test_mlx_takes_a_method_whole(
    delegates: dict[str, int], calls: tuple[str, ...], status: Status
) -> None:
    facts = delegated("text_decoder", delegates, calls, nodes=7)

    assert judge_delegation(method_of("text_decoder"), facts).status is status


def test_a_delegate_without_nodes_proves_nothing() -> None:
    facts = delegated("text_decoder", {"MLXBackend": 1})

    assert judge_delegation(method_of("text_decoder"), facts).status is Status.UNJUDGED


@pytest.mark.parametrize(
    ("method", "delegates", "calls", "status"),
    [
        ("text_decoder", {"XnnpackBackend": 24}, ("aten::mean.out",), Status.PASS),
        ("text_decoder", {}, ("aten::mm.out", "aten::add.out"), Status.FAIL),
        ("text_decoder", {}, ("aten::add.out",), Status.FAIL),
        ("text_decoder", {}, (), Status.FAIL),
        ("text_decoder", {"XnnpackBackend": 2}, ("aten::linear.out",), Status.FAIL),
        ("text_decoder", {"XnnpackBackend": 2, "MLXBackend": 1}, (), Status.FAIL),
        ("token_embedding", {}, ("aten::embedding.out",), Status.PASS),
    ],
)
def test_xnnpack_takes_every_matrix_product(
    method: str, delegates: dict[str, int], calls: tuple[str, ...], status: Status
) -> None:
    facts = delegated(method, delegates, calls)

    assert judge_coverage(method_of(method), facts).status is status


JUDGES: dict[str, Callable[[ProgramFacts], Verdict]] = {
    "delegation": lambda facts: judge_delegation(method_of("codec"), facts),
    "coverage": lambda facts: judge_coverage(method_of("codec"), facts),
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
def test_a_method_that_is_not_in_the_file_is_not_judged(judge: Any) -> None:
    verdict = judge(delegated("encode", {"MLXBackend": 1}))

    assert verdict.status is Status.UNJUDGED
    assert verdict.summary == (
        "codec_decoder.pte has no method forward: it carries encode; export it again"
    )


def test_xnnpack_leaves_products_of_bfloat16_to_the_kernels() -> None:
    facts = delegated("text_decoder", {"XnnpackBackend": 2}, ("aten::mm.out",))
    own = facts.methods["text_decoder"]
    narrow = dataclasses.replace(own, constants=(Constant("w", "bfloat16", (2, 2), ""),))
    held = dataclasses.replace(facts, methods={"text_decoder": narrow})
    assert judge_coverage(method_of("text_decoder"), held).status is Status.PASS
    assert judge_coverage(method_of("text_decoder"), facts).status is Status.FAIL
