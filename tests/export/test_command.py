"""Upstream's flags: what is refused, and why; what reaches the files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fixtures.exports import Line
from harness.checkpoint import Checkpoint
from harness.errors import ExecutionError, InputError
from harness.export import command
from harness.export.artifacts import Artifact, ExportInputs
from harness.export.command import ExportFlags, _relevant, parse_flags, write_artifacts
from harness.export.quantization import KernelQuantization
from harness.methods.precision import PRECISIONS, Precision
from harness.runtime.portable import PortableExecutor


def relevant(
    flags: ExportFlags, name: str, progress: Callable[[str], None] = print
) -> tuple[Precision, KernelQuantization | None]:
    options = _relevant(flags.options, name, progress)
    return options.precision, options.kernels


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
        ({"qlinear": "4w", "qlinear_group_size": 16}, "a multiple of 32, which MLX's kernels need"),
        ({"qlinear_group_size": 32}, "qlinear-group-size needs qlinear"),
        ({"decoder_qlinear_scope": "none"}, "decoder-qlinear-scope needs qlinear"),
        (
            {"backend": "portable", "decoder_qlinear_scope": "half"},
            "decoder-qlinear-scope must be one of all, attention, feed_forward, none",
        ),
        ({"qembedding": "2w"}, "qembedding must be one of 4w, 8w"),
        ({"precision": ""}, "precision must be one of"),
        ({"precision": "", "dtype": "bf16"}, "precision must be one of"),
        ({"qlinear": ""}, "qlinear must be one of"),
        ({"qlinear_packing_format": ""}, "qlinear-packing-format needs qlinear"),
        (
            {"backend": "xnnpack", "qlinear": "4w", "qlinear_packing_format": ""},
            "qlinear-packing-format must name",
        ),
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

    assert flags.options.precision.qlinear == width
    assert flags.options.kernels == KernelQuantization(dynamic, codec="8w")


@pytest.mark.parametrize("backend", ["xnnpack", "portable"])
def test_only_mlx_needs_its_own_group_sizes(backend: str) -> None:
    flags = parse_flags(backend=backend, qlinear="4w", qlinear_group_size=16)

    assert flags.options.precision == Precision(qlinear="4w", qlinear_group_size=16)
    assert flags.ignored == ()


@pytest.mark.parametrize("backend", ["xnnpack", "portable"])
def test_what_shapes_nothing_is_taken_as_upstream_takes_it(backend: str) -> None:
    flags = parse_flags(
        backend=backend,
        decoder_qlinear_scope="none",
        qlinear_group_size=64,
        qlinear_packing_format="plain",
        qembedding_group_size=8,
        qlinear_codec_group_size=32,
    )

    assert flags.options.precision == Precision("fp32")
    assert flags.options.kernels == KernelQuantization()
    assert flags.ignored == (
        "--qlinear-group-size",
        "--qlinear-packing-format",
        "--decoder-qlinear-scope",
        "--qembedding-group-size",
        "--qlinear-codec-group-size",
    )


def test_a_precision_is_short_for_its_flags() -> None:
    spelled = parse_flags(
        dtype="bf16", qlinear="4w", qlinear_group_size=32,
        qembedding="8w", qembedding_group_size=128,
    )  # fmt: skip

    assert parse_flags(precision="bf16-4w8w") == spelled


def test_flags_of_one_file_do_not_change_the_other() -> None:
    flags = parse_flags(backend="portable", qlinear="4w", qlinear_codec="8w")

    codec = relevant(flags, "codec_decoder.pte", print)
    model = relevant(flags, "model.pte", print)

    assert codec == (Precision("fp32"), KernelQuantization(codec="8w"))
    assert model == (Precision("fp32", qlinear="4w"), KernelQuantization())


def test_mlx_files_are_those_that_check_judges() -> None:
    flags = parse_flags(precision="bf16-4w8w")

    assert relevant(flags, "model.pte", print) == (PRECISIONS["bf16-4w8w"], None)
    assert relevant(flags, "codec_decoder.pte", print) == (PRECISIONS["bf16"], None)


def test_one_target_in_bf16_for_a_streaming_runner(
    tiny: Checkpoint, tiny_line: Line, tmp_path: Path
) -> None:
    write_artifacts(
        tiny,
        tiny_line.sizes,
        parse_flags(dtype="bf16", target="model", streaming=True),
        tmp_path,
        voice=tiny.voice_file("neutral_female"),
    )

    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.nodes.json", "model.pte"]
    executor = PortableExecutor()
    executor.load(tmp_path / "model.pte")
    assert executor.call("streaming", [])[0] == 1
    assert executor.call("lm_input_is_bf16", [])[0] == 1
    assert executor.inputs("semantic_head")[0].dtype == "bfloat16"


@pytest.mark.parametrize(
    ("target", "names"),
    [
        ("model", ["model.pte"]),
        ("codec", ["codec_decoder.pte"]),
        ("all", ["codec_decoder.pte", "model.pte"]),
    ],
)
def test_a_target_writes_its_file_and_asks_for_no_other(
    target: str,
    names: list[str],
    tiny: Checkpoint,
    tiny_line: Line,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def fake(inputs: ExportInputs, *_: object, **__: object) -> Artifact:
        name = inputs.name
        asked.append(name)
        (tmp_path / name).write_bytes(b"program")
        return Artifact(name, tmp_path / name, 7, "", 0.0, False, {})

    monkeypatch.setattr(command, "export_artifact", fake)
    output = tmp_path / "output"

    write_artifacts(
        tiny,
        tiny_line.sizes,
        parse_flags(target=target),
        output,
        voice=tiny.voice_file("neutral_female"),
    )

    assert sorted(asked) == names
    assert sorted(path.name for path in output.iterdir()) == names


def test_nothing_is_written_unless_all_methods_can_be_lowered(
    tiny: Checkpoint, tiny_line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(inputs: ExportInputs, *_: object, **__: object) -> Artifact:
        name = inputs.name
        failures = {"codec": "RuntimeError: no kernel"} if name == "codec_decoder.pte" else {}
        (tmp_path / name).write_bytes(b"program")
        return Artifact(name, tmp_path / name, 7, "", 0.0, False, failures)

    monkeypatch.setattr(command, "export_artifact", fake)
    voice = tiny.voice_file("neutral_female")

    with pytest.raises(ExecutionError, match=r"codec cannot be lowered to mlx: .*no kernel"):
        write_artifacts(tiny, tiny_line.sizes, parse_flags(), tmp_path / "output", voice=voice)

    assert not list((tmp_path / "output").iterdir())


def test_xnnpack_leaves_quantised_embeddings_out_with_upstreams_warning() -> None:
    lines: list[str] = []
    flags = parse_flags(backend="xnnpack", qembedding="8w")

    assert relevant(flags, "model.pte", lines.append) == (Precision("fp32"), None)
    assert lines == [
        "warning: XNNPACK runtime does not register quantized embedding kernels yet; "
        "disabling embedding quantization for this export."
    ]
