"""Synthetic checkpoints: the same bytes everywhere, in the published form."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from harness.checkpoint import PRESETS, Checkpoint, Preset, synthesize
from harness.checkpoint.generate import recipe_digest
from harness.checkpoint.presets import TransformerConfig

# Any change here changes every golden and every cached artifact.
TINY_FILES = {
    "consolidated.safetensors": (
        "8a40fc6249646207a875425ced75ff206c501c3127fb34fb4a1f91c5977be062"
    ),
    "params.json": ("5c7d3af45405c5df51144467217c89d9405ed606c15d4be463d2924e6d2190b2"),
    "tekken.json": ("294e9a955f6b5314daec6d11418c06530c1af5d2f15a6972238f135484d45944"),
    "voice_embedding/casual_male.pt": (
        "60ce2d033af0e816ee8d878e84ca658d959170edbf4da86178081677fa98be67"
    ),
    "voice_embedding/neutral_female.pt": (
        "2b7116a9deb958e6e7441c2663e1cacc964cbf4b96a4b3f38198db3a853caa8c"
    ),
}

MINI = dataclasses.replace(
    PRESETS["tiny"],
    name="mini",
    decoder=TransformerConfig(64, 1, n_heads=2, n_kv_heads=1, head_dim=16, hidden_dim=96),
    flow=TransformerConfig(64, 1, n_heads=2, n_kv_heads=1, head_dim=16, hidden_dim=80),
    vocab_size=2048,
)


@pytest.mark.parametrize("name", sorted(TINY_FILES))
def test_the_files_of_tiny_have_pinned_bytes(tiny: Checkpoint, name: str) -> None:
    contents = (tiny.directory / name).read_bytes()
    assert hashlib.sha256(contents).hexdigest() == TINY_FILES[name]


def test_tiny_has_no_other_files(tiny: Checkpoint) -> None:
    files = {p.relative_to(tiny.directory).as_posix() for p in tiny.directory.rglob("*.*")}
    assert files == set(TINY_FILES)


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        synthesize(MINI, tmp_path / name)
    for path in (tmp_path / "one").rglob("*.*"):
        twin = tmp_path / "two" / path.relative_to(tmp_path / "one")
        assert path.read_bytes() == twin.read_bytes()


def test_a_seed_changes_every_tensor_but_no_shape(tmp_path: Path) -> None:
    synthesize(MINI, tmp_path / "one")
    synthesize(dataclasses.replace(MINI, seed=2), tmp_path / "two")
    first = _bits(tmp_path / "one" / "consolidated.safetensors")
    second = _bits(tmp_path / "two" / "consolidated.safetensors")
    assert {n: v.shape for n, v in first.items()} == {n: v.shape for n, v in second.items()}
    assert not any(np.array_equal(first[name], second[name]) for name in first)


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(vocab_size: int, voices: object) -> bytes:
        raise RuntimeError("disk full")

    monkeypatch.setattr("harness.checkpoint.generate.cut_tokenizer", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        synthesize(MINI, tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_params_have_what_other_loaders_take_for_granted(tiny: Checkpoint) -> None:
    params = json.loads((tiny.directory / "params.json").read_text())
    codec = params["multimodal"]["audio_tokenizer_args"]
    audio = params["multimodal"]["audio_model_args"]
    assert (audio["n_acoustic_codebook"], audio["acoustic_codebook_size"]) == (36, 21)
    assert audio["semantic_codebook_size"] % 128 == 0
    assert codec["decoder_convs_strides_str"] == "1,2,2,2"
    assert codec["attn_sliding_window_size"] == 16
    assert audio["acoustic_transformer_args"]["dim"] == params["dim"]


def test_the_recipe_digest_follows_the_preset() -> None:
    tiny: Preset = PRESETS["tiny"]
    assert recipe_digest(tiny) == recipe_digest(tiny)
    assert recipe_digest(tiny) != recipe_digest(dataclasses.replace(tiny, seed=tiny.seed + 1))


def test_a_tensor_without_a_rule_is_an_error() -> None:
    from harness.checkpoint.weights import tensor_bits

    with pytest.raises(ValueError, match=r"no rule says how to fill layers\.0\.router"):
        next(tensor_bits(MINI, "layers.0.router.weight", (4, 4)))


def _bits(path: Path) -> dict[str, np.ndarray]:
    from harness.checkpoint.safetensors_file import read_header

    data = path.read_bytes()
    return {
        name: np.frombuffer(data[entry.begin : entry.end], "<u2").reshape(entry.shape)
        for name, entry in read_header(path).items()
    }


def test_a_large_checkpoint_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    synthesize(MINI, tmp_path / "quiet", said.append)
    assert said == []
    monkeypatch.setattr("harness.checkpoint.generate._LARGE", 1000)
    synthesize(MINI, tmp_path / "large", said.append)
    assert said[0].startswith("writing checkpoint mini: ")
    assert said[-1].startswith("writing checkpoint mini: 100 % of ")
