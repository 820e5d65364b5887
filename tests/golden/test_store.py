from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.compare import WaveformStatistics
from harness.errors import InputError
from harness.golden import (
    GoldenKey,
    Provenance,
    default_root,
    list_goldens,
    read,
    unused,
)
from harness.golden.store import as_codes, codes_digest


def test_a_golden_lives_under_checkpoint_method_precision_regime(
    root: Path, key: GoldenKey
) -> None:
    assert [str(path.relative_to(root)) for path in root.rglob("*.json")] == [
        "tiny/codec/fp32/cpu.json"
    ]
    assert str(key) == "tiny/codec/fp32/cpu"


def test_a_golden_reads_back_as_it_was_blessed(
    root: Path, key: GoldenKey, spoken: WaveformStatistics, provenance: Provenance
) -> None:
    golden = read(root, key)
    assert golden is not None
    assert golden.statistics == spoken
    assert golden.provenance == provenance
    assert golden.reason == "first light of the codec"
    assert len(golden.codes) == 3
    assert golden.codes[1][:4] == (1, 4, 7, 10)
    assert golden.history == ()


def test_the_file_has_one_line_for_each_frame(root: Path, key: GoldenKey) -> None:
    lines = key.path(root).read_text().splitlines()
    assert sum(line.strip().startswith("[") for line in lines) == 3


def test_no_golden_reads_as_none(tmp_path: Path, key: GoldenKey) -> None:
    assert read(tmp_path, key) is None


def damage(root: Path, key: GoldenKey, *path: str, value: object) -> None:
    file = key.path(root)
    data = json.loads(file.read_text())
    inner = data
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    file.write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("version",), 1, "expected format 'voxtral-parity golden' version 2"),
        (("statistics", "peak"), "loud", "peak is not a number"),
        (("statistics", "pcm_sha256"), 7, "pcm_sha256 is not a text"),
        (("statistics", "band_dbfs"), None, "not iterable"),
        (("statistics", "envelope_dbfs"), None, "not iterable"),
        (("statistics", "extra"), 1, "unexpected keyword argument 'extra'"),
        (("codes", "frames"), [[1, 2], [3, 4]], "do not have the sha256"),
        (("codes", "frames"), [[1, 2], [3]], "damaged"),
        (("codes",), {}, "no 'frames'"),
        (("provenance", "date"), "yesterday", "date must be like"),
        (("key", "checkpoint"), "../tiny", "checkpoint must be letters"),
    ],
)
def test_a_damaged_golden_is_one_sentence(
    root: Path, key: GoldenKey, path: tuple[str, ...], value: object, reason: str
) -> None:
    damage(root, key, *path, value=value)
    with pytest.raises(InputError, match=reason) as caught:
        read(root, key)
    assert "restore it from version control" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{", "null", '{"format": NaN}', "\ufffe"])
def test_what_is_no_golden_is_refused(root: Path, key: GoldenKey, text: str) -> None:
    key.path(root).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match="is damaged"):
        read(root, key)


def test_bytes_that_are_no_text_are_refused(root: Path, key: GoldenKey) -> None:
    key.path(root).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read(root, key)


def test_a_copied_golden_is_refused(root: Path, key: GoldenKey) -> None:
    other = GoldenKey("tiny", "codec", "fp32", "metal")
    key.path(root).rename(other.path(root))
    with pytest.raises(InputError, match="is of tiny/codec/fp32/cpu, not of its own place"):
        read(root, other)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "ä"])
def test_a_key_cannot_leave_the_directory(name: str) -> None:
    with pytest.raises(InputError, match="golden key: regime"):
        GoldenKey("tiny", "codec", "fp32", name)


def test_goldens_are_listed_and_unused_ones_found(root: Path, key: GoldenKey) -> None:
    stray = root / "tiny" / "notes.json"
    stray.write_text("{}")
    (root / "README.md").write_text("reviewed")
    assert list_goldens(root) == [key]
    assert unused(root, [key]) == [stray]
    assert unused(root, []) == [key.path(root), stray]


def test_codes_are_kept_frame_by_frame() -> None:
    assert as_codes(np.array([[1, 2, 3], [4, 5, 6]])) == ((1, 4), (2, 5), (3, 6))


@pytest.mark.parametrize("codes", [np.zeros(3, np.int64), np.zeros((2, 2), np.float32)])
def test_codes_are_integers_by_codebook_and_frame(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="codes must be integers"):
        as_codes(codes)


def test_the_codes_digest_is_pinned() -> None:
    digest = codes_digest(((1, 4), (2, 5)))
    assert digest == "fb4bce19beef57abdf984139fe97d09a5b2de302d10f921fb0c8be8c2891bb4d"


def test_the_default_root_is_beside_the_package() -> None:
    root = default_root()
    assert root.name == "golden"
    assert (root.parent / "pyproject.toml").is_file()


def test_without_a_checkout_the_root_is_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.__file__", str(tmp_path / "site" / "harness" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no directory golden/ in"):
        default_root()
    (tmp_path / "golden").mkdir()
    assert default_root() == tmp_path / "golden"
