"""The key of a lowered program in the cache: each thing that the file and its names depend on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.anymodel import Model
from harness.anymodel.lowering import lower, program_facts
from harness.anymodel.tracing import trace
from harness.export.corrections import CORRECTIONS

SOURCE = """
class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.one = torch.nn.Linear(4, 4)
        self.register_buffer("table", torch.arange(4.0), persistent=False)

    def forward(self, x):
        return self.one(x).relu() + self.table
"""


def key(source: str = SOURCE, change: Callable[[Any], None] = lambda net: None) -> dict[str, Any]:
    made: dict[str, Any] = {"torch": torch, "__name__": __name__}
    exec(compile(source, "net.py", "exec"), made)
    torch.manual_seed(0)
    net = made["Net"]()
    change(net)
    return program_facts(trace(Model(net, (torch.ones(2, 4),))).program, "fp32")


def test_the_same_program_has_the_same_key() -> None:
    assert key() == key()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("relu", "sigmoid"),
        ("self.one", "self.two"),
        ("arange(4.0)", "ones(4)"),
        ("\nclass", "\n\nclass"),  # the same program, a line further down
    ],
)
def test_another_program_buffer_module_or_line_is_another_key(before: str, after: str) -> None:
    source = SOURCE.replace(before, after)
    assert source != SOURCE

    assert key(source) != key()


def test_another_weight_is_another_key() -> None:
    def change(net: Any) -> None:
        with torch.no_grad():
            net.one.weight[0, 0] += 1e-6

    assert key(change=change)["program"] == key()["program"]
    assert key(change=change) != key()


def test_corrections_and_precision_are_in_the_key() -> None:
    program = trace(Model(torch.nn.ReLU(), (torch.ones(2, 4),))).program
    usual = program_facts(program, "fp32")
    one, other, *_ = (correction.name for correction in CORRECTIONS)

    assert program_facts(program, "bf16-4w8w") != usual
    assert program_facts(program, "fp32", [one]) != usual
    assert program_facts(program, "fp32", [one, other]) == program_facts(
        program, "fp32", [other, one]
    )


def flipped(entry: Path) -> None:
    content = bytearray((entry / "model.pte").read_bytes())
    content[-40] ^= 1
    (entry / "model.pte").write_bytes(content)


def renamed(entry: Path) -> None:
    text = (entry / "about.json").read_text()
    (entry / "about.json").write_text(text.replace("seconds", "minutes"))


@pytest.mark.parametrize("damage", [flipped, renamed])
def test_a_damaged_program_in_the_cache_is_made_again(damage: Callable[[Path], None]) -> None:
    traced = trace(Model(torch.nn.Linear(3, 5), (torch.ones(2, 3),)))
    whole = lower(traced)
    content = whole.path.read_bytes()
    damage(whole.path.parent)
    again = lower(traced)
    assert (again.origin, again.sha256) == ("exported", whole.sha256)
    assert again.path.read_bytes() == content
    assert lower(traced).origin == "cached"
