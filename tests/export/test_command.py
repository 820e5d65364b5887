"""Upstream's flags: what is refused, and why; what reaches the files."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkpoint import Checkpoint
from harness.errors import InputError
from harness.export.command import ExportFlags, write_artifacts
from harness.export.quantization import Quantization
from harness.parity import Parity
from harness.runtime.portable import PortableExecutor


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"backend": "cuda"}, r"backend must be one of mlx, xnnpack, portable \(got 'cuda'\)"),
        ({"dtype": "fp16"}, r"dtype must be one of fp32, bf16 \(got 'fp16'\)"),
        ({"target": "both"}, r"export-target must be one of all, model, codec \(got 'both'\)"),
        ({"quantization": Quantization(qlinear_codec="8w")}, "no verdict could vouch for it"),
        ({"quantization": Quantization(qlinear="8da4w")}, "quantises activations as well"),
        ({"quantization": Quantization(qlinear="2w")}, r"qlinear must be one of 4w, 8w \(got"),
        ({"quantization": Quantization(qembedding="2w")}, "qembedding must be one of 4w, 8w"),
        (
            {"quantization": Quantization(decoder_qlinear_scope="half")},
            "decoder-qlinear-scope must be one of all, attention, feed_forward, none",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(flags: dict[str, object], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        ExportFlags(**flags)  # type: ignore[arg-type]


@pytest.mark.parametrize("qlinear", ["4w", "8w", "8da4w", "8da8w"])
def test_xnnpack_takes_upstreams_own_choices(qlinear: str) -> None:
    quantization = Quantization(qlinear=qlinear, qlinear_codec="8w")

    assert ExportFlags(backend="xnnpack", quantization=quantization).quantization == quantization


def test_flags_of_one_file_do_not_change_the_other() -> None:
    asked = Quantization(qlinear="4w", qlinear_codec="8w", qlinear_codec_group_size=32)

    assert asked.of_codec == Quantization(qlinear_codec="8w", qlinear_codec_group_size=32)
    assert asked.of_model == Quantization(qlinear="4w")


def test_no_quantisation_has_no_facts() -> None:
    assert Quantization(decoder_qlinear_scope="attention").facts == ()
    assert Quantization(qlinear="4w").facts == (
        ("qlinear", "4w"), ("decoder_qlinear_scope", "all"),
    )  # fmt: skip


def test_one_target_in_bf16_for_a_streaming_runner(
    tiny: Checkpoint, parity: Parity, tmp_path: Path
) -> None:
    write_artifacts(
        tiny,
        parity.sizes,
        ExportFlags(dtype="bf16", target="model", streaming=True),
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
    from harness.export.command import _relevant

    lines: list[str] = []
    flags = ExportFlags(backend="xnnpack", quantization=Quantization(qembedding="8w"))

    assert _relevant(flags, "model.pte", lines.append).facts == ()
    assert lines == [
        "warning: XNNPACK runtime does not register quantized embedding kernels yet; "
        "disabling embedding quantization for this export."
    ]
