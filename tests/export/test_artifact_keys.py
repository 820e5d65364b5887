"""An artifact is found by all that its bytes depend on; the export itself is faked here."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.cache.store import release_all
from harness.checkpoint import Checkpoint
from harness.export import artifacts
from harness.export.artifacts import Artifact, ExportInputs, ExportOptions, export_artifact
from harness.methods.precision import Precision
from tests.methods.test_spec import SIZES


@pytest.fixture
def voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def fake(directory: Path, inputs: ExportInputs, _: object) -> None:
        (directory / inputs.name).write_bytes(b"program")
        digest = hashlib.sha256(b"program").hexdigest()
        about = {"bytes": 7, "sha256": digest, "seconds": 0.0, "failures": {}}
        (directory / "about.json").write_text(json.dumps(about))

    monkeypatch.setattr(artifacts, "_export", fake)
    monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "voice.pt").write_bytes(b"voice")
    yield tmp_path / "voice.pt"
    release_all()


def export(voice: Path, lines: list[str] | None = None, **changed: Any) -> Artifact:
    options = changed.pop("options", ExportOptions())
    sizes = dataclasses.replace(SIZES, **changed.pop("sizes", {}))
    weights = changed.pop("weights", "aa")
    progress = (lines if lines is not None else []).append
    inputs = ExportInputs("model.pte", sizes, options, weights, voice)
    return export_artifact(inputs, lambda: None, progress=progress)


def test_the_same_request_is_exported_once(voice: Path) -> None:
    assert [export(voice).origin, export(voice).origin] == ["exported", "cached"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"weights": "bb"}, "weights changed"),
        (
            {"sizes": {"max_seq_len": SIZES.max_seq_len + 1}},
            f"max_seq_len {SIZES.max_seq_len} → {SIZES.max_seq_len + 1}",
        ),
        (
            {"options": ExportOptions(without=("copy-broadcast",))},
            "without none → copy-broadcast",
        ),
        ({"options": ExportOptions(Precision("bf16"))}, "base fp32 → bf16"),
        ({"options": ExportOptions(streaming=True)}, "streaming False → True"),
    ],
)
def test_a_change_is_another_export_and_is_named(
    changed: dict[str, Any], reason: str, voice: Path
) -> None:
    first, lines = export(voice), list[str]()

    second = export(voice, lines, **changed)

    assert (second.origin, second.path != first.path) == ("exported", True)
    assert lines == [f"exporting model.pte: {reason}"]


def test_a_damaged_file_is_exported_again(voice: Path) -> None:
    made = export(voice)
    made.path.write_bytes(b"progrAm")

    again = export(voice)

    assert (again.origin, again.path, again.sha256) == ("exported", made.path, made.sha256)
    assert again.path.read_bytes() == b"program"
    assert export(voice).origin == "cached"


def test_another_voice_is_another_export(voice: Path) -> None:
    export(voice)
    voice.write_bytes(b"other")
    lines: list[str] = []

    assert export(voice, lines).origin == "exported"
    assert lines == ["exporting model.pte: voice changed"]


_LOADED = """
import json, sys
from pathlib import Path
from harness.checkpoint import open_checkpoint
from harness.export import artifacts
from harness.export.command import parse_flags, write_artifacts
from harness.parity.plan import resolve
from harness.parity.request import Request
from harness.upstream import package_directory

directory, backend, output = sys.argv[1:]
artifacts.METHODS = tuple(m for m in artifacts.METHODS if m.name in ("text_decoder", "codec"))
checkpoint = open_checkpoint(directory)
request = Request(checkpoint=directory, max_seq_len=32, max_codec_frames=4)
sizes, voice = resolve(request, checkpoint).sizes, checkpoint.find_voice(None)
flags = parse_flags(backend=backend)
write_artifacts(checkpoint, sizes, flags, Path(output), voice=voice)
options = artifacts.ExportOptions(backend=backend)
facts = {}
for name in ("model.pte", "codec_decoder.pte"):
    inputs = artifacts.ExportInputs(name, sizes, options, "", voice)
    facts |= inputs.recipe.facts["sources"]["executorch"]
root = package_directory("executorch").as_posix() + "/"
files = (getattr(module, "__file__", None) or "" for module in list(sys.modules.values()))
loaded = {file.removeprefix(root) for file in files if file.startswith(root)}
print(json.dumps(sorted(loaded - set(facts))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["mlx", "xnnpack", "portable"])
def test_every_module_that_an_export_loads_counts(
    backend: str, tiny: Checkpoint, tmp_path: Path
) -> None:
    """Of what is not in the key, nothing writes bytes: packages' fronts, bindings, other roads."""
    done = subprocess.run(
        [sys.executable, "-c", _LOADED, str(tiny.directory), backend, str(tmp_path / "output")],
        env={**os.environ, "VOXTRAL_PARITY_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=True,
    )

    others = json.loads(done.stdout.splitlines()[-1])

    harmless = ("data/", "extension/pybindings/", "extension/pytree/", "kernels/", "runtime/")
    assert [
        name
        for name in others
        if not name.startswith(harmless)
        and not name.endswith(("/__init__.py", ".so"))
        # Upstream's exporter imports these whatever it does; they count where they are run, the
        # last where something is quantised.
        and not name.startswith(
            ("backends/xnnpack/", "backends/transforms/", "extension/llm/export/")
        )
    ] == []


def test_damaged_notes_beside_a_file_are_made_again(voice: Path) -> None:
    first = export(voice)
    notes = first.path.parent / "about.json"
    notes.write_bytes(b"[" * len(notes.read_bytes()))

    assert export(voice).origin == "exported"
    assert export(voice).origin == "cached"
