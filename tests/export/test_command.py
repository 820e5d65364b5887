"""Upstream's flags: what is refused, and why; what reaches the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkpoint import Checkpoint
from harness.errors import InputError
from harness.export.command import _relevant, parse_flags, write_artifacts
from harness.export.quantization import KernelQuantization
from harness.methods.precision import PRECISIONS, Precision
from harness.parity import Parity
from harness.runtime.portable import PortableExecutor


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"backend": "cuda"}, r"backend must be one of mlx, xnnpack, portable \(got 'cuda'\)"),
        ({"dtype": "fp16"}, r"dtype must be one of fp32, bf16 \(got 'fp16'\)"),
        ({"dtype": "bf16-4w8w"}, r"dtype must be one of fp32, bf16 \(got 'bf16-4w8w'\)"),
        ({"dtype": "fp32", "precision": "bf16"}, "--dtype fp32 contradicts --precision bf16"),
        ({"target": "both"}, r"export-target must be one of all, model, codec \(got 'both'\)"),
        ({"qlinear_codec": "8w"}, "no verdict could vouch for it"),
        ({"qlinear_codec_group_size": 32}, "needs qlinear-codec"),
        ({"backend": "xnnpack", "qlinear_codec": "2w"}, "qlinear-codec must be one of 4w, 8w"),
        ({"qlinear": "8da4w"}, "quantises activations as well"),
        ({"qlinear": "2w"}, r"qlinear must be one of 4w, 8w \(got '2w'\)"),
        ({"qlinear": "4w", "qlinear_packing_format": "plain"}, "MLX packs weights in its own way"),
        ({"qlinear_packing_format": "plain"}, "qlinear-packing-format needs qlinear"),
        ({"qembedding": "2w"}, "qembedding must be one of 4w, 8w"),
        (
            {"qlinear": "4w", "decoder_qlinear_scope": "half"},
            "decoder-qlinear-scope must be one of all, attention, feed_forward, none",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(flags: dict[str, str], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        parse_flags(**flags)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("qlinear", "width", "dynamic"),
    [("4w", "4w", False), ("8w", "8w", False), ("8da4w", "4w", True), ("8da8w", "8w", True)],
)
def test_xnnpack_takes_upstreams_own_choices(qlinear: str, width: str, dynamic: bool) -> None:
    flags = parse_flags(backend="xnnpack", qlinear=qlinear, qlinear_codec="8w")

    assert (flags.precision.qlinear, flags.kernels.dynamic) == (width, dynamic)
    assert flags.kernels.codec == "8w"


def test_a_precision_is_short_for_its_flags() -> None:
    spelled = parse_flags(
        dtype="bf16", qlinear="4w", qlinear_group_size=32,
        qembedding="8w", qembedding_group_size=128,
    )  # fmt: skip

    assert parse_flags(precision="bf16-4w8w") == spelled


def test_flags_of_one_file_do_not_change_the_other() -> None:
    flags = parse_flags(backend="portable", qlinear="4w", qlinear_codec="8w")

    codec = _relevant(flags, "codec_decoder.pte", print)
    model = _relevant(flags, "model.pte", print)

    assert codec == (Precision("fp32"), KernelQuantization(codec="8w"))
    assert model == (Precision("fp32", qlinear="4w"), KernelQuantization())


def test_mlx_files_are_those_that_check_judges() -> None:
    flags = parse_flags(precision="bf16-4w8w")

    assert _relevant(flags, "model.pte", print) == (PRECISIONS["bf16-4w8w"], None)
    assert _relevant(flags, "codec_decoder.pte", print) == (PRECISIONS["bf16"], None)


def test_one_target_in_bf16_for_a_streaming_runner(
    tiny: Checkpoint, parity: Parity, tmp_path: Path
) -> None:
    write_artifacts(
        tiny,
        parity.sizes,
        parse_flags(dtype="bf16", target="model", streaming=True),
        tmp_path,
        voice=tiny.voice_file("neutral_female"),
    )

    assert [path.name for path in tmp_path.iterdir()] == ["model.pte"]
    executor = PortableExecutor()
    executor.load(tmp_path / "model.pte")
    assert executor.call("streaming", [])[0] == 1
    assert executor.call("lm_input_is_bf16", [])[0] == 1
    assert executor.inputs("semantic_head")[0].dtype == "bfloat16"


def test_xnnpack_leaves_quantised_embeddings_out_with_upstreams_warning() -> None:
    lines: list[str] = []
    flags = parse_flags(backend="xnnpack", qembedding="8w")

    assert _relevant(flags, "model.pte", lines.append) == (Precision("fp32"), None)
    assert lines == [
        "warning: XNNPACK runtime does not register quantized embedding kernels yet; "
        "disabling embedding quantization for this export."
    ]
