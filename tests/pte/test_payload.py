"""The MLX payload decodes whole: every node type, absent numbers apart from zeros."""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

import pytest

from harness.errors import ProgramError
from harness.pte.payload import Dim, MLXGraph, Tid, Vid, read_payload
from harness.pte.schema import mlx_schema
from harness.upstream import enable_mlx_exporter


@pytest.fixture(scope="module")
def upstream() -> Any:
    """Upstream's graph classes, with its serializer as `serialize`."""
    enable_mlx_exporter()
    from executorch.backends.mlx.serialization import mlx_graph_schema
    from executorch.backends.mlx.serialization.mlx_graph_serialize import serialize_mlx_graph

    mlx_graph_schema.serialize = serialize_mlx_graph
    return mlx_graph_schema


def graph(upstream: Any, nodes: list[Any], **given: Any) -> Any:
    instructions = [upstream.Instruction(op=node) for node in nodes]
    chains = [upstream.InstructionChain(instructions=i) for i in (instructions, [])]
    slots = {"input_map": [], "output_map": [], "mutable_buffer_map": [], "named_slots": []}
    defaults = {"version": "1", "num_temp_tensors": 4, "num_values": 4, "tensor_meta": [], **slots}
    return upstream.MLXGraph(instruction_chains=chains, **{**defaults, **given})


def decode(upstream: Any, nodes: list[Any], **given: Any) -> MLXGraph:
    return read_payload(memoryview(upstream.serialize(graph(upstream, nodes, **given))), "test")


def sample(upstream: Any, kind: Any) -> Any:
    """A value for a field of upstream's node classes, from its type hint."""
    if typing.get_origin(kind) is list:
        return [sample(upstream, typing.get_args(kind)[0])]
    if typing.get_origin(kind) is typing.Union:
        return sample(upstream, typing.get_args(kind)[0])
    made = {
        upstream.Tid: upstream.Tid(3),
        upstream.Vid: upstream.Vid(2),
        upstream.IntOrVid: upstream.IntOrVid.from_literal(-7),
        upstream.FloatOrVid: upstream.FloatOrVid.from_literal(0.25),
        upstream.VidOrTid: upstream.VidOrTid(vid=upstream.Vid(1), is_vid=True),
        upstream.IntOrVidOrTid: upstream.IntOrVidOrTid.from_tid(upstream.Tid(2)),
        int: 1,
        float: 0.5,
        bool: True,
        str: "tanh",
    }
    return made[kind]


def expected(upstream: Any, value: Any) -> Any:
    """How our decoder writes the same value."""
    if isinstance(value, list):
        return tuple(expected(upstream, item) for item in value)
    if isinstance(value, upstream.Tid):
        return Tid(value.idx)
    if isinstance(value, upstream.Vid):
        return Vid(value.idx)
    if isinstance(value, (upstream.IntOrVid, upstream.FloatOrVid)):
        return value.literal
    if isinstance(value, upstream.VidOrTid):
        return Vid(value.vid.idx)
    if isinstance(value, upstream.IntOrVidOrTid):
        return Tid(value.tid.idx)
    return value


def test_every_node_type_decodes(upstream: Any) -> None:
    names = mlx_schema().unions["OpNode"]
    assert len(names) == 136
    nodes = []
    for name in names:
        cls = getattr(upstream, name)
        hints = typing.get_type_hints(cls)
        nodes.append(
            cls(**{f.name: sample(upstream, hints[f.name]) for f in dataclasses.fields(cls)})
        )
    decoded = decode(upstream, nodes).chains[0]
    for node, back in zip(nodes, decoded, strict=True):
        assert type(back).__name__ == type(node).__name__
        assert vars(back) == {
            field: expected(upstream, value) for field, value in vars(node).items()
        }


def test_an_absent_number_is_not_zero(upstream: Any) -> None:
    literal = upstream.IntOrVid.from_literal
    absent, zero = (
        upstream.ARangeNode(
            out=upstream.Tid(0),
            start=literal(0),
            stop=literal(4),
            step=literal(1),
            scalar_type=dtype,
        )
        for dtype in (None, 0)
    )
    nodes = decode(upstream, [absent, zero]).chains[0]
    assert [node.scalar_type for node in nodes] == [None, 0]


def test_dynamic_numbers_decode_to_value_slots(upstream: Any) -> None:
    node = upstream.TakeNode(
        x=upstream.Tid(0),
        out=upstream.Tid(1),
        index=upstream.IntOrVidOrTid.from_vid(upstream.Vid(3)),
        axis=1,
    )
    assert decode(upstream, [node]).chains[0][0].index == Vid(3)


def test_tensor_meta_tells_static_from_dynamic(upstream: Any) -> None:
    dims = [upstream.ShapeDim(3), upstream.ShapeDim(-1, 1, 8), upstream.ShapeDim(-1, 0, -1)]
    meta = upstream.TensorMeta(shape=dims, scalar_type=15)
    decoded = decode(upstream, [], tensor_meta=[meta]).meta[0]
    assert decoded is not None
    assert decoded.shape == (Dim(3, 3), Dim(None, 8), Dim(None, None))
    assert decoded.scalar.name == "bfloat16"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_temp_tensors": 3}, "tensor 3 of 3"),
        ({"num_temp_tensors": 2_000_000}, "2000000 tensors"),
        ({"version": "2"}, "schema version '2'"),
        ({"main_chain_idx": 2}, "main chain is number 2 of 2"),
        ({"init_chain_idx": 9}, "init chain is number 9 of 2"),
    ],
)
def test_numbers_out_of_range_are_refused(
    upstream: Any, given: dict[str, Any], message: str
) -> None:
    node = upstream.SiluNode(x=upstream.Tid(3), out=upstream.Tid(0))
    with pytest.raises(ProgramError, match=message):
        decode(upstream, [node], **given)


def test_a_chain_that_runs_itself_is_refused(upstream: Any) -> None:
    always = upstream.IntOrVid.from_literal(1)
    node = upstream.IfNode(cond=always, then_chain_idx=0, else_chain_idx=1)
    with pytest.raises(ProgramError, match="chain 0 runs itself"):
        decode(upstream, [node])


def test_an_unknown_node_type_is_told_from_damage(upstream: Any) -> None:
    node = upstream.SiluNode(x=upstream.Tid(1), out=upstream.Tid(0))
    payload = bytearray(upstream.serialize(graph(upstream, [node])))
    number = mlx_schema().unions["OpNode"].index("SiluNode") + 1
    assert payload.count(number) == 1
    payload[payload.index(number)] = 200
    with pytest.raises(ProgramError, match=r"OpNode number 200, .* knows 1 to 136"):
        read_payload(memoryview(bytes(payload)), "test")
