from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import InputError
from harness.golden import Golden, GoldenKey, as_codes, default_root, pins, read
from harness.golden.judge import DRIFT
from harness.golden.store import list_goldens
from harness.golden.store import unused as unused_files


def test_a_golden_lives_under_checkpoint_method_precision_regime(
    root: Path, key: GoldenKey
) -> None:
    assert [str(path.relative_to(root)) for path in root.rglob("*.json")] == [
        "tiny/codec/fp32/exact-f32.json"
    ]
    assert str(key) == "tiny/codec/fp32/exact-f32"


def test_a_golden_reads_back_as_it_was_blessed(root: Path, run: Golden) -> None:
    blessed = dataclasses.replace(run, reason="first light of the codec")
    assert read(root, run.key) == blessed


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
        (("version",), 2, "expected format 'voxtral-parity golden' version 3"),
        (("version",), [1] * 9999, "expected format 'voxtral-parity golden' version 3"),
        (("statistics", "peak"), "loud", "peak: expected a number, got 'loud'"),
        (("statistics", "peak"), True, "peak: expected a number, got True"),
        (("statistics", "peak"), 10**400, "ufunc 'isfinite' not supported"),
        (("statistics", "frames"), 3.0, "frames: expected int, got 3.0"),
        (("statistics", "pcm_sha256"), 7, "pcm_sha256: expected str, got 7"),
        (("statistics", "band_dbfs"), None, "band_dbfs: expected a list, got None"),
        (("statistics", "envelope_dbfs"), [[1]], r"envelope_dbfs: expected a number, got \[1\]"),
        (("statistics", "extra"), 1, "extra"),
        (("codes",), [[1, 2], [3]], "damaged"),
        (("codes",), {}, "codes: expected a list"),
        (("codes",), [["a"]], "codes: expected int, got 'a'"),
        (("codes",), [[10**30]], "codes must be integers"),
        (("date",), "yesterday", "yesterday"),
        (("date",), 7, "date: expected str"),
        (("reason",), "", "it has no reason"),
        (("inputs",), ["sha"], "damaged"),
        (("versions",), {"torch": 2}, "versions: expected str, got 2"),
        (("key", "checkpoint"), "../tiny", "checkpoint must be letters"),
        (("key", "regime"), {}, "regime: expected str"),
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
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("member", ["{}", "NaN", "Infinity", "1e400", "9" * 5000, "[" * 100_000])
def test_a_statistic_that_no_run_could_have_is_refused(
    root: Path, key: GoldenKey, member: str
) -> None:
    text = key.path(root).read_text()
    peak = next(line for line in text.splitlines() if '"peak"' in line)
    key.path(root).write_text(text.replace(peak, f'"peak": {member},'))
    with pytest.raises(InputError, match="golden"):
        read(root, key)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"{", b"null", b'{"format": NaN}', b"\xff\xfe\x00", b"[" * 10**5]
)
def test_what_is_no_golden_is_refused(root: Path, key: GoldenKey, content: bytes) -> None:
    key.path(root).write_bytes(content)
    with pytest.raises(InputError, match=r"golden .*restore it from version control") as caught:
        read(root, key)
    assert len(str(caught.value)) < 500


def test_a_copied_golden_is_refused(root: Path, key: GoldenKey) -> None:
    other = GoldenKey("tiny", "codec", "fp32", "metal")
    key.path(root).rename(other.path(root))
    with pytest.raises(InputError, match="is of tiny/codec/fp32/exact-f32, not of its own place"):
        read(root, other)


@pytest.mark.parametrize("name", ["", "..", "a/b", "-x", "ä"])
def test_a_key_cannot_leave_the_directory(name: str) -> None:
    with pytest.raises(InputError, match="golden key: regime"):
        GoldenKey("tiny", "codec", "fp32", name)


def unused(root: Path) -> list[Path]:
    return unused_files(root, ("codec",), tuple(DRIFT), tuple(pins.DRIFT), tuple(pins.OUTPUT_DRIFT))


def test_goldens_are_listed(root: Path, key: GoldenKey) -> None:
    assert list_goldens(root) == [key]


@pytest.mark.parametrize(
    "stray",
    [
        "tiny/codek/fp32/exact-f32.json",
        "tiny/codec/fp31/exact-f32.json",
        "tiny/codec/fp32/gpu.json",
        "tiny/codec/exact-f32.json",
        "notes.json",
        "external/old/model.json",
        "pinned/tiny-fp31.json",
        "pinned/tiny.json",
        "outputs/tiny/fp31/exact-f32.json",
        "outputs/tiny/fp32/gpu.json",
        "outputs/tiny/fp32.json",
    ],
)
def test_a_file_that_no_run_reads_is_found(root: Path, stray: str) -> None:
    (root / stray).parent.mkdir(parents=True, exist_ok=True)
    (root / stray).write_text("{}")
    assert unused(root) == [root / stray]


def test_a_golden_of_any_checkpoint_and_published_figures_are_read(root: Path) -> None:
    for path in (
        "small/codec/fp32/tf32-class.json",
        "external/model.json",
        "pinned/small-bf16.json",
        "outputs/small/bf16-4w8w/tf32-class.json",
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("{}")
    (root / "README.md").write_text("reviewed")
    assert unused(root) == []


def test_every_golden_of_the_project_is_whole_and_read_by_a_run() -> None:
    assert unused(default_root()) == []
    keys = list_goldens(default_root())
    assert keys
    for key in keys:
        golden = read(default_root(), key)
        assert golden is not None
        assert set(golden.inputs) == {"checkpoint", "voice"}


def test_codes_are_kept_frame_by_frame() -> None:
    assert as_codes(np.array([[1, 2, 3], [4, 5, 6]])) == ((1, 4), (2, 5), (3, 6))


@pytest.mark.parametrize("codes", [np.zeros(3, np.int64), np.zeros((2, 2), np.float32)])
def test_codes_are_integers_by_codebook_and_frame(codes: np.ndarray) -> None:
    with pytest.raises(InputError, match="codes must be integers"):
        as_codes(codes)


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
