"""What is in a `.pte`, for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.pte.inspection import model
from harness.pte.inspection.model import Constant, Contents, MethodContents, Slot, Tensor

__all__ = ["print_contents"]

_SHORT = {"float": "f", "bfloat": "bf", "uint": "u", "int": "i", "bool": "bool"}
_SIGNS = {"constant": "c", "input": "in", "output": "out", "buffer": "buf", "temporary": "t"}

_INTACT: Mapping[bool | None, str] = {
    True: "yes, by the sha256 kept beside it",
    False: "NO: its sha256 is not the one kept beside it; it was damaged, changed or replaced",
}

_UNTYPED = {
    "origins": "types unknown: the names beside the file are of an older export; export again",
    "nothing": "types unknown: no names were kept beside the file",
    "another file": "types unknown: the names beside the file belong to another export",
}

_MOST_ROWS = 40
"""Rows of a table of weights, beyond which it says how many more there are."""


def print_contents(
    contents: Contents,
    console: Console,
    *,
    instructions: bool = False,
    every: bool = False,
) -> None:
    """Print `contents`, if asked with the `instructions`, and with `every` row of long tables."""
    most = None if every else _MOST_ROWS
    parts = (
        _header(contents),
        _methods(contents),
        _metadata(contents),
        _quantization(contents, most),
        _buffers(contents),
        _constants(contents.constants, most),
    )
    with console.capture() as capture:
        console.print(Group(*(Padding(part, (0, 0, 1, 0)) for part in parts if part)))
        for method in contents.methods if instructions else ():
            # A line a step, however long, as in any listing of a program.
            console.print(_program(method), "", soft_wrap=True, sep="\n")
    text = capture.get()
    if console.options.ascii_only:
        text = text.translate(_ASCII).encode("ascii", "replace").decode()
    console.file.write("\n".join(line.rstrip() for line in text.rstrip().splitlines()) + "\n")


_ASCII = str.maketrans({"≤": "<=", "→": "->", "–": "-", "·": "-", "×": "x", "…": "...", "─": "-"})


def _header(contents: Contents) -> RenderableType:
    backends = Counter(d.backend for method in contents.methods for d in method.delegates)
    kernels = sum(method.kernel_calls for method in contents.methods)
    does = sorted(_times(backends))
    if kernels:
        does.append(f"{kernels} kernel calls")
    weights = sum(constant.bytes for constant in contents.constants if constant.file == 0)
    opened = any(d.chains for method in contents.methods for d in method.delegates)
    rows = [
        ("size", f"{contents.bytes:,} bytes, of which constants {weights:,}"),
        *(("data", path.name) for path in contents.data),
        ("as exported", _INTACT.get(contents.intact, "")),
        ("temporaries", _UNTYPED.get(contents.names, "") if opened else ""),
        ("runs on", ", ".join(does) or "nothing: constant methods only"),
    ]
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in rows:
        if text:
            grid.add_row(label, Text(text))
    return Group(Text(contents.path.name, style="bold"), grid)


def _methods(contents: Contents) -> RenderableType:
    rows = [
        (
            method.name,
            _lines(_typed(slot.tensor) for slot in method.inputs),
            _lines(_typed(slot.tensor) for slot in method.outputs),
            _lines(_times(Counter(delegate.backend for delegate in method.delegates))),
            "–" if method.opaque else f"{method.nodes:,}",
            _lines(_times(method.kernels)),
            _share(method),
        )
        for method in contents.methods
    ]
    headers = ("method", "inputs", "outputs", "delegates", "nodes", "kernels", "delegated")
    return _table(headers, rows) or Text("no method that computes")


def _times(counts: Mapping[str, int]) -> list[str]:
    return [f"{name} ×{count}" for name, count in counts.items()]


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts) or "–"


def _share(method: MethodContents) -> str:
    if method.coverage is None:
        return "all" if method.delegates and not method.kernels else "–"
    if method.coverage == 1.0:
        return "100%"
    # Never rounded up to all of it.
    return f"{min(method.coverage, 0.9999):.2%}"


def _metadata(contents: Contents) -> RenderableType | None:
    values = contents.metadata.items()
    rows = [(name, value if isinstance(value, str) else repr(value)) for name, value in values]
    return _table(("constant method", "value"), rows)


def _quantization(contents: Contents, most: int | None) -> RenderableType | None:
    layers = [(method.name, layer) for method in contents.methods for layer in method.quantized]
    kinds = Counter((layer.bits, layer.group, layer.mode) for _, layer in layers)
    summary = ", ".join(
        f"{count} × {bits}-bit {mode}, groups of {group}"
        for (bits, group, mode), count in sorted(kinds.items())
    )
    rows = [
        (
            layer.name,
            "×".join(map(str, layer.shape)),
            str(layer.bits),
            str(layer.group),
            layer.mode,
            layer.op.removesuffix("Node"),
            method,
        )
        for method, layer in layers
    ]
    headers = ("quantised weight", "shape", "bits", "group", "mode", "by", "method")
    return _table(headers, rows, f"quantised: {summary}", most)


def _buffers(contents: Contents) -> RenderableType | None:
    rows = [
        (slot.name or f"tensor {slot.number}", _typed(slot.tensor), method.name, str(part.index))
        for method in contents.methods
        for part in method.delegates
        for slot in part.buffers
    ]
    return _table(("mutable buffer", "type", "method", "delegate"), rows)


def _constants(constants: tuple[Constant, ...], most: int | None) -> RenderableType | None:
    where = {0: "", None: "in a data file that was not given"}
    rows = []
    for constant in constants:
        place = where.get(constant.file, f"data file {constant.file}")
        users = ", ".join(filter(None, (*constant.methods, place))) or "–"
        rows.append((constant.name, _typed(constant.tensor), f"{constant.bytes:,}", users))
    title = f"{len(rows):,} constants, {sum(constant.bytes for constant in constants):,} bytes"
    return _table(("constant", "type", "bytes", "methods"), rows, title, most)


def _program(method: MethodContents) -> Text:
    lines: list[Text] = [Text(method.name, style="bold")]
    for instruction in method.instructions:
        lines.append(Text(f"{instruction.index:4}  {_plan_line(instruction)}"))
        if instruction.kind == "delegate" and isinstance(instruction.what, int):
            delegate = method.delegates[instruction.what]
            lines += (Text(f"      {line}") for line in _delegate_lines(delegate))
    return Text("\n").join(lines)


def _plan_line(instruction: model.PlanInstruction) -> str:
    slots = ", ".join(
        f"v{slot.number} {_typed(slot.tensor)}"
        if slot.tensor
        else f"v{slot.number}={_listed(slot)}"
        for slot in instruction.arguments
    )
    what = "" if instruction.what is None else f" {instruction.what}"
    return f"{instruction.kind}{what} ({slots})"


def _listed(slot: Slot) -> str:
    if slot.kind != "list":
        return repr(slot.literal)
    return "[" + ",".join("none" if item == -1 else f"v{item}" for item in slot.literal) + "]"


def _delegate_lines(delegate: model.DelegateContents) -> Iterator[str]:
    if delegate.chains is None:
        yield f"{delegate.backend}, {delegate.bytes:,} bytes that only it can read"
        return
    for role, nodes in delegate.chains.items():
        yield f"{delegate.backend}, {role}: {len(nodes)} instructions"
        for node in nodes:
            yield f"{node.index:6}  {_node_line(node)}"


def _node_line(node: model.NodeContents) -> str:
    made = ", ".join(map(_named, node.outputs))
    arguments = [f"{field}={_named(slot)}" for field, slot in node.inputs.items()] + [
        f"{field}={_attribute(value)}" for field, value in node.attributes.items()
    ]
    origin = "  # " + " ".join(filter(None, (node.origin, node.module))) if node.origin else ""
    head = f"{made} = " if made else ""
    return f"{head}{node.op.removesuffix('Node')}({', '.join(arguments)}){origin}"


def _named(slot: Slot | tuple[Slot, ...]) -> str:
    """Kind and number of a slot, then its type: ``t5 f32[1,16]``; of a weight its name too."""
    if isinstance(slot, tuple):
        return "[" + ", ".join(map(_named, slot)) + "]"
    if slot.kind == "value":
        return f"v{slot.number}"
    name = f" {slot.name}" if slot.name else ""
    return f"{_SIGNS[slot.kind]}{slot.number}{name} {_typed(slot.tensor)}"


def _attribute(value: object) -> str:
    if isinstance(value, dict):
        return f"v{value['value']}"
    if isinstance(value, tuple):
        return "[" + ",".join(_attribute(item) for item in value) + "]"
    return f"{value:g}" if isinstance(value, float) else repr(value)


def _typed(tensor: Tensor | None) -> str:
    """``f32[1,≤8,16]``; a question mark stands for what the file does not tell."""
    if tensor is None:
        return "number"
    dtype = tensor.dtype or "?"
    long = next(filter(dtype.startswith, _SHORT), "")
    dtype = _SHORT.get(long, "") + dtype.removeprefix(long)
    if tensor.shape is None:
        return f"{dtype}[?]"
    most = tensor.most or (None,) * len(tensor.shape)
    sizes: Iterable[str] = (
        str(size) if size is not None else "?" if bound is None else f"≤{bound}"
        for size, bound in zip(tensor.shape, most, strict=True)
    )
    return f"{dtype}[{','.join(sizes)}]"


_NUMBERS = ("nodes", "bits", "group", "bytes")


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], title: str = "", most: int | None = None
) -> RenderableType | None:
    """The first `most` rows as plain text: names in a file are no markup. None without rows."""
    if not rows:
        return None
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for header in headers:
        side: JustifyMethod = "right" if header in _NUMBERS else "left"
        table.add_column(Text(header, style="dim"), justify=side, overflow="fold")
    for row in rows[:most]:
        table.add_row(*map(Text, row))
    left = len(rows[most:]) if most is not None else 0
    more = Text(f"… {left:,} more; --all lists them, --json has them too", style="dim")
    parts = ((Text(title), title), (table, True), (more, left))
    return Group(*(part for part, shown in parts if shown))
