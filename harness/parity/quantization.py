"""Judge that weights are quantised as asked, and no others, and how long the file is.

What to expect is derived from `params.json` and the precision alone; what is there is read from
the delegates' payloads. Neither needs torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from harness.arrays import Array
from harness.checkpoint import Checkpoint
from harness.compare import Gate, Status, Verdict, words
from harness.export.kept_layers import layer_path, read_layer
from harness.methods import METHODS, Dimensions, Method
from harness.methods.precision import Precision
from harness.parity.expected_layers import FLOW, ExpectedLayer, constant_bytes, expected_layers
from harness.pte.coverage import MLX_BACKEND, delegate_graph
from harness.pte.payload import MLXGraph, Tid
from harness.pte.plan import DelegateCall
from harness.pte.program import Program, read_program

__all__ = ["judge_file_size", "judge_quantization"]

_SUFFIX = ".parametrizations.weight.original0_to_packed"
"""What torch.export and the MLX builder append to the name of a quantised layer."""


def judge_quantization(
    method: Method, path: Path, checkpoint: Checkpoint, precision: Precision
) -> Verdict:
    """Judge one method's layers: every one asked for, its bits, group and values; no other.

    The values are compared, bit for bit, with those that the eager quantised model computes
    with, as long as the cache keeps them.
    """
    expected = expected_layers(method, checkpoint, precision)
    wanted = {layer.tensor: layer for layer in expected if layer.mlx_group is not None}
    skipped = tuple(layer.fqn for layer in expected if layer.mlx_group is None)
    program = read_program(path)
    try:
        graphs = list(_graphs(program, method.entry))
        found = {}
        for graph in graphs:
            found.update({layer.name: layer for layer in _found(program, graph)})
        names = {_matching(name, wanted): layer for name, layer in found.items()}
        extra = sorted(name for name in found if _matching(name, wanted) is None)
        missing = sorted(layer.fqn for tensor, layer in wanted.items() if tensor not in names)
        here = {tensor: layer for tensor, layer in names.items() if tensor is not None}
        wrong = sorted(
            f"{wanted[tensor].fqn} has {layer.bits} bits in groups of {layer.group} and shape "
            f"{words.shape(layer.shape)}, expected {wanted[tensor].bits} in groups of "
            f"{wanted[tensor].mlx_group} and {words.shape(_shape(wanted[tensor]))}"
            for tensor, layer in here.items()
            if (layer.bits, layer.group, layer.shape)
            != (wanted[tensor].bits, wanted[tensor].mlx_group, _shape(wanted[tensor]))
        )
        changed, unknown = [], 0
        if not wrong:
            for tensor, layer in here.items():
                kept = _kept(wanted[tensor], precision, checkpoint.digest)
                if kept is None:
                    unknown += 1
                elif not _same_values(program, layer, kept):
                    changed.append(wanted[tensor].fqn)
    finally:
        program.close()
    gates = (
        Gate("left unquantised", len(missing), 0, "layers"),
        Gate("other bits, group or shape", len(wrong), 0, "layers"),
        Gate("quantised unasked", len(extra), 0, "layers"),
        Gate("other values than eager's", len(changed), 0, "layers"),
    )
    troubles = [
        *(f"left unquantised: {', '.join(missing)}" for _ in missing[:1]),
        *(f"{item}" for item in wrong),
        *(f"quantised unasked: {', '.join(extra)}" for _ in extra[:1]),
        *(f"other values than eager's: {', '.join(changed)}" for _ in changed[:1]),
    ]
    notes = [f"Skipped, since MLX has no kernel for its rows: {name}." for name in skipped]
    if unknown:
        notes.append(
            f"{words.count(unknown, 'layer')} could not be compared by value: the cache no longer "
            "keeps what eager computes with; `--fresh` makes it again."
        )
    return Verdict(
        subject=method.name,
        case="quantisation",
        kind="quantisation",
        status=Status.FAIL if troubles else Status.PASS,
        summary="; ".join(troubles) or _sound(wanted.values(), skipped, unknown),
        metrics={
            "layers": tuple(sorted(layer.fqn for layer in wanted.values())),
            "skipped": skipped,
            "not_compared_by_value": unknown,
        },
        gates=gates,
        elements=max(len(found), len(wanted), 1),
        notes=tuple(notes),
    )


def judge_file_size(
    name: str, path: Path, checkpoint: Checkpoint, sizes: Dimensions, precision: Precision
) -> Verdict:
    """Judge the length of a file against the arithmetic of its weights.

    Weights must take exactly the bytes that shapes, bits and groups say, one method after the
    other; constants of rank 0 and index tables are left out. What surrounds them, instructions
    and padding, may take 256 bytes a weight and 512 a node: two to four times what upstream's
    serialiser was seen to need, and far less than one layer kept twice or in a wider type.
    """
    program = read_program(path)
    try:
        weights = expected_bytes = nodes = tables = 0
        for method in METHODS:
            if method.artifact != name or method.entry not in program.plans:
                continue
            layers = expected_layers(method, checkpoint, precision)
            expected_bytes += constant_bytes(method.name, checkpoint, sizes, precision, layers)
            for graph in _graphs(program, method.entry):
                weights += _constant_bytes(graph)
                nodes += sum(len(chain) for chain in graph.chains)
        tables = len(program.named_data)
        constants = sum(span.size for span in program.named_data.values())
    finally:
        program.close()
    size = path.stat().st_size
    around = size - constants
    gates = (
        Gate("weights", abs(weights - expected_bytes), 0, "bytes from the arithmetic"),
        Gate("around the weights", around, 16384 + 256 * tables + 512 * nodes, "bytes"),
    )
    passed = all(gate.passed for gate in gates)
    return Verdict(
        subject=name,
        case="file size",
        kind="artifact",
        status=Status.PASS if passed else Status.FAIL,
        summary=f"{size:,} bytes: weights {weights:,}, expected {expected_bytes:,}; {around:,} "
        f"around them, up to {gates[1].allowed:,.0f} allowed",
        metrics={"bytes": size, "weights": weights, "expected_weights": expected_bytes},
        gates=gates,
        elements=max(tables, 1),
    )


# --- what is there -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _FoundLayer:
    """A quantised weight in a delegate: its name, and where its packed values and scales lie."""

    name: str
    bits: int
    group: int
    shape: tuple[int, int]
    packed: str
    scales: str


def _graphs(program: Program, entry: str) -> Iterator[MLXGraph]:
    plan = program.plans[entry]
    for call in plan.instructions:
        if isinstance(call, DelegateCall) and plan.delegates[call.delegate].backend == MLX_BACKEND:
            yield delegate_graph(program, plan, call.delegate)


def _found(program: Program, graph: MLXGraph) -> Iterator[_FoundLayer]:
    taken: dict[int, Tid] = {}
    for node in graph.chains[graph.main]:
        kind = type(node).__name__
        if kind == "TakeNode":
            taken[node.out.idx] = node.x  # a row of an embedding, of its scales, or of its biases
        if kind not in ("QuantizedMatmulNode", "DequantizeNode"):
            continue
        w, scales = (taken.get(tid.idx, tid) for tid in (node.w, node.scales))
        packed = graph.names.get(w.idx, f"tensor {w.idx}")
        meta = graph.meta[w.idx] if w.idx < len(graph.meta) else None
        rows, columns = (dim.size or 0 for dim in meta.shape) if meta else (0, 0)
        yield _FoundLayer(
            name=packed.split("/", 1)[-1].removesuffix(_SUFFIX),
            bits=node.bits,
            group=node.group_size,
            shape=(rows, columns * 32 // node.bits),
            packed=packed,
            scales=graph.names.get(scales.idx, ""),
        )


def _matching(name: str, wanted: Mapping[str, ExpectedLayer]) -> str | None:
    """The checkpoint's name of the layer that the file calls `name`, if it was asked for."""
    for tensor, layer in wanted.items():
        plain = tensor.removesuffix(".weight").removeprefix(FLOW)
        if name in (layer.fqn, plain, f"flow_head.{plain}") or layer.fqn.endswith(f".{name}"):
            return tensor
        if layer.kind == "embedding" and name.rpartition(".")[2] in (
            "embeddings",
            "tok_embeddings",
        ):
            return tensor
    return None


def _shape(layer: ExpectedLayer) -> tuple[int, int]:
    return layer.rows, layer.columns


def _kept(layer: ExpectedLayer, precision: Precision, weights: str) -> dict[str, Array] | None:
    return read_layer(
        layer_path(layer.fqn, layer.width, layer.group_size, precision.float_type, weights)
    )


def _same_values(program: Program, layer: _FoundLayer, kept: Mapping[str, Array]) -> bool:
    """Whether packed values and scales are those of `kept`, bit for bit.

    MLX packs unsigned values, lowest first; torchao's are signed around 0.
    """
    columns = layer.shape[1]
    values = kept["qdata"].view(np.uint8) + np.uint8(1 << (layer.bits - 1))
    if layer.bits == 4:
        values = (values[:, ::2] & 15) | (values[:, 1::2] << 4)
    repeats = columns // layer.group // kept["scale"].shape[1]
    scales = np.repeat(kept["scale"], repeats, axis=1)
    return _bytes(program, layer.packed) == values.tobytes() and (
        _bytes(program, layer.scales) == scales.tobytes()
    )


def _bytes(program: Program, name: str) -> bytes:
    with program.data(program.named_data[name]) as data:
        return bytes(data)


def _constant_bytes(graph: MLXGraph) -> int:
    """Bytes of the constants that hold weights: of rank 1 and more, whole numbers left out."""
    total = 0
    for index in range(graph.constants):
        meta = graph.meta[index]
        if meta is None or not meta.shape or meta.scalar.name.startswith("int"):
            continue
        total += prod(dim.size or 0 for dim in meta.shape) * meta.scalar.numpy.itemsize
    return total


def _sound(layers: Iterable[ExpectedLayer], skipped: Sequence[str], unknown: int) -> str:
    chosen = list(layers)
    if not chosen:
        return "nothing to quantise, and nothing is"
    widths = sorted({f"{layer.bits}-bit in groups of {layer.mlx_group}" for layer in chosen})
    values = "" if unknown else ", values as eager's bit for bit"
    left = f"; skipped: {', '.join(skipped)}" if skipped else ""
    return f"{words.count(len(chosen), 'layer')} {', '.join(widths)}{values}{left}"
