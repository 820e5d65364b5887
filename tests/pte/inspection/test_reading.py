"""What is in a file is told whole, whatever it was lowered to, without torch or mlx."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.errors import InputError
from harness.pte.inspection import Contents, print_contents, read_contents, to_json
from harness.pte.inspection.model import QuantizedLayer, Tensor
from harness.pte.names import SCHEMA
from harness.runtime.portable import PortableExecutor


def printed(contents: Contents, width: int = 120, **options: Any) -> str:
    file = io.StringIO()
    print_contents(contents, Console(file=file, width=width, color_system=None), **options)
    return file.getvalue()


def test_several_delegates_and_a_kernel(exported: Callable[[str], Any]) -> None:
    contents = read_contents(exported("folded").path)
    (method,) = contents.methods
    assert [d.backend for d in method.delegates] == ["MLXBackend", "MLXBackend"]
    assert method.kernels == {"aten::index_put.out": 1}
    assert (method.nodes, method.kernel_calls) == (8, 1)
    assert method.coverage == 8 / 9
    assert [i.kind for i in method.instructions] == ["delegate", "kernel", "delegate"]
    assert [slot.tensor for slot in method.inputs] == [
        Tensor("float32", (3, 8)),
        Tensor("int64", (3,)),
    ]
    assert "88.89%" in printed(contents)


def test_nodes_have_types_and_origins(exported: Callable[[str], Any]) -> None:
    (method,) = read_contents(exported("folded").path).methods
    chains = method.delegates[1].chains
    assert chains is not None
    reshape, transpose, addmm, softmax = chains["main"]
    assert (reshape.op, reshape.origin) == ("ReshapeNode", "view")
    assert reshape.outputs[0].tensor == Tensor("float32", (3, 2, 8))
    # The lowering put this transposition before the product; it stands for no node.
    assert transpose.outputs[0].tensor == addmm.inputs["mat2"].tensor == Tensor(None, None)
    assert (addmm.origin, addmm.module) == ("linear_1", "after")
    assert softmax.outputs[0].kind == "output"
    assert softmax.attributes == {"axis": -1, "precise": False}


@pytest.mark.parametrize("case", ["convolutions", "attention", "masked", "quantized", "lookup"])
def test_recorded_types_are_those_of_a_run(exported: Callable[[str], Any], case: str) -> None:
    program = exported(case)
    executor = PortableExecutor()
    executor.load(program.path)
    method, inputs, _ = program.calls[0]
    values = executor.probe(method).values(inputs)
    (contents,) = read_contents(program.path).methods
    chains = contents.delegates[0].chains
    assert contents.delegates[0].index == 0
    assert chains is not None
    told = 0
    for node in chains["main"]:
        tensor = node.outputs[0].tensor if node.outputs else None
        if tensor is None or tensor.shape is None or node.index not in values:
            continue
        value = values[node.index]
        assert value.dtype.name == tensor.dtype, node
        for size, wanted in zip(value.shape, tensor.shape, strict=True):
            assert wanted in (None, size), node
        told += 1
    assert told >= LEAST_TOLD[case]


LEAST_TOLD = {"convolutions": 7, "attention": 22, "masked": 11, "quantized": 2, "lookup": 3}
"""Instructions that stand for a node of the graph; the lowering's own have no type."""


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda content: None, "types"),
        (lambda content: content.update(schema=1), "types"),
        (lambda content: _without_types(content), "origins"),
        (lambda content: content.update(schema=SCHEMA + 1), "another file"),
        (lambda content: content.update(methods=[]), "another file"),
    ],
)
def test_it_says_where_types_come_from(
    change: Callable[[Any], None],
    names: str,
    exported: Callable[[str], Any],
    tmp_path: Path,
) -> None:
    path = Path(shutil.copy(exported("linear").path, tmp_path / "it.pte"))
    content = json.loads(exported("linear").path.with_suffix(".nodes.json").read_text())
    change(content)
    path.with_suffix(".nodes.json").write_text(json.dumps(content))

    contents = read_contents(path)

    assert contents.names == names
    assert ("types unknown" in printed(contents)) == (names != "types")


def test_without_names_only_what_is_declared_is_known(
    exported: Callable[[str], Any], tmp_path: Path
) -> None:
    contents = read_contents(Path(shutil.copy(exported("folded").path, tmp_path / "it.pte")))
    chains = contents.methods[0].delegates[1].chains
    assert contents.names == "nothing"
    assert chains is not None
    reshape, *_, softmax = chains["main"]
    assert reshape.inputs["x"].tensor == Tensor("float32", (6, 8))
    assert reshape.outputs[0].tensor == Tensor(None, None)
    assert softmax.outputs[0].tensor == Tensor("float32", (3, 2, 4))


def _without_types(content: Any) -> None:
    for method in content["methods"].values():
        for delegate in method["delegates"]:
            del delegate["types"]


def test_quantised_layers(exported: Callable[[str], Any]) -> None:
    contents = read_contents(exported("quantized").path)
    (method,) = contents.methods
    table, linear = method.quantized
    assert isinstance(table, QuantizedLayer)
    assert (table.bits, table.group, table.shape, table.op) == (8, 128, (50, 128), "DequantizeNode")
    assert (linear.bits, linear.group, linear.shape) == (4, 32, (64, 128))
    text = printed(contents)
    assert "1 × 4-bit affine, groups of 32" in text
    assert "64×128" in text


def test_metadata_methods_and_their_values(exported: Callable[[str], Any]) -> None:
    contents = read_contents(exported("several").path)
    assert contents.metadata == {
        "sample_rate": 24000,
        "voice": "casual_male",
        "streaming": True,
        "guidance": 1.2,
    }
    assert [method.name for method in contents.methods] == ["first", "second"]


def test_one_method_alone(exported: Callable[[str], Any]) -> None:
    contents = read_contents(exported("several").path, method="first")
    assert [method.name for method in contents.methods] == ["first"]
    assert {use for constant in contents.constants for use in constant.methods} == {"first"}
    with pytest.raises(
        InputError, match=r"method must be one of first, second, .* \(got 'third'\)"
    ):
        read_contents(exported("several").path, method="third")


def test_mutable_buffers_and_open_sizes(exported: Callable[[str], Any]) -> None:
    contents = read_contents(exported("attention").path)
    (method,) = contents.methods
    keys, values = method.delegates[0].buffers
    assert keys.name is not None
    assert keys.name.endswith("keys")
    assert keys.tensor == values.tensor == Tensor("float32", (1, 2, 16, 8))
    assert "f32[1,≤8,32]" in printed(contents)


def test_another_backends_file(exported: Callable[[str], Any]) -> None:
    contents = read_contents(exported("xnnpack").path)
    (method,) = contents.methods
    assert method.delegates[0].chains is None
    assert method.coverage is None
    text = printed(contents, instructions=True)
    assert "XnnpackBackend ×1" in text
    assert "that only it can read" in text


def test_constants_in_a_data_file(exported: Callable[[str], Any]) -> None:
    path = exported("external").path
    missing = read_contents(path)
    assert [(c.name, c.bytes, c.file) for c in missing.constants] == [
        ("linear.weight", 512, None),
        ("linear.bias", 64, None),
    ]
    assert "in a data file that was not given" in printed(missing)
    given = read_contents(path, [path.with_suffix(".ptd")])
    assert {c.file for c in given.constants} == {1}


def test_a_changed_file_is_told_from_what_was_exported(
    exported: Callable[[str], Any], tmp_path: Path
) -> None:
    path = exported("linear").path
    assert read_contents(path).intact is True
    copy = tmp_path / "copy.pte"
    shutil.copy(path, copy)
    assert read_contents(copy).intact is None
    shutil.copy(path.with_suffix(".nodes.json"), tmp_path / "copy.nodes.json")
    whole = bytearray(copy.read_bytes())
    whole[-100] ^= 1  # in a weight
    copy.write_bytes(whole)
    contents = read_contents(copy)
    assert contents.intact is False
    assert "as exported  NO" in printed(contents)


def test_json_says_it_all_strictly(exported: Callable[[str], Any]) -> None:
    content = json.loads(to_json(read_contents(exported("masked").path)))
    assert content["schema"] == "2"
    assert content["path"] == "portable-masked.pte"
    assert list(content) == [
        "schema", "path", "bytes", "data", "intact", "names", "methods", "metadata", "constants",
    ]  # fmt: skip
    node = content["methods"][0]["delegates"][0]["chains"]["main"][0]
    assert list(node) == ["index", "op", "inputs", "outputs", "attributes", "origin", "module"]


def test_every_field_is_documented() -> None:
    from dataclasses import fields

    from harness.pte.inspection import model

    text = (Path(__file__).parents[3] / "docs" / "inspect-schema.md").read_text()
    for name in model.__all__:
        for field in fields(getattr(model, name)):
            assert f"`{field.name}`" in text, f"{name}.{field.name}"


def test_plain_ascii_where_there_is_no_more(exported: Callable[[str], Any]) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    print_contents(
        read_contents(exported("attention").path), Console(file=file, width=100), instructions=True
    )
    file.flush()
    assert b"f32[1,<=8,32]" in raw.getvalue()


def test_neither_torch_nor_mlx_is_imported(exported: Callable[[str], Any]) -> None:
    script = (
        "import sys; from harness.cli import main; sys.argv[0] = 'voxtral-parity'\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in ('torch', 'mlx', 'mlx.core', 'executorch') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "inspect", str(exported("linear").path), "--instructions"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1] in ("[]", "['executorch']")
    assert "Addmm(mat1=" in done.stdout
