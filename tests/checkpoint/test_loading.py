"""Weights and voices on their way into torch."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.checkpoint import Checkpoint, open_checkpoint
from harness.checkpoint.loading import load_model, load_voice
from harness.checkpoint.safetensors_file import read_header
from harness.checkpoint.voice_file import write_voice
from harness.errors import CheckpointError, InputError


def test_the_model_is_frozen_and_in_eval_mode(tiny_model: Any) -> None:
    assert not tiny_model.training
    assert not any(parameter.requires_grad for parameter in tiny_model.parameters())
    assert tiny_model.config.max_seq_len == 128


def test_the_model_holds_the_weights_of_the_file(tiny: Checkpoint, tiny_model: Any) -> None:
    from safetensors import safe_open

    with safe_open(tiny.weights, framework="pt") as file:
        stored = file.get_tensor("layers.1.feed_forward.w2.weight").float()
    assert torch.equal(tiny_model.decoder.layers[1].feed_forward.w2.weight, stored)


def test_loading_prints_nothing(tiny: Checkpoint, capfd: pytest.CaptureFixture[str]) -> None:
    load_model(tiny, max_seq_len=8)
    assert capfd.readouterr().out == ""


def test_bfloat16_keeps_the_tables_in_float32(tiny: Checkpoint) -> None:
    model = load_model(tiny, max_seq_len=8, dtype="bfloat16")
    assert model.decoder.norm.weight.dtype == torch.bfloat16
    assert model.flow_head._timesteps.dtype == torch.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_non_finite_weight_is_refused_and_named(directory: Path, value: float) -> None:
    path = directory / "consolidated.safetensors"
    place = read_header(path)["norm.weight"].begin
    data = bytearray(path.read_bytes())
    data[place : place + 2] = torch.tensor(value).bfloat16().view(torch.int16).numpy().tobytes()
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"tensor norm\.weight holds 1 NaN or infinite"):
        load_model(open_checkpoint(directory), max_seq_len=8)


def test_what_upstream_only_warns_of_is_an_error(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from executorch.examples.models.voxtral_tts import model as upstream

    known = upstream._map_checkpoint_key
    monkeypatch.setattr(
        upstream,
        "_map_checkpoint_key",
        lambda key: None if key == "layers.0.attention.wq.weight" else known(key),
    )
    with pytest.raises(CheckpointError, match=r"decoder\.layers\.0\.attention\.wq\.weight"):
        load_model(tiny, max_seq_len=8)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_seq_len": 0}, r"max_seq_len must be positive \(got 0\)"),
        ({"max_seq_len": 8, "dtype": "bf17"}, r"dtype must be one of .* \(got 'bf17'\)"),
    ],
)
def test_senseless_arguments_are_refused(
    tiny: Checkpoint, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load_model(tiny, **arguments)


@pytest.mark.parametrize(("voice", "rows"), [("neutral_female", 12), ("casual_male", 9)])
def test_voices_are_float32_rows_of_the_models_width(
    tiny: Checkpoint, voice: str, rows: int
) -> None:
    embedding = load_voice(tiny, voice)
    assert embedding.dtype == np.float32
    assert embedding.shape == (rows, 256)
    assert 0.95 < float(embedding.std()) < 1.05


def test_torch_reads_a_written_voice(tmp_path: Path) -> None:
    bits = torch.arange(12).reshape(3, 4).bfloat16()
    write_voice(tmp_path / "v.pt", bits.view(torch.uint16).numpy())
    loaded = torch.load(tmp_path / "v.pt", weights_only=True)
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded, bits)


def test_voice_data_is_aligned_as_torch_aligns_it(tmp_path: Path) -> None:
    bits = np.full((3, 4), 0xABCD, np.uint16)
    write_voice(tmp_path / "v.pt", bits)
    assert (tmp_path / "v.pt").read_bytes().index(bits.tobytes()) % 64 == 0


def test_a_file_of_the_same_name_in_the_working_directory_is_not_read(
    tiny: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(torch.zeros(3, 256), tmp_path / "neutral_female.pt")
    monkeypatch.chdir(tmp_path)
    assert load_voice(tiny, "neutral_female").shape == (12, 256)


def test_a_raw_voice_file_is_read_by_its_size(tiny: Checkpoint, directory: Path) -> None:
    rows = load_voice(tiny, "casual_male")
    raw = torch.from_numpy(rows).bfloat16().view(torch.int16).numpy().tobytes()
    (directory / "voice_embedding" / "raw.bin").write_bytes(raw)
    assert np.array_equal(load_voice(open_checkpoint(directory), "raw"), rows)


@pytest.mark.parametrize(
    ("shape", "got"),
    [((12, 128), r"\(12, 128\)"), ((256,), r"\(256,\)"), ((0, 256), r"\(0, 256\)")],
)
def test_a_voice_of_another_width_is_refused(
    directory: Path, shape: tuple[int, ...], got: str
) -> None:
    torch.save(torch.zeros(shape, dtype=torch.bfloat16), directory / "voice_embedding" / "odd.pt")
    with pytest.raises(
        CheckpointError, match=rf"odd\.pt must have shape \(rows, 256\) \(got {got}"
    ):
        load_voice(open_checkpoint(directory), "odd")


def test_a_voice_that_is_no_tensor_is_refused(directory: Path) -> None:
    torch.save({"rows": 3}, directory / "voice_embedding" / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt cannot be read"):
        load_voice(open_checkpoint(directory), "odd")


def test_a_voice_with_nan_is_refused(directory: Path) -> None:
    torch.save(torch.full((3, 256), float("nan")), directory / "voice_embedding" / "odd.pt")
    with pytest.raises(CheckpointError, match=r"odd\.pt holds NaN or infinite values"):
        load_voice(open_checkpoint(directory), "odd")


def test_a_hostile_pickle_does_not_run(directory: Path, tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (marker,))

    (directory / "voice_embedding" / "odd.pt").write_bytes(pickle.dumps(Hostile(), protocol=2))
    with pytest.raises(CheckpointError, match=r"odd\.pt cannot be read"):
        load_voice(open_checkpoint(directory), "odd")
    assert not marker.exists()


def test_a_truncated_voice_is_refused(directory: Path) -> None:
    path = directory / "voice_embedding" / "neutral_female.pt"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match=r"neutral_female\.pt cannot be read"):
        load_voice(open_checkpoint(directory), "neutral_female")
