"""The two files: a drop-in for upstream's, cached under what they were made from."""

from __future__ import annotations

import dataclasses
import errno
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from fixtures.exports import Line
from harness.errors import InputError, MachineError, UnavailableError
from harness.export import artifacts, programs
from harness.export.artifacts import ExportInputs, ExportOptions, export_artifact, given_artifact
from harness.methods import Dimensions
from harness.runtime.portable import PortableExecutor


def constants(path: Path) -> dict[str, int]:
    executor = PortableExecutor()
    executor.load(path)
    names = [name for name in executor.methods() if not executor.inputs(name)]
    return {name: int(executor.call(name, ())[0]) for name in names}


@pytest.fixture
def upstream_metadata(monkeypatch: pytest.MonkeyPatch, tiny_line: Line) -> Any:
    """Upstream's own metadata, from its exporter with the tracing left out."""
    from executorch.examples.models.voxtral_tts import export_voxtral_tts as upstream

    monkeypatch.setattr(upstream, "export", lambda *args, **options: None)
    model = tiny_line.model
    monkeypatch.setattr(model, "config_path", tiny_line.checkpoint.directory, raising=False)
    return upstream


def test_model_metadata_are_upstreams(tiny_line: Line, upstream_metadata: Any) -> None:
    _, expected = upstream_metadata.export_model(tiny_line.model, tiny_line.sizes.max_seq_len)

    assert constants(tiny_line.artifact("model.pte").path) == expected


def test_codec_metadata_are_upstreams(tiny_line: Line, upstream_metadata: Any) -> None:
    _, expected = upstream_metadata.export_codec_decoder(
        tiny_line.model, max_codec_frames=tiny_line.sizes.max_codec_frames
    )

    assert constants(tiny_line.artifact("codec_decoder.pte").path) == expected


@pytest.mark.parametrize(
    ("artifact", "methods"),
    [
        (
            "model.pte",
            {
                "token_embedding",
                "audio_token_embedding",
                "text_decoder",
                "semantic_head",
                "predict_velocity",
            },
        ),
        ("codec_decoder.pte", {"forward"}),
    ],
)
def test_executorchs_own_runtime_opens_them(
    artifact: str, methods: set[str], tiny_line: Line
) -> None:
    from executorch.runtime import Runtime

    path = tiny_line.artifact(artifact).path
    program = Runtime.get().load_program(path)

    assert program.method_names == methods | set(constants(path))


class Exporting:
    """Exports one small method of a stand-in model into a cache of its own."""

    def __init__(self, tiny_line: Line, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        monkeypatch.setenv("VOXTRAL_PARITY_CACHE", str(cache))
        self.parity, self.loaded = tiny_line, 0
        (head,) = (m for m in artifacts.METHODS if m.name == "semantic_head")
        (embed,) = (m for m in artifacts.METHODS if m.name == "token_embedding")
        monkeypatch.setattr(artifacts, "METHODS", (embed, head))

    def model(self) -> Any:
        self.loaded += 1
        return self.parity.model

    def __call__(self, weights: str = "w", **changes: Any) -> artifacts.Artifact:
        fresh = changes.pop("fresh", False)
        sizes = dataclasses.replace(self.parity.sizes, **changes.pop("sizes", {}))
        voice = self.parity.checkpoint.find_voice(None)
        inputs = ExportInputs("model.pte", sizes, ExportOptions(**changes), weights, voice)
        return export_artifact(inputs, self.model, fresh=fresh)


@pytest.fixture
def exporting(tiny_line: Line, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Exporting:
    return Exporting(tiny_line, monkeypatch, tmp_path / "cache")


def test_the_same_export_is_made_once_and_has_the_same_bytes(exporting: Exporting) -> None:
    first, second = exporting(), exporting()
    again = exporting(fresh=True)

    assert [a.origin for a in (first, second, again)] == ["exported", "cached", "exported"]
    assert exporting.loaded == 2
    assert first.sha256 == second.sha256 == again.sha256


def test_other_weights_sizes_or_options_are_another_export(exporting: Exporting) -> None:
    paths = {
        exporting().path,
        exporting(weights="changed").path,
        exporting(sizes={"max_seq_len": 64}).path,
        exporting(without=("index-rank",)).path,
    }
    assert len(paths) == 4


def test_a_method_that_cannot_be_lowered_is_named_and_the_others_are_kept(
    exporting: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(model: Any, sizes: Dimensions) -> torch.export.ExportedProgram:
        raise RuntimeError("no such operator")

    monkeypatch.setitem(programs.PROGRAMS, "semantic_head", broken)

    made = exporting()

    assert made.failures == {"semantic_head": "RuntimeError: no such operator"}
    executor = PortableExecutor()
    executor.load(made.path)
    assert "token_embedding" in executor.methods()
    assert "semantic_head" not in executor.methods()


def test_our_own_mistake_is_no_refusal(
    exporting: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wrapper of a method that calls what it does not have: a bug of ours."""
    monkeypatch.setitem(
        programs.PROGRAMS, "semantic_head", lambda model, sizes: programs.codec_metadata(1, 2)
    )

    with pytest.raises(AttributeError):
        exporting()


TROUBLE: tuple[tuple[BaseException, type[BaseException]], ...] = (
    (OSError(errno.ENOSPC, "No space left on device"), MachineError),
    (MemoryError(), MemoryError),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), RuntimeError),
    (UnavailableError("no flatc"), UnavailableError),
    (ModuleNotFoundError("No module named 'x'"), ModuleNotFoundError),
    (subprocess.CalledProcessError(1, "flatc"), subprocess.CalledProcessError),
    (KeyboardInterrupt(), KeyboardInterrupt),
)
"""What the machine does while a method is lowered, and what is raised then."""


def test_trouble_of_the_machine_is_raised_and_never_kept(
    exporting: Exporting, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for trouble, raised in TROUBLE:

        def troubled(model: Any, sizes: Dimensions, trouble: BaseException = trouble) -> Any:
            raise trouble

        with monkeypatch.context() as patch:
            patch.setitem(programs.PROGRAMS, "semantic_head", troubled)
            with pytest.raises(raised):
                exporting()
        assert list((tmp_path / "cache").rglob("*.pte")) == [], trouble
    made = exporting()
    assert made.origin == "exported"
    assert not made.failures


def test_trouble_that_torch_wraps_is_still_the_machines(
    exporting: Exporting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrapped(model: Any, sizes: Dimensions) -> torch.export.ExportedProgram:
        try:
            raise MemoryError
        except MemoryError as error:
            raise RuntimeError("while lowering") from error

    monkeypatch.setitem(programs.PROGRAMS, "semantic_head", wrapped)

    with pytest.raises(RuntimeError, match="while lowering"):
        exporting()


def test_a_given_artifact_must_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model\.pte is not in .*; --artifacts names"):
        given_artifact(tmp_path, "model.pte")


def test_a_given_artifact_is_told_as_given(tiny_line: Line) -> None:
    directory = tiny_line.artifact("model.pte").path.parent
    assert given_artifact(directory, "model.pte").origin == "given"
