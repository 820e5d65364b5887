"""Layers are quantised as upstream does it, and kept one by one."""

from __future__ import annotations

import copy
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.cache import clear, entries
from harness.checkpoint import Checkpoint
from harness.errors import InputError, MachineError
from harness.methods.precision import PRECISIONS, Precision, parse_precision
from harness.reference import quantize
from harness.reference.quantize import layers_to_quantize, quantize_in_place

SHIPPED = PRECISIONS["bf16-4w8w"]
# Few small layers, for the tests of the cache.
EIGHT = Precision("bf16", qlinear="8w", qlinear_group_size=32, decoder_qlinear_scope="feed_forward")
FEW = Precision("bf16", qlinear="4w", decoder_qlinear_scope="none")


@pytest.fixture(scope="module")
def model(tiny: Checkpoint) -> Any:
    from harness.checkpoint.loading import load_model

    return load_model(tiny, max_seq_len=64, dtype="bfloat16")


def quantized_copy(model: Any, precision: Precision, weights: str, **options: Any) -> Any:
    twin = copy.deepcopy(model)
    quantize_in_place(twin, precision, weights, **options)
    return twin


found: dict[quantize.Layer, torch.Tensor] = {}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[str]]:
    """Names of the layers that were searched for, in an empty cache."""
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path))
    search, names = quantize.quantized_weight, []

    def counted(module: Any, layer: quantize.Layer) -> torch.Tensor:
        names.append(layer.fqn)
        if layer not in found:  # the search itself, which takes the time, once a session
            found[layer] = search(module, layer)
        return found[layer]

    monkeypatch.setattr(quantize, "quantized_weight", counted)
    return names


def assert_same_weights(ours: Any, theirs: Any) -> int:
    """Compare every parameter; returns how many are quantised."""
    quantized = 0
    for (name, a), (other, b) in zip(
        ours.named_parameters(), theirs.named_parameters(), strict=True
    ):
        assert (name, type(a.data)) == (other, type(b.data))
        parts = quantize.TENSORS if hasattr(a, "qdata") else ("data",)
        quantized += hasattr(a, "qdata")
        for part in parts:
            assert torch.equal(getattr(a, part), getattr(b, part)), (name, part)
        if hasattr(a, "qdata"):
            assert (a.block_size, a.target_dtype, a.dtype) == (
                b.block_size,
                b.target_dtype,
                b.dtype,
            )
    return quantized


@pytest.mark.parametrize(
    ("precision", "layers"),
    [
        (SHIPPED, 34),
        (EIGHT, 24),
    ],
)
def test_every_weight_is_what_upstreams_exporter_makes(
    precision: Precision, layers: int, model: Any, tiny: Checkpoint
) -> None:
    from executorch.examples.models.voxtral_tts.export_voxtral_tts import (
        apply_model_quantization,
    )

    theirs = copy.deepcopy(model)
    apply_model_quantization(
        theirs,
        qlinear=precision.qlinear,
        qlinear_group_size=precision.qlinear_group_size,
        qlinear_packing_format=None,
        qembedding=precision.qembedding,
        qembedding_group_size=precision.qembedding_group_size,
        decoder_qlinear_scope=precision.decoder_qlinear_scope,
    )

    assert assert_same_weights(quantized_copy(model, precision, tiny.digest), theirs) == layers


def test_what_is_not_quantised_stays_as_it_is(model: Any) -> None:
    twin = copy.deepcopy(model)
    norm = twin.decoder.norm.weight
    quantize_in_place(twin, FEW, "digest")

    assert type(twin.flow_head.llm_projection.weight.data) is not torch.Tensor
    assert twin.decoder.norm.weight is norm


def test_the_flows_timesteps_stay_fp32(model: Any) -> None:
    assert quantized_copy(model, FEW, "digest").flow_head._timesteps.dtype is torch.float32


def test_a_layer_that_cannot_be_quantised_is_listed(model: Any) -> None:
    (skipped,) = (layer for layer in layers_to_quantize(model, SHIPPED) if layer.skipped)

    assert skipped.fqn == "flow_head.input_projection"
    assert skipped.skipped == "rows of 36 do not divide into groups of 32"


def test_a_row_of_the_decoder_that_does_not_divide_is_refused(model: Any) -> None:
    precision = Precision("bf16", qlinear="4w", qlinear_group_size=512)

    with pytest.raises(InputError, match="rows of 256 do not divide into groups of 512"):
        layers_to_quantize(model, precision)


def test_kept_layers_are_not_searched_again(model: Any, made: list[str]) -> None:
    first = quantized_copy(model, FEW, "digest")
    assert len(made) == 18

    assert assert_same_weights(quantized_copy(model, FEW, "digest"), first) == 18
    assert len(made) == 18


def test_a_killed_run_resumes_where_it_was(
    model: Any, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    search = quantize.quantized_weight

    def killed(module: Any, layer: quantize.Layer) -> torch.Tensor:
        if len(made) == 5:
            raise KeyboardInterrupt
        return search(module, layer)

    with monkeypatch.context() as patch:
        patch.setattr(quantize, "quantized_weight", killed)
        with pytest.raises(KeyboardInterrupt):
            quantized_copy(model, FEW, "digest")
    quantized_copy(model, FEW, "digest")

    assert len(made) == len(set(made)) == 18


def test_other_weights_and_other_options_are_other_layers(model: Any, made: list[str]) -> None:
    quantized_copy(model, FEW, "digest")
    quantized_copy(model, FEW, "another digest")
    quantized_copy(model, parse_precision(FEW, qlinear_group_size=64), "digest")

    assert len(made) == 3 * 18


def test_fresh_searches_again(model: Any, made: list[str]) -> None:
    quantized_copy(model, FEW, "digest")
    quantized_copy(model, FEW, "digest", fresh=True)

    assert len(made) == 2 * 18


def test_layers_are_cleared_and_bounded_like_every_entry(model: Any, made: list[str]) -> None:
    quantized_copy(model, FEW, "digest")
    assert len(entries("quantized")) == 18

    deleted, in_use = clear("quantized")

    assert (len(deleted), in_use) == (18, [])
    quantized_copy(model, FEW, "digest")
    assert len(made) == 2 * 18


def test_a_cache_without_room_for_them_still_quantises(
    model: Any, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = quantized_copy(model, FEW, "digest")
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE_BYTES", "1")

    assert assert_same_weights(quantized_copy(model, FEW, "digest", fresh=True), whole) == 18


@pytest.mark.parametrize("damage", ["cut", "gone", "overwritten"])
def test_a_damaged_layer_is_made_again(
    damage: str, model: Any, made: list[str], tmp_path: Path
) -> None:
    whole = quantized_copy(model, FEW, "digest")
    (file,) = (tmp_path / "store" / "quantized").glob("flow_head.llm_projection-*/*.safetensors")
    content = file.read_bytes()
    file.unlink()  # `whole` maps it
    if damage != "gone":
        file.write_bytes(content[:-1] if damage == "cut" else b"x" * len(content))

    again = quantized_copy(model, FEW, "digest")

    assert made[18:] == ["flow_head.llm_projection"]
    assert_same_weights(again, whole)


def test_a_full_disk_is_one_sentence_and_keeps_nothing(
    model: Any, made: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(quantize, "save_file", full)
        with pytest.raises(MachineError, match=r"cannot write .*: No space left on device"):
            quantized_copy(model, FEW, "digest")
    assert entries("quantized") == []
    quantized_copy(model, FEW, "digest")
    assert len(entries("quantized")) == 18


def test_progress_names_each_layer(model: Any, made: list[str]) -> None:
    lines: list[str] = []
    quantized_copy(model, FEW, "digest", progress=lines.append)

    assert lines[0] == "quantising flow_head.time_projection to 4w (256, 256), layer 1 of 18"
    assert len(lines) == 18


def test_a_row_that_mlx_cannot_cut_is_skipped_where_upstream_would_quantise_it(model: Any) -> None:
    """One scale a row of 36 is no matter for torchao, but MLX has no kernel for it."""
    skipped = [x for x in layers_to_quantize(model, Precision("bf16", qlinear="8w")) if x.skipped]

    assert [layer.fqn for layer in skipped] == ["flow_head.input_projection"]
