"""Weights in the file are quantised as asked, and a lowering error cannot hide behind that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.compare import Status
from harness.export.lower import lower_to_mlx
from harness.export.programs import PROGRAMS
from harness.export.quantize import quantized_copy
from harness.methods import METHODS, select_methods
from harness.methods.precision import Precision, parse_precision
from fixtures.exports import Line as Parity
from harness.parity.expected_layers import expected_layers
from harness.parity.judge import judge_evidence
from harness.parity.quantization import judge_file_size, judge_quantization
from harness.pte.program import read_program
from harness.runtime.portable import PortableExecutor

SHIPPED = "bf16-4w8w"


@pytest.fixture(scope="module")
def shipped(parity_in: Callable[[str], Parity]) -> Parity:
    return parity_in(SHIPPED)


def asked(shipped: Parity, name: str, precision: Precision) -> Any:
    """The verdict on the shipped file if another precision had been asked for."""
    (method,) = select_methods([name])
    path = shipped.artifact(method.artifact).path
    return judge_quantization(method, path, shipped.checkpoint, precision)


def lowered(name: str, model: Any, parity: Parity, path: Path) -> Path:
    """Export one method of `model` alone."""
    (method,) = select_methods([name])
    lower_to_mlx({method.entry: PROGRAMS[name](model, parity.sizes)}, {}, path)
    return path


@pytest.mark.parametrize(
    ("method", "layers", "skipped"),
    [
        ("token_embedding", 1, 0),
        ("audio_token_embedding", 1, 0),
        ("text_decoder", 14, 0),
        ("semantic_head", 1, 0),
        ("predict_velocity", 18, 1),
        ("codec", 0, 0),
    ],
)
def test_tiny_has_so_many_layers_to_quantise(
    method: str, layers: int, skipped: int, shipped: Parity
) -> None:
    expected = expected_layers(*select_methods([method]), shipped.checkpoint, shipped.precision)

    assert len(expected) == layers
    assert sum(layer.mlx_group is None for layer in expected) == skipped


def test_a_sound_method_says_what_it_found(shipped: Parity) -> None:
    verdict = asked(shipped, "predict_velocity", shipped.precision)

    assert verdict.status is Status.PASS
    assert verdict.summary == (
        "17 layers 4-bit in groups of 32, values as eager's bit for bit; "
        "skipped: flow_head.input_projection"
    )
    assert verdict.elements == 17


def test_eight_bits_for_four_fail(shipped: Parity) -> None:
    verdict = asked(shipped, "semantic_head", parse_precision(SHIPPED, qlinear="8w"))

    assert verdict.status is Status.FAIL
    assert verdict.summary == (
        "flow_head.semantic_codebook_output has 4 bits in groups of 32 and shape 640×256, "
        "expected 8 in groups of 128 and 640×256"
    )


@pytest.mark.parametrize("method", ["token_embedding", "text_decoder"])
def test_another_group_size_fails(method: str, shipped: Parity) -> None:
    other = parse_precision(SHIPPED, qlinear_group_size=64, qembedding_group_size=32)

    verdict = asked(shipped, method, other)

    assert verdict.status is Status.FAIL
    assert {gate.name for gate in verdict.failed_gates} == {"other bits, group or shape"}


def test_a_layer_quantised_unasked_fails(shipped: Parity) -> None:
    verdict = asked(
        shipped, "text_decoder", parse_precision(SHIPPED, decoder_qlinear_scope="attention")
    )

    assert verdict.status is Status.FAIL
    assert verdict.summary.startswith("quantised unasked: layers.0.feed_forward.w1")


def test_a_linear_left_unquantised_fails(shipped: Parity, tmp_path: Path) -> None:
    (method,) = select_methods(["predict_velocity"])
    twin = quantized_copy(shipped._load("bfloat16"), shipped.precision, shipped.checkpoint.digest)
    twin.flow_head.llm_projection.weight = shipped._load("bfloat16").flow_head.llm_projection.weight
    path = lowered(method.name, twin, shipped, tmp_path / "model.pte")

    verdict = judge_quantization(method, path, shipped.checkpoint, shipped.precision)

    assert verdict.status is Status.FAIL
    assert verdict.summary == "left unquantised: flow_head.llm_projection"


SWAPPED = [
    ("text_decoder", "layers.0.attention.wk", 128),
    ("text_decoder", "layers.1.feed_forward.w1", 640),
    ("semantic_head", "flow_head.semantic_codebook_output", 640),
    ("predict_velocity", "flow_head.layers.1.feed_forward.w2", 256),
]


@pytest.mark.parametrize(("name", "layer", "rows"), SWAPPED)
def test_two_swapped_rows_of_one_layer_fail_both_checks(
    name: str, layer: str, rows: int, shipped: Parity, tmp_path: Path
) -> None:
    """Smaller than the quantisation noise against fp32, and seen all the same."""
    (method,) = select_methods([name])
    original = shipped.artifact(method.artifact).path
    swapped = Path(shutil.copyfile(original, tmp_path / "model.pte"))
    program = read_program(original)
    suffixes = ("original0_to_packed", "original1")  # packed values, and their scales
    spans = [
        span
        for key, span in program.named_data.items()
        if key.partition("/")[2] in {f"{layer}.parametrizations.weight.{s}" for s in suffixes}
    ]
    program.close()
    assert len(spans) == 2
    data = original.read_bytes()
    with swapped.open("r+b") as file:
        for span in spans:
            row = span.size // rows
            at = span.offset + 5 * row
            file.seek(at)
            file.write(data[at + row : at + 2 * row] + data[at : at + row])
    executor = PortableExecutor()
    executor.load(swapped)

    speech = shipped.evidence(method)[0]
    tensors = judge_evidence(method, speech, executor, shipped.sizes, SHIPPED)
    values = judge_quantization(method, swapped, shipped.checkpoint, shipped.precision)

    assert (tensors.status, values.status) == (Status.FAIL, Status.FAIL)
    assert values.summary.startswith("other values than eager's:")


def test_values_that_the_cache_lost_are_said_not_to_be_compared(
    shipped: Parity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = shipped.artifact("model.pte").path
    (method,) = select_methods(["semantic_head"])
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path))

    verdict = judge_quantization(method, path, shipped.checkpoint, shipped.precision)

    assert verdict.metrics["not_compared_by_value"] == 1
    assert "bit for bit" not in verdict.summary
    assert verdict.notes[0].startswith("1 layer could not be compared by value")


@pytest.mark.parametrize("other", ["fp32", "bf16"])
def test_a_file_of_another_precision_has_another_size(other: str, shipped: Parity) -> None:
    path = shipped.artifact("model.pte").path

    verdict = judge_file_size(
        "model.pte", path, shipped.checkpoint, shipped.sizes, parse_precision(other)
    )

    assert verdict.status is Status.FAIL
    assert verdict.failed_gates[0].name == "weights"


def test_a_file_with_something_else_in_it_fails(shipped: Parity, tmp_path: Path) -> None:
    padded = tmp_path / "model.pte"
    padded.write_bytes(shipped.artifact("model.pte").path.read_bytes() + bytes(1 << 18))

    verdict = judge_file_size(
        "model.pte", padded, shipped.checkpoint, shipped.sizes, shipped.precision
    )

    assert [gate.name for gate in verdict.failed_gates] == ["around the weights"]


def test_fp32_with_quantised_weights_shows_the_lowering_to_1e_6(
    shipped: Parity, tmp_path: Path
) -> None:
    """Without bf16's rounding, all that is left is the lowering of the quantised weights."""
    from harness.methods.cases import edge_cases
    from harness.parity.evidence import _run
    from harness.reference.eager import EagerModel

    precision = Precision("fp32", qlinear="4w")
    twin = quantized_copy(shipped._load("float32"), precision, shipped.checkpoint.digest)
    path = lowered("semantic_head", twin, shipped, tmp_path / "model.pte")
    executor = PortableExecutor()
    executor.load(path)
    (method,) = select_methods(["semantic_head"])
    case = edge_cases("semantic_head", shipped.sizes)[0]

    verdict = judge_evidence(
        method, _run(EagerModel(twin), case), executor, shipped.sizes, precision.allowance
    )

    assert verdict.status is Status.PASS
    assert verdict.metrics["max_abs_scaled"] < 2e-6


@pytest.mark.parametrize("name", ["bf16", SHIPPED])
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_verdict_passes(method: Any, name: str, parity_in: Callable[[str], Parity]) -> None:
    verdicts = parity_in(name).judge(method)

    assert [f"{v.case}: {v.summary}" for v in verdicts if v.status is not Status.PASS] == []
    kinds = {verdict.kind for verdict in verdicts}
    assert {"delegation", "sqnr"} < kinds
    assert ("quantisation" in kinds) == (name == SHIPPED)


@pytest.mark.parametrize("name", ["bf16", SHIPPED])
@pytest.mark.parametrize("method", ["text_decoder", "predict_velocity", "codec"])
def test_allowance_is_within_ten_times_what_is_measured(
    method: str, name: str, parity_in: Callable[[str], Parity]
) -> None:
    verdicts = parity_in(name).judge(*select_methods([method]))

    used = max(v.headroom_used for v in verdicts if v.kind in ("tensor", "waveform"))
    assert 0.1 <= used <= 1
