"""What a file holds is what the checkpoint says, bit for bit; each fault is red, by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from fixtures.contents import method_of
from fixtures.exports import Line
from harness.checkpoint import Checkpoint
from harness.checkpoint.loading import load_model
from harness.compare import Status
from harness.methods import METHODS
from harness.methods.precision import PRECISIONS
from harness.parity import archive
from harness.parity.judges.contents import judge_constants, judge_quantization
from harness.parity.judges.files import (
    judge_file_size,
)
from harness.pte.expected import ExpectedContents
from harness.pte.facts import Constant, MethodFacts, ProgramFacts, read_facts
from harness.pte.program import read_program
from harness.reference.constants import expected_constants

SHIPPED = "bf16-4w8w"
FILES = ("model.pte", "codec_decoder.pte")


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
