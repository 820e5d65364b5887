"""Calls as plain files, and the outputs of somebody else's program on them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.arrays import from_bits, to_bits
from harness.bundle.bpte import write_bundled_programs
from harness.bundle.contents import open_bundle
from harness.bundle.golden_dir import INDEX, read_outputs, write_golden_dir
from harness.bundle.judging import judge_bundle
from harness.bundle.packing import Packed, pack
from harness.compare import Status
from harness.errors import InputError
from harness.pte.flatbuffer import Reader
from harness.pte.schema import parse
from harness.runtime.portable import PortableExecutor

METHODS = ("text_decoder", "codec")


@pytest.fixture(scope="module")
def some(packed: Callable[[tuple[str, ...]], Packed]) -> Packed:
    return packed(METHODS)


@pytest.fixture(scope="module")
def directory(some: Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "calls"
    write_golden_dir(some.plan, some.evidence, some.artifacts, path)
    return path


@pytest.fixture(scope="module")
def bundle(some: Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("golden") / "some.bundle"
    pack(some, path, commit="")
    return path


def read(path: Path, told: dict[str, Any]) -> Any:
    dtype = "uint16" if told["dtype"] == "bfloat16" else told["dtype"]
    data = np.fromfile(path / told["file"], np.dtype(dtype).newbyteorder("<"))
    return from_bits(data.reshape(told["shape"]), told["dtype"])


def run_all(directory: Path, target: Path) -> None:
    """What a program does that follows the index and knows nothing else of us."""
    target.mkdir()
    executors: dict[str, PortableExecutor] = {}
    before = None
    for call in json.loads((directory / INDEX).read_text())["calls"]:
        case = (call["program"], call["method"], call["case"])
        if case != before:
            executors[call["program"]] = PortableExecutor()
            executors[call["program"]].load(directory / call["program"])
        before = case
        inputs = [read(directory, told) for told in call["inputs"]]
        executor = executors[call["program"]]
        (output,) = executor.call(call["method"], inputs, state=call["state"])
        (target / call["output"]["file"]).write_bytes(to_bits(output).tobytes())


def test_the_codec_is_of_upstreams_form(directory: Path, some: Packed) -> None:
    # Upstream's own writer, told the same call.
    import torch
    from executorch.backends.test.harness.tester import Tester

    item = some.evidence.cases["codec"][0]
    theirs = directory.parent / "theirs"
    codes = torch.from_numpy(item.case.calls[0][0].copy())
    Tester._dump_golden_artifacts(
        str(theirs), "codec_decoder", (codes,), torch.from_numpy(item.outputs[0].copy())
    )
    names = sorted(path.name for path in theirs.iterdir())
    assert names == ["codec_decoder_expected_output.bin", "codec_decoder_input.bin"]
    for name in names:
        assert (directory / name).read_bytes() == (theirs / name).read_bytes()
    assert (directory / "codec_decoder.pte").is_file()


def test_several_inputs_are_numbered_as_upstream_numbers_them(
    directory: Path, some: Packed
) -> None:
    embeds, positions = some.evidence.cases["text_decoder"][0].case.calls[1]
    stem = directory / "model-text_decoder-0-1"
    assert Path(f"{stem}_input_0.bin").read_bytes() == embeds.tobytes()
    assert Path(f"{stem}_input_1.bin").read_bytes() == positions.astype("<i8").tobytes()


def test_outputs_of_another_program_are_judged(
    directory: Path, bundle: Path, tmp_path: Path
) -> None:
    outputs = tmp_path / "outputs"
    run_all(directory, outputs)
    with open_bundle(bundle) as opened:
        made = read_outputs(opened, outputs)
        assert (made.observed, made.versions) == ("", {})  # nobody knows
        found = judge_bundle(opened, made).verdicts
        assert {verdict.status for verdict in found} == {Status.PASS}
        assert {"exact", "tensor", "waveform"} <= {verdict.kind for verdict in found}

        # One sample wrong, in one call.
        sound = outputs / "codec_decoder_output.bin"
        samples = np.fromfile(sound, np.float32)
        samples[1000] += 0.1
        samples.tofile(sound)
        found = judge_bundle(opened, read_outputs(opened, outputs)).verdicts
        failed = {(v.subject, v.case) for v in found if v.status is Status.FAIL}
        assert ("codec", "speech") in failed

        # One missing: the case is unjudged, with the file's name.
        sound.unlink()
        found = judge_bundle(opened, read_outputs(opened, outputs)).verdicts
        (speech,) = (v for v in found if (v.subject, v.case) == ("codec", "speech"))
        assert speech.status is Status.UNJUDGED
        assert "codec_decoder_output.bin" in speech.summary

        # One of another size.
        sound.write_bytes(b"\0" * 12)
        with pytest.raises(InputError, match=r"codec_decoder_output\.bin has 12 bytes"):
            read_outputs(opened, outputs)


def test_a_directory_without_outputs_is_refused(
    directory: Path, bundle: Path, tmp_path: Path
) -> None:
    with open_bundle(bundle) as opened, pytest.raises(InputError, match="there is no output in"):
        read_outputs(opened, tmp_path)


def test_a_directory_that_is_there_stays_as_it_is(some: Packed, tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(InputError, match="exists already"):
        write_golden_dir(some.plan, some.evidence, some.artifacts, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_bundled_programs_hold_program_and_cases(some: Packed, tmp_path: Path) -> None:
    import importlib.resources

    import executorch.devtools.bundled_program.serialize as upstream
    from executorch.extension.pybindings import _C

    folder = importlib.resources.files(upstream)
    files = ("scalar_type.fbs", "bundled_program_schema.fbs")
    schema = parse("".join((folder / name).read_text() for name in files))

    written = write_bundled_programs(some.plan, some.evidence, some.artifacts, tmp_path)
    assert [path.name for path in written] == ["model.bpte", "codec_decoder.bpte"]
    for path, name, entry in zip(written, METHODS, ("text_decoder", "forward"), strict=True):
        content = path.read_bytes()
        assert _C._load_bundled_program_from_buffer(content)
        root = Reader(schema, content, path.name).root()
        pte = some.artifacts.files[f"{path.stem}.pte"].made.path
        assert root.program == pte.read_bytes()
        (suite,) = root.method_test_suites
        assert suite.method_name == entry
        item = some.evidence.cases[name][0]
        assert len(suite.test_cases) >= len(item.case.calls)
        test = suite.test_cases[0]
        for value, wanted in (
            (test.inputs[0], item.case.calls[0][0]),
            (test.expected_outputs[0], item.outputs[0]),
        ):
            assert value.val.data == wanted.tobytes()
            assert value.val.sizes == wanted.shape
