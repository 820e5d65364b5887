"""What makes mutants and counts them: a tool that changes nothing would prove everything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fixtures.exports import Line
from fixtures.mutants import joined, markdown, summary
from harness.methods import CODEC, MODEL
from harness.parity.repeat import compare_exports
from harness.pte.coverage import mlx_graphs
from harness.pte.metadata import read_metadata
from harness.pte.names import read_names
from harness.pte.program import read_program
from tests.mutate.known import EQUIVALENT, SURVIVORS, equivalent, survivor
from tests.mutate.pte import opened


def graphs(path: Path) -> dict[str, Any]:
    program = read_program(path)
    return {name: mlx_graphs(program, plan) for name, plan in program.plans.items()}


@pytest.mark.parametrize("name", [MODEL, CODEC])
def test_a_file_that_is_written_again_says_the_same(
    name: str, tiny_line: Line, tmp_path: Path
) -> None:
    path = tiny_line.artifact(name).path
    pte = opened(path)
    for entry, graph in pte.graphs.items():
        pte = pte.with_graph(entry, graph)
    again = pte.save(tmp_path / name)

    assert graphs(again) == graphs(path)
    assert read_names(read_program(again)) == read_names(read_program(path))
    assert read_metadata(again) == read_metadata(path)
    changed = compare_exports(path, again).summary.split(", in ")[-1].split(", ")
    assert all(part.startswith("delegate 0 of") for part in changed)  # laid out otherwise


def test_one_node_is_changed_and_nothing_else(tiny_line: Line, tmp_path: Path) -> None:
    path = tiny_line.artifact(MODEL).path
    pte = opened(path)
    graph = pte.graphs["text_decoder"]
    place = next(i for i, n in enumerate(graph.nodes) if type(n).__name__ == "RMSNormNode")
    node = dataclasses.replace(graph.nodes[place], eps=0.5)
    after = graphs(
        pte.with_graph("text_decoder", graph.with_node(place, node)).save(tmp_path / MODEL)
    )
    before = graphs(path)

    assert {name for name in before if before[name] != after[name]} == {"text_decoder"}
    (one,), (other,) = before["text_decoder"].values(), after["text_decoder"].values()
    pairs = zip(one.chains[one.main], other.chains[other.main], strict=True)
    assert [i for i, (a, b) in enumerate(pairs) if a != b] == [place]
    assert other.chains[other.main][place].eps == 0.5


def test_metadata_and_weights_are_changed(tiny_line: Line, tmp_path: Path) -> None:
    pte = opened(tiny_line.artifact(MODEL).path).with_metadata("empty_audio_code", 5)
    key = pte.graphs["text_decoder"].constant(0)
    assert key is not None
    wrong = bytes(len(pte.weight(key)))
    path = pte.with_weight(key, wrong).save(tmp_path / MODEL)

    assert read_metadata(path)["empty_audio_code"] == 5
    program = read_program(path)
    assert bytes(program.data(program.named_data[key])) == wrong


def row(fault: str, **fields: Any) -> dict[str, Any]:
    usual = {
        "kind": "graph", "precision": "fp32", "equivalent": "", "caught": True,
        "checks": ["exact", "tensor"], "named": True,
    }  # fmt: skip
    return {"fault": fault, **usual, **fields}


def test_the_matrix_counts_what_is_caught_and_names_what_is_not() -> None:
    rows = joined(
        [
            [row("one"), row("two", checks=["local"], named=False)],
            [row("three", caught=False, checks=[]), row("four", equivalent="why", caught=False)],
        ]
    )
    told = summary(rows)

    assert told[0] == "fp32: caught 2/3; graph 2/3"
    assert told[1] == "fp32: the right node named 1/2; 1 equivalents"
    assert "local 1 (1 alone)" in told[2]
    assert told[3:] == ["survivor in fp32: three"]
    table = markdown(rows)
    assert "| three | graph | **green** |" in table
    assert "| two | graph | local, **node not named** |" in table
    assert "| four | graph | equivalent: why |" in table


def test_known_faults_say_why_and_none_is_in_both_tables() -> None:
    assert all(len(reason.split()) > 4 for _, reason, _ in (*EQUIVALENT, *SURVIVORS))
    name = "predict_velocity module: time in bfloat16"
    assert survivor(name, "bf16")
    assert not survivor(name, "fp32")
    assert not equivalent(name, "bf16")
