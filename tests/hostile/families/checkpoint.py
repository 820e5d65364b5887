"""Checkpoints whose params.json, tekken.json or tensors are damaged or absurd."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.hostile.case import DONE, EITHER, REFUSED, Case, Desk
from tests.hostile.families import voice

__all__ = ["cases", "replace"]

_ABSENT = object()

_VALUES: dict[str, Any] = {
    "absent": _ABSENT,
    "null": None,
    "text": "16",
    "list": [1, 2],
    "object": {"a": 1},
    "zero": 0,
    "minus one": -1,
    "2**70": 2**70,
    "ten million": 10**7,
    "nan": float("nan"),
    "true": True,
}

_EVERY_KEY = ("null", "2**70")
"""Values for every key; the others for those that size something."""

_SIZES = {
    "dim", "n_layers", "head_dim", "hidden_dim", "n_heads", "n_kv_heads", "norm_eps", "vocab_size",
    "rope_theta", "semantic_codebook_size", "acoustic_codebook_size", "n_acoustic_codebook",
    "n_decoding_steps", "attn_sliding_window_size", "qk_norm_eps", "pretransform_patch_size",
    "semantic_dim", "acoustic_dim", "channels", "sampling_rate", "frame_rate", "multimodal",
    "audio_model_args", "acoustic_transformer_args", "audio_tokenizer_args", "voice",
}  # fmt: skip

_LISTS = {
    "decoder_transformer_lengths_str": ("", ",", "1", "1,1,1,x", "0,0,0,0", "-1,1,1,1", "1e3,1,1,1",
                                        "1000000000,1,1,1", "2,1,1,1,1", "9" * 5000 + ",1,1,1",
                                        ",".join(["1"] * 100_000)),
    "decoder_convs_kernels_str": ("", "0,0,0,0", "3,4,4", "-3,4,4,4", "1000000000,4,4,4"),
    "decoder_convs_strides_str": ("", "0,2,2,2", "1,2,2", "1,-2,2,2", "1,1000000000,2,2"),
}  # fmt: skip


def cases() -> Iterator[Case]:
    """Refused in one sentence, or taken where the value makes no difference."""
    yield from _params()
    yield from _documents("params.json")
    yield from _documents("tekken.json")
    yield from _tekken()
    yield from _tensors()
    yield from _files()
    yield from voice.cases()


def replace(path: Path, content: bytes | str) -> None:
    """Write a new file in the place of a linked one."""
    path.unlink(missing_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def _case(name: str, change: Callable[[Path], object], codes: set[int] = EITHER) -> Case:
    def set_up(desk: Desk) -> list[str]:
        directory = desk.checkpoint()
        change(directory)
        report = desk.old_report()
        desk.outputs.append(desk.directory / "out.wav")
        return [
            *("synth", "--text", "Hello.", "--executor", "eager", "--max-new-tokens", "1"),
            *("--checkpoint", str(directory), "--output", "out.wav", "--json", str(report)),
        ]

    return Case("checkpoint", name, set_up, codes, seconds=20 if codes != REFUSED else 10)


def _params() -> Iterator[Case]:
    for path in _PARAMS:
        sizes = path[-1] in _SIZES
        for name, value in _VALUES.items():
            if sizes or name in _EVERY_KEY:
                yield _case(f"params {'.'.join(path)} {name}", _edit("params.json", path, value))
    stem = ("multimodal", "audio_tokenizer_args")
    for key, texts in _LISTS.items():
        for text in texts:
            label = text if len(text) < 30 else f"{len(text):,} characters"
            yield _case(
                f"params {key} {label!r}", _edit("params.json", (*stem, key), text), REFUSED
            )
    steps = (
        "multimodal", "audio_model_args", "acoustic_transformer_args", "n_decoding_steps",
    )  # fmt: skip
    for value in (0, -1, 10**6, 2**70, "7", 7.5):
        yield _case(
            f"params n_decoding_steps {value!r}", _edit("params.json", steps, value), REFUSED
        )
    for value in ([], [21] * 35, [21] * 35 + ["x"], [2**70] * 36, [10**9] * 36, "21"):
        path = ("multimodal", "audio_model_args", "codebook_sizes")
        yield _case(f"params codebook_sizes {str(value)[:20]}", _edit("params.json", path, value))


def _documents(file: str) -> Iterator[Case]:
    deep = "[" * 200_000
    contents: dict[str, bytes | str] = {
        "empty": "",
        "no JSON": "{",
        "a list": "[]",
        "a number": "7",
        "null": "null",
        "empty object": "{}",
        "UTF-16": "{}".encode("utf-16"),
        "byte-order mark": b"\xef\xbb\xbf{}",
        "Latin 1": b'{"a": "\xe9"}',
        "deeply nested": deep,
        "deeply nested object": '{"a":' * 100_000,
        "5,000 digits": '{"dim": ' + "9" * 5000 + "}",
        "NaN": '{"dim": NaN}',
        "same key twice": '{"dim": 1, "dim": 2}',
        "surrogate": '{"model_type": "\\ud800"}',
        "long key": '{"' + "k" * 100_000 + '": 1}',
        "zeros": bytes(4096),
    }
    for name, content in contents.items():

        def change(directory: Path, content: bytes | str = content) -> None:
            replace(directory / file, content)

        yield _case(f"{file} {name}", change, REFUSED)


def _tekken() -> Iterator[Case]:
    for path in (("config",), ("vocab",), ("special_tokens",), ("audio",),
                 ("audio", "voice_num_audio_tokens"), ("audio", "sampling_rate"),
                 ("audio", "frame_rate"), ("audio", "audio_encoding_config"),
                 ("config", "pattern"), ("config", "num_vocab_tokens"),
                 ("config", "default_vocab_size"), ("config", "default_num_special_tokens"),
                 ("config", "version")):  # fmt: skip
        for name in ("absent", "null", "text", "list", "2**70", "minus one"):
            edit = _edit("tekken.json", path, _VALUES[name])
            yield _case(f"tekken {'.'.join(path)} {name}", edit)
    odd: dict[str, tuple[tuple[str, ...], Any]] = {
        "pattern empty": (("config", "pattern"), ""),
        "pattern wrong": (("config", "pattern"), "(["),
        "pattern slow": (("config", "pattern"), "(a+)+$" * 1000),
        "version unknown": (("config", "version"), "v99"),
        "vocab empty": (("vocab",), []),
        "vocab of one odd": (("vocab",), [{"rank": 0}]),
        "vocab not base64": (("vocab",), [{"rank": 0, "token_bytes": "***", "token_str": None}]),
        "special tokens empty": (("special_tokens",), []),
        "special tokens odd": (("special_tokens",), [{"rank": "x"}]),
        "10**9 special tokens": (("config", "default_num_special_tokens"), 10**9),
        "rate 2**31": (("audio", "sampling_rate"), 2**31),
        "rate 0": (("audio", "sampling_rate"), 0),
        "voice in words": (("audio", "voice_num_audio_tokens", "neutral_female"), "twelve"),
        "voice of 10**9": (("audio", "voice_num_audio_tokens", "neutral_female"), 10**9),
        "voice of -1": (("audio", "voice_num_audio_tokens", "neutral_female"), -1),
        "voice of 11": (("audio", "voice_num_audio_tokens", "neutral_female"), 11),
    }
    for name, (path, value) in odd.items():
        yield _case(f"tekken {name}", _edit("tekken.json", path, value))


def _edit(file: str, path: tuple[str, ...], value: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        document = json.loads((directory / file).read_text())
        edited = copy.deepcopy(document)
        inner = edited
        for key in path[:-1]:
            inner = inner[key]
        if value is _ABSENT:
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = value
        replace(directory / file, json.dumps(edited))

    return change


def _tensors() -> Iterator[Case]:
    name = "consolidated.safetensors"
    norm = "norm.weight"

    def raw(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
        return lambda directory: replace(directory / name, change((directory / name).read_bytes()))

    def header(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
        def edit(data: bytes) -> bytes:
            length = int.from_bytes(data[:8], "little")
            document = json.loads(data[8 : 8 + length])
            made = change(document)
            text = json.dumps(document if made is None else made).encode()
            return len(text).to_bytes(8, "little") + text + data[8 + length :]

        return raw(edit)

    def text(content: bytes) -> Callable[[Path], None]:
        return raw(lambda data: len(content).to_bytes(8, "little") + content + bytes(64))

    def entry(**fields: Any) -> Callable[[Path], None]:
        return header(lambda document: document[norm].update(fields))

    for cut in (0, 1, 7, 8, 9, 1000, 100_000, -1, -2):
        yield _case(f"tensors cut at {cut}", raw(lambda data, n=cut: data[:n]), REFUSED)
    changes: dict[str, Callable[[Path], None]] = {
        "longer": raw(lambda data: data + b"x"),
        "header length 0": raw(lambda data: bytes(8) + data[8:]),
        "header length 2**63": raw(lambda data: struct.pack("<Q", 2**63) + data[8:]),
        "header length 2**64-1": raw(lambda data: struct.pack("<Q", 2**64 - 1) + data[8:]),
        "header with byte-order mark": text(b"\xef\xbb\xbf{}"),
        "header UTF-16": text("{}".encode("utf-16")),
        "header a list": text(b"[]"),
        "header null": text(b"null"),
        "header deeply nested": text(b"[" * 100_000),
        "metadata a list": header(lambda d: d.update(__metadata__=[1])),
        "metadata deep": header(lambda d: d.update(__metadata__={"a": {"b": 1}})),
        "entry null": header(lambda d: d.update({norm: None})),
        "entry a list": header(lambda d: d.update({norm: []})),
        "entry absent": header(lambda d: d.pop(norm) and None),
        "unknown name": header(lambda d: d.update({"x" * 5000: d.pop(norm)})),
        "dtype unknown": entry(dtype="F7"),
        "dtype null": entry(dtype=None),
        "dtype a list": entry(dtype=["BF16"]),
        "dtype F32": entry(dtype="F32"),
        "shape text": entry(shape="256"),
        "shape null": entry(shape=None),
        "shape negative": entry(shape=[-256]),
        "shape 2**61 × 20,000": entry(shape=[2**61, 20_000]),
        "shape 2**70": entry(shape=[2**70]),
        "shape of 10,000 axes": entry(shape=[1] * 10_000 + [256]),
        "shape a fraction": entry(shape=[256.0]),
        "shape true": entry(shape=[True]),
        "shape other": entry(shape=[128, 2]),
        "offsets reversed": entry(data_offsets=[512, 0]),
        "offsets three": entry(data_offsets=[0, 1, 2]),
        "offsets null": entry(data_offsets=None),
        "offsets 2**62": entry(data_offsets=[2**62 - 512, 2**62]),
        "offsets overlap": entry(data_offsets=[0, 512]),
    }
    for label, change in changes.items():
        yield _case(f"tensors {label}", change, EITHER if "metadata" in label else REFUSED)
    yield _case("tensors NaN", raw(lambda data: data[:-2] + b"\xc0\x7f"), REFUSED)


def _files() -> Iterator[Case]:
    names = ("params.json", "tekken.json", "consolidated.safetensors")
    for name in names:
        changes: dict[str, Callable[[Path], object]] = {
            "absent": lambda path: path.unlink(),
            "directory": lambda path: (path.unlink(), path.mkdir()),
            "loop": lambda path: (path.unlink(), path.symlink_to(path.name)),
            "unreadable": lambda path: (replace(path, path.read_bytes()), path.chmod(0)),
        }
        for label, change in changes.items():
            yield _case(
                f"{name} {label}",
                lambda directory, name=name, change=change: change(directory / name),
                REFUSED,
            )
    yield _case("voice_embedding a file", _voice_directory_as_file)
    yield _case("voice_embedding unreadable", lambda d: (d / "voice_embedding").chmod(0), REFUSED)
    yield _case("unreadable", lambda directory: directory.chmod(0), REFUSED)
    yield _case("untouched", lambda directory: None, DONE)


def _voice_directory_as_file(directory: Path) -> None:
    voices = directory / "voice_embedding"
    for path in voices.iterdir():
        path.unlink()
    voices.rmdir()
    voices.write_text("voices")


def _leaves(document: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, value in document.items():
        yield (*path, key)
        if isinstance(value, dict) and key != "voice":
            yield from _leaves(value, (*path, key))


def _published_keys() -> tuple[tuple[str, ...], ...]:
    from harness.checkpoint.presets import PRESETS

    return tuple(_leaves(PRESETS["tiny"].params()))


_PARAMS = _published_keys()
