"""What a file holds is what the checkpoint says, bit for bit; each fault is red, by name."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from fixtures.exports import Line
from harness.checkpoint import Checkpoint
from harness.checkpoint.loading import load_model
from harness.compare import Status, Verdict
from harness.methods import METHODS, select_methods
from harness.methods.precision import PRECISIONS, parse_precision
from harness.parity import archive
from harness.parity.judges.contents import judge_constants, judge_quantization
from harness.parity.judges.files import (
    judge_coverage,
    judge_delegation,
    judge_file_size,
    judge_metadata,
)
from harness.pte.coverage import MethodDelegation
from harness.pte.expected import ExpectedContents
from harness.pte.facts import Constant, MethodFacts, ProgramFacts, read_facts
from harness.pte.program import read_program
from harness.reference.constants import expected_constants
from harness.reference.metadata import expected_metadata
from harness.reference.quantize import quantize_in_place

SHIPPED = "bf16-4w8w"
FILES = ("model.pte", "codec_decoder.pte")
Expected = dict[str, ExpectedContents]


def method_of(name: str) -> Any:
    (method,) = select_methods([name])
    return method


@pytest.fixture(scope="session")
def expected_in(tiny: Checkpoint) -> Callable[[str], Expected]:
    """What `tiny` says that the methods must hold, by precision."""

    def make(name: str) -> Expected:
        precision = PRECISIONS[name]
        model = load_model(tiny, max_seq_len=128, dtype=precision.float_type)
        quantize_in_place(model, precision, tiny.digest)
        return expected_constants(model, precision, tiny)

    return cache(make)


@pytest.fixture(scope="session")
def facts_in(parity_in: Callable[[str], Line]) -> Callable[[str, str], ProgramFacts]:
    """The facts of one of the exported files, by precision."""
    return cache(lambda precision, file: read_facts(parity_in(precision).artifact(file).path))


@pytest.fixture
def changed(
    parity_in: Callable[[str], Line], tmp_path: Path
) -> Callable[[str, str, str, Callable[[Any], Any]], ProgramFacts]:
    """The facts of a copy of a file in which one constant was changed."""

    def make(precision: str, file: str, name: str, change: Callable[[Any], Any]) -> ProgramFacts:
        source = parity_in(precision).artifact(file).path
        program = read_program(source)
        where = {span for key, span in program.named_data.items() if key.endswith(name)}
        program.close()
        content = bytearray(source.read_bytes())
        assert where
        for span in where:
            part = content[span.offset : span.offset + span.size]
            content[span.offset : span.offset + span.size] = bytes(change(part))
        assert content != source.read_bytes()
        path = tmp_path / file
        path.write_bytes(content)
        return read_facts(path)

    return make


def times(dtype: Any, factor: float, index: Any = slice(None)) -> Callable[[Any], bytes]:
    def change(part: bytes) -> bytes:
        values = np.frombuffer(part, dtype).copy()
        values[index] = (values[index].astype(np.float64) * factor).astype(dtype)
        return values.tobytes()

    return change


def one_bit(part: bytearray) -> bytearray:
    part[40] ^= 1
    return part


@pytest.mark.parametrize("method", [m.name for m in METHODS])
@pytest.mark.parametrize("precision", list(PRECISIONS))
def test_a_clean_export_holds_what_the_checkpoint_says(
    method: str, precision: str, expected_in: Any, facts_in: Any
) -> None:
    verdict = judge_constants(
        method_of(method), expected_in(precision), facts_in(precision, method_of(method).artifact)
    )

    assert (verdict.status, verdict.elements > 0) == (Status.PASS, True), verdict.summary


FAULTS = [
    ("one weight", "text_decoder", "fp32", "layers.0.attention.wq.weight",
     times("<f4", 1.001, 5), "decoder.layers.0.attention.wq.weight"),
    ("one bit", "predict_velocity", "fp32", "flow_head.norm.weight",
     one_bit, "flow_head.norm.weight"),
    ("whole matrix", "semantic_head", "fp32", "flow_head.semantic_codebook_output.weight",
     times("<f4", 1.000001), "flow_head.semantic_codebook_output.weight"),
    ("whole bf16 matrix", "text_decoder", "bf16", "layers.1.feed_forward.w2.weight",
     times(ml_dtypes.bfloat16, 1.01), "decoder.layers.1.feed_forward.w2.weight"),
    ("table", "token_embedding", "bf16", "/tok_embeddings.weight",
     one_bit, "decoder.tok_embeddings.weight"),
    ("channel-last", "codec", "bf16", "output_proj.conv.weight_channel_last",
     one_bit, "codec_decoder.output_proj.conv.weight"),
    ("timesteps", "predict_velocity", "fp32", "flow_head._timesteps",
     times("<f4", 1.0001, 3), "flow_head._timesteps"),
    ("offsets", "audio_token_embedding", "fp32", "audio_token_embedding.offsets",
     one_bit, "audio_token_embedding.offsets"),
    ("zero point", "token_embedding", SHIPPED, "_scalar_-128_bfloat16_0d",
     times(ml_dtypes.bfloat16, 127 / 128), "decoder.tok_embeddings (biases)"),
    ("scales", "predict_velocity", SHIPPED,
     "flow_head.layers.1.attention.wk.parametrizations.weight.original1",
     times(ml_dtypes.bfloat16, 2.0),
     "flow_head.layers.1.attention.wk (scales, biases)"),
    ("packed", "semantic_head", SHIPPED, "original0_to_packed",
     one_bit, "flow_head.semantic_codebook_output (values)"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "precision", "constant", "change", "named"),
    [fault[1:] for fault in FAULTS],
    ids=[fault[0] for fault in FAULTS],
)
def test_a_changed_constant_is_red_by_name(
    method: str,
    precision: str,
    constant: str,
    change: Callable[[Any], Any],
    named: str,
    expected_in: Any,
    changed: Any,
) -> None:
    facts = changed(precision, method_of(method).artifact, constant, change)

    verdict = judge_constants(method_of(method), expected_in(precision), facts)

    assert verdict.status is Status.FAIL
    assert named in verdict.metrics["changed"]


@pytest.mark.parametrize(("method", "precision"), [("codec", "fp32"), ("text_decoder", SHIPPED)])
def test_foreign_names_are_matched_by_content(
    method: str, precision: str, expected_in: Any, facts_in: Any
) -> None:
    facts = nameless(facts_in(precision, method_of(method).artifact), method)

    verdict = judge_constants(method_of(method), expected_in(precision), facts)

    assert verdict.status is Status.PASS


def test_a_changed_constant_of_a_foreign_name_is_red(expected_in: Any, changed: Any) -> None:
    facts = nameless(
        changed("fp32", "model.pte", "layers.0.ffn_norm.weight", one_bit), "text_decoder"
    )

    verdict = judge_constants(method_of("text_decoder"), expected_in("fp32"), facts)

    assert verdict.status is Status.FAIL
    assert verdict.metrics["changed"] == ("decoder.layers.0.ffn_norm.weight",)


def test_two_weights_in_each_others_place_are_red(expected_in: Any, facts_in: Any) -> None:
    one, other = "layers.0.attention.wq.weight", "layers.1.attention.wq.weight"
    names = {one: other, other: one}
    facts = edited(
        facts_in("fp32", "model.pte"),
        "text_decoder",
        lambda c: replace(c, name=names.get(c.name, c.name)),
    )

    verdict = judge_constants(method_of("text_decoder"), expected_in("fp32"), facts)

    assert verdict.status is Status.FAIL
    assert len(verdict.metrics["changed"]) == 2  # type: ignore[arg-type]


def test_a_constant_that_is_not_there_is_red(expected_in: Any, facts_in: Any) -> None:
    facts = edited(
        facts_in("fp32", "model.pte"),
        "text_decoder",
        lambda c: None if c.name == "norm.weight" else c,
    )

    verdict = judge_constants(method_of("text_decoder"), expected_in("fp32"), facts)

    assert verdict.status is Status.FAIL
    assert verdict.summary == "not in the file: decoder.norm.weight"


def test_one_of_several_equal_tables_cannot_differ(expected_in: Any, facts_in: Any) -> None:
    """ALiBi slopes are equal in every layer: a program of foreign names that changes one is red."""
    slopes = "codec_decoder.decoder_blocks.3.layers.0.attention.alibi_slopes"
    facts = edited(
        facts_in("fp32", "codec_decoder.pte"),
        "forward",
        lambda c: replace(c, name="", sha256="0" * 64 if c.name == slopes else c.sha256),
    )

    verdict = judge_constants(method_of("codec"), expected_in("fp32"), facts)

    assert verdict.status is Status.FAIL
    assert "alibi_slopes" in verdict.summary


def test_a_table_computed_ahead_is_no_fault(expected_in: Any, facts_in: Any) -> None:
    """The codebook's quotient in the place of its two factors."""
    expected = expected_in("fp32")
    (quotient,) = (c for c in expected["codec"].constants if c.stands_for)
    whole = facts_in("fp32", "codec_decoder.pte")
    facts = edited(
        whole,
        "forward",
        lambda c: (
            None
            if c.name.endswith("cluster_usage")
            else replace(c, name="folded", sha256=quotient.digests[0])
            if c.name.endswith("embedding_sum")
            else c
        ),
    )
    grown = replace(
        whole,
        bytes=whole.bytes + quotient.nbytes,
        constant_bytes=whole.constant_bytes + quotient.nbytes,
    )

    assert judge_constants(method_of("codec"), expected, facts).status is Status.PASS
    assert judge_file_size("codec_decoder.pte", expected, grown).status is Status.PASS


def test_a_table_that_nothing_explains_is_not_judged(expected_in: Any, facts_in: Any) -> None:
    whole = facts_in("fp32", "model.pte")
    method = whole.methods["semantic_head"]
    folded = Constant("folded", "float32", (3, 5), "1" * 64)
    facts = with_method(
        whole, "semantic_head", replace(method, constants=(*method.constants, folded))
    )

    verdict = judge_constants(method_of("semantic_head"), expected_in("fp32"), facts)

    assert verdict.status is Status.UNJUDGED
    assert verdict.summary == "not explained by the checkpoint: folded (float32 3×5)"


def test_nothing_compared_is_not_judged(facts_in: Any) -> None:
    whole = facts_in("fp32", "model.pte")
    empty = replace(whole.methods["text_decoder"], constants=())
    facts = with_method(whole, "text_decoder", empty)
    nothing = {"text_decoder": ExpectedContents(())}

    assert judge_constants(method_of("text_decoder"), nothing, facts).status is Status.UNJUDGED
    assert judge_quantization(method_of("text_decoder"), nothing, facts).status is Status.UNJUDGED


def test_names_of_a_hostile_file_are_cut(expected_in: Any, facts_in: Any) -> None:
    whole = facts_in("fp32", "model.pte")
    method = whole.methods["semantic_head"]
    strangers = tuple(Constant("x" * 100_000, "float32", (n, 1), "1" * 64) for n in range(1, 50))
    facts = with_method(
        whole, "semantic_head", replace(method, constants=(*method.constants, *strangers))
    )

    summary = judge_constants(method_of("semantic_head"), expected_in("fp32"), facts).summary

    assert len(summary) < 800


# --- quantisation --------------------------------------------------------------------------------


def test_a_sound_method_says_what_it_found(expected_in: Any, facts_in: Any) -> None:
    verdict = judge_quantization(
        method_of("predict_velocity"), expected_in(SHIPPED), facts_in(SHIPPED, "model.pte")
    )

    assert verdict.status is Status.PASS
    assert verdict.summary == (
        "17 layers 4-bit in groups of 32, at least 21.4 dB of each weight kept; "
        "skipped: flow_head.input_projection"
    )


@pytest.mark.parametrize(
    ("options", "method", "gate"),
    [
        ({"qlinear": "8w"}, "semantic_head", "other bits, group or shape"),
        ({"qlinear_group_size": 64}, "text_decoder", "other bits, group or shape"),
        ({"qembedding_group_size": 32}, "token_embedding", "other bits, group or shape"),
        ({"decoder_qlinear_scope": "attention"}, "text_decoder", "quantised unasked"),
    ],
)
def test_another_quantisation_than_asked_is_red(
    options: Any, method: str, gate: str, tiny: Checkpoint, facts_in: Any
) -> None:
    precision = parse_precision(SHIPPED, **options)
    model = load_model(tiny, max_seq_len=128, dtype="bfloat16")
    quantize_in_place(model, PRECISIONS[SHIPPED], tiny.digest)
    expected = expected_constants(model, precision, tiny)

    verdict = judge_quantization(method_of(method), expected, facts_in(SHIPPED, "model.pte"))

    assert verdict.status is Status.FAIL
    assert gate in {gate.name for gate in verdict.failed_gates}


def test_a_layer_left_unquantised_is_red(expected_in: Any, facts_in: Any) -> None:
    whole = facts_in(SHIPPED, "model.pte")
    method = whole.methods["predict_velocity"]
    layers = tuple(c for c in method.layers if c.name != "flow_head.llm_projection")
    facts = with_method(whole, "predict_velocity", replace(method, layers=layers))

    verdict = judge_quantization(method_of("predict_velocity"), expected_in(SHIPPED), facts)

    assert verdict.status is Status.FAIL
    assert verdict.summary == "left unquantised: flow_head.llm_projection"


def test_doubled_scales_that_eager_shares_are_red(tiny: Checkpoint, facts_in: Any) -> None:
    """A quantiser at fault makes both sides wrong alike: only the checkpoint tells."""
    model = load_model(tiny, max_seq_len=128, dtype="bfloat16")
    quantize_in_place(model, PRECISIONS[SHIPPED], tiny.digest)
    weight = model.decoder.layers[1].attention.wv.weight
    weight.scale = weight.scale * 2

    verdict = judge_quantization(
        method_of("text_decoder"),
        expected_constants(model, PRECISIONS[SHIPPED], tiny),
        facts_in(SHIPPED, "model.pte"),
    )

    assert verdict.status is Status.FAIL
    (gate,) = verdict.failed_gates
    assert (gate.name, gate.where) == ("noise", "decoder.layers.1.attention.wv")


# --- metadata ------------------------------------------------------------------------------------


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


# --- size and delegation -------------------------------------------------------------------------


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


# --- as values -----------------------------------------------------------------------------------


def test_both_sides_go_through_a_file(expected_in: Any, facts_in: Any, tmp_path: Path) -> None:
    for value in (facts_in(SHIPPED, "model.pte"), *expected_in(SHIPPED).values()):
        archive.save(tmp_path / "value.npz", value)
        assert archive.load(tmp_path / "value.npz", type(value)) == value


def test_judging_needs_no_torch() -> None:
    code = (
        "import sys; import harness.parity.judges.files, harness.reference.metadata; "
        "sys.exit(bool({'torch', 'mlx', 'executorch'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_mapped_weights_give_the_same(tiny: Checkpoint, expected_in: Any) -> None:
    model = load_model(tiny, max_seq_len=128, mapped=True)

    assert expected_constants(model, PRECISIONS["fp32"], tiny) == expected_in("fp32")


# --- helpers -------------------------------------------------------------------------------------


def with_method(facts: ProgramFacts, name: str, method: MethodFacts) -> ProgramFacts:
    return replace(facts, methods={**facts.methods, name: method})


def edited(
    facts: ProgramFacts, name: str, edit: Callable[[Constant], Constant | None]
) -> ProgramFacts:
    method = facts.methods[name]
    constants = tuple(c for c in map(edit, method.constants) if c is not None)
    return with_method(facts, name, replace(method, constants=constants))


def nameless(facts: ProgramFacts, name: str) -> ProgramFacts:
    entry = method_of(name).entry
    layers = tuple(replace(layer, name="") for layer in facts.methods[entry].layers)
    method = replace(facts.methods[entry], layers=layers)
    return edited(with_method(facts, entry, method), entry, lambda c: replace(c, name=""))


def test_xnnpack_leaves_products_of_bfloat16_to_the_kernels() -> None:
    facts = delegated("text_decoder", {"XnnpackBackend": 2}, ("aten::mm.out",))
    own = facts.methods["text_decoder"]
    narrow = dataclasses.replace(own, constants=(Constant("w", "bfloat16", (2, 2), ""),))
    held = dataclasses.replace(facts, methods={"text_decoder": narrow})
    assert judge_coverage(method_of("text_decoder"), held).status is Status.PASS
    assert judge_coverage(method_of("text_decoder"), facts).status is Status.FAIL
