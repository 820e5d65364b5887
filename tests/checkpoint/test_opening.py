"""Opening a checkpoint: what is refused, and that the message names it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cache import memo
from harness.checkpoint import Checkpoint, open_checkpoint
from harness.errors import CheckpointError, InputError

WEIGHTS = "consolidated.safetensors"


def rewrite_header(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON header of the weights and leave their data as it is."""
    path = directory / WEIGHTS
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data[8 + length :])


def test_a_preset_opens_by_name(tiny: Checkpoint) -> None:
    assert tiny.name == "tiny"
    assert tiny.voices() == ("casual_male", "neutral_female")
    assert tiny.config.decoder.dim == 256


def test_a_preset_is_written_once(tiny: Checkpoint) -> None:
    before = (tiny.directory / WEIGHTS).stat().st_mtime_ns
    assert open_checkpoint("tiny").directory == tiny.directory
    assert (tiny.directory / WEIGHTS).stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "name", ["params.json", WEIGHTS, "tekken.json", "voice_embedding/casual_male.pt"]
)
def test_a_damaged_preset_is_written_again(
    tiny: Checkpoint, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path))
    file = open_checkpoint("tiny").directory / name
    whole = file.read_bytes()
    file.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])

    again = open_checkpoint("tiny")

    assert file.read_bytes() == whole
    assert again.digest == tiny.digest


def test_a_preset_is_hashed_once(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []
    digest = tiny.digest

    def count(path: Path) -> str:
        hashed.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("harness.checkpoint.opening.file_digest", count)
    assert open_checkpoint("tiny").digest == digest
    assert hashed.count(WEIGHTS) == 1


def test_a_directory_opens_through_the_same_door(tiny: Checkpoint, directory: Path) -> None:
    copy = open_checkpoint(directory)
    assert copy.name == "copy"
    assert copy.params == tiny.params
    assert copy.digest == tiny.digest


@pytest.mark.parametrize("name", ["tiny", "small", "full"])
def test_a_directory_called_like_a_preset_is_a_directory(
    directory: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.rename(directory.with_name(name))
    monkeypatch.chdir(directory.parent)
    for spec in (f"./{name}", f"{name}/", str(directory.with_name(name)), Path(name)):
        found = open_checkpoint(spec)
        assert found.preset is None
        assert found.name == f"{name} (directory)"
        assert found.directory == directory.with_name(name)


def test_of_a_preset_and_a_directory_the_preset_wins_and_says_so(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.rename(directory.with_name("tiny"))
    monkeypatch.chdir(directory.parent)
    said: list[str] = []
    found = open_checkpoint("tiny", said.append)
    assert (found.name, found.preset) == ("tiny", "tiny")
    assert found.directory != directory.with_name("tiny")
    assert said == ["tiny is the preset; for the directory of that name, write ./tiny"]


@pytest.mark.parametrize("spec", ["x" * 5000, "x" * 300, "", "a\0b"])
def test_a_path_that_no_file_can_have_is_refused(spec: str) -> None:
    with pytest.raises(InputError, match="must be tiny, small, full or a directory") as caught:
        open_checkpoint(spec)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["params.json", WEIGHTS, "tekken.json"])
def test_a_pipe_in_a_checkpoint_is_refused_and_not_waited_for(directory: Path, name: str) -> None:
    (directory / name).unlink()
    os.mkfifo(directory / name)
    with pytest.raises(CheckpointError, match=rf"copy/{name} cannot be read: .* not a regular"):
        open_checkpoint(directory)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("params.json", b" " * ((1 << 20) + 1), "at most 1,048,576 are read"),
        ("params.json", b"[" * 100_000, "nested too deeply"),
        ("tekken.json", b'{"a": ' * 100_000, "nested too deeply"),
        ("params.json", b'{"dim": ' + b"1" * 5000 + b"}", "is not readable JSON"),
    ],
)
def test_a_hostile_file_is_one_sentence(
    directory: Path, name: str, contents: bytes, message: str
) -> None:
    (directory / name).write_bytes(contents)
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(directory)
    assert f"copy/{name}" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("config", None, "config must be an object (got None)"),
        (
            "config.pattern",
            "",
            "config.pattern must be a string of 1 to 10,000 characters (got '')",
        ),
        ("config.default_num_special_tokens", 10**9, "must be an integer from 1 to 65,536"),
        ("config.default_vocab_size", "8192", "must be an integer from 1 to 1,048,576"),
        ("vocab", {}, "vocab must be a list of up to 1,048,576 objects (got {})"),
        ("special_tokens", [1], "special_tokens must be a list of up to 65,536 objects"),
        ("audio", [], "audio must be an object (got [])"),
        ("audio.sampling_rate", 2**31, "must be an integer from 1 to 1,000,000"),
        ("audio.frame_rate", 0, "must be a number above 0 and up to 1000"),
        ("audio.voice_num_audio_tokens", {"a": "twelve"}, "each with an integer from 1 to 16,384"),
        ("audio.voice_num_audio_tokens", {"a": 10**9}, "each with an integer from 1 to 16,384"),
    ],
)
def test_a_tokenizer_that_mistral_common_could_not_bear_is_refused(
    directory: Path, path: str, value: object, message: str
) -> None:
    contents = json.loads((directory / "tekken.json").read_text())
    *parents, last = path.split(".")
    holder = contents
    for parent in parents:
        holder = holder[parent]
    holder[last] = value
    (directory / "tekken.json").write_text(json.dumps(contents))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(directory)
    assert str(caught.value).startswith(f"{directory}/tekken.json: {path} must be ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_checkpoint_without_voices_says_so(directory: Path) -> None:
    shutil.rmtree(directory / "voice_embedding")
    checkpoint = open_checkpoint(directory)
    note = checkpoint.voice_note(None)
    assert note is not None
    assert note.startswith("checkpoint copy has no voice neutral_female in voice_embedding/")
    with pytest.raises(InputError, match=r"no voice 'anna': .*/voice_embedding/ holds none"):
        checkpoint.voice_file("anna")


def test_with_a_voice_there_is_nothing_to_note(tiny: Checkpoint) -> None:
    assert tiny.voice_note(None) is None
    assert tiny.voice_note("casual_male") is None


def test_an_unknown_name_lists_the_presets() -> None:
    with pytest.raises(InputError, match=r"must be tiny, small, full or a directory \(got 'tny'"):
        open_checkpoint("tny")


@pytest.mark.parametrize("name", ["params.json", WEIGHTS, "tekken.json"])
def test_a_missing_file_is_named(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(CheckpointError, match=f"checkpoint .*/copy has no {name}"):
        open_checkpoint(directory)


@pytest.mark.parametrize("name", ["params.json", "tekken.json"])
@pytest.mark.parametrize("contents", [b"", b'{"dim": ', b"\xff\xfe\x00"])
def test_unreadable_json_is_named(directory: Path, name: str, contents: bytes) -> None:
    (directory / name).write_bytes(contents)
    with pytest.raises(CheckpointError, match=f"{name} is not readable JSON"):
        open_checkpoint(directory)


def test_json_that_is_no_object_is_refused(directory: Path) -> None:
    (directory / "params.json").write_text("[1]")
    with pytest.raises(CheckpointError, match=r"params\.json must be a JSON object \(got \[1\]\)"):
        open_checkpoint(directory)


def test_a_missing_parameter_is_named(directory: Path) -> None:
    params = json.loads((directory / "params.json").read_text())
    del params["hidden_dim"]
    (directory / "params.json").write_text(json.dumps(params))
    with pytest.raises(CheckpointError, match=r"params\.json has no hidden_dim"):
        open_checkpoint(directory)


def test_a_missing_and_an_extra_tensor_are_named(directory: Path) -> None:
    def rename(header: dict[str, Any]) -> None:
        header["norm.bias"] = header.pop("norm.weight")

    rewrite_header(directory, rename)
    with pytest.raises(CheckpointError, match=r"1 missing: norm\.weight; 1 extra: norm\.bias"):
        open_checkpoint(directory)


def test_many_missing_tensors_are_counted_and_the_first_named(directory: Path) -> None:
    params = json.loads((directory / "params.json").read_text())
    params["n_layers"] = 3
    (directory / "params.json").write_text(json.dumps(params))
    with pytest.raises(CheckpointError, match=r"131 tensors .*: 9 missing: layers\.2\..*, …"):
        open_checkpoint(directory)


def test_a_misshapen_tensor_shows_both_shapes(directory: Path) -> None:
    def transpose(header: dict[str, Any]) -> None:
        header["layers.1.attention.wq.weight"]["shape"] = [256, 384]

    rewrite_header(directory, transpose)
    with pytest.raises(
        CheckpointError,
        match=r"misshapen: layers\.1\.attention\.wq\.weight \(expected \(384, 256\), got \(256, 3",
    ):
        open_checkpoint(directory)


def test_a_tensor_of_another_type_is_named(directory: Path) -> None:
    def retype(header: dict[str, Any]) -> None:
        header["norm.weight"]["dtype"] = "F16"

    rewrite_header(directory, retype)
    with pytest.raises(CheckpointError, match=r"norm\.weight \(expected BF16, got F16\)"):
        open_checkpoint(directory)


def test_truncated_weights_are_refused_before_any_is_loaded(directory: Path) -> None:
    path = directory / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="truncated"):
        open_checkpoint(directory)


@pytest.mark.parametrize("name", ["params.json", WEIGHTS, "tekken.json"])
def test_the_digest_follows_each_file(tiny: Checkpoint, directory: Path, name: str) -> None:
    path = directory / name
    data = path.read_bytes()
    if name == WEIGHTS:
        data = data[:-1] + bytes([data[-1] ^ 1])
    else:
        data += b"\n"
    path.write_bytes(data)
    assert open_checkpoint(directory).digest != tiny.digest


def test_a_large_file_is_hashed_once_and_again_when_it_changes(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def count(path: Path) -> str:
        hashed.append(path.name)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memo, "_REMEMBER_ABOVE", 1 << 20)
    monkeypatch.setattr(memo, "_SETTLED", -1)
    monkeypatch.setattr("harness.checkpoint.opening.file_digest", count)
    first = open_checkpoint(directory).digest
    assert open_checkpoint(directory).digest == first
    assert hashed.count(WEIGHTS) == 1
    path = directory / WEIGHTS
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert open_checkpoint(directory).digest != first
    assert hashed.count(WEIGHTS) == 2


@pytest.mark.parametrize("name", ["nobody", "../params", "neutral_female.pt", ""])
def test_an_unknown_voice_lists_those_there_are(tiny: Checkpoint, name: str) -> None:
    with pytest.raises(InputError, match="voice must be one of casual_male, neutral_female"):
        tiny.voice_file(name)


def test_a_large_file_is_looked_through_for_nan_once(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(memo, "_REMEMBER_ABOVE", 1 << 20)
    monkeypatch.setattr(memo, "_SETTLED", -1)
    path = directory / WEIGHTS
    data = bytearray(path.read_bytes())
    assert open_checkpoint(directory).non_finite_tensor() is None
    data[-2:] = (0x7FC0).to_bytes(2, "little")
    path.write_bytes(data)  # noticed by its new time
    assert open_checkpoint(directory).non_finite_tensor() == ("norm.weight", 1)

    def refuse(_path: Path) -> str:
        raise AssertionError("looked through again")

    monkeypatch.setattr("harness.checkpoint.opening.non_finite_tensor", refuse)
    assert open_checkpoint(directory).non_finite_tensor() == ("norm.weight", 1)
