"""Which products move a decision in an emulated regime, by emulating each alone."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pytest

from harness.methods import MODEL
from harness.parity import attribution
from harness.parity.attribution import attribute
from harness.parity.judges.flips import Flip
from harness.runtime.pair import ArtifactPair
from harness.runtime.portable.ops_linear import OPS
from harness.runtime.select import choose

NUMBER = r"(-?[\d.]+(?:e-?\d+)?)"


@pytest.fixture
def run(tiny_line: Any) -> Any:
    paths = tiny_line.artifacts.paths
    with ArtifactPair(paths, partial(choose, "portable", None, "bf16-accumulate")) as pair:
        yield pair


@pytest.fixture
def acoustic(tiny_line: Any) -> Flip:
    codes = tiny_line.evidence.speech.codes
    return Flip(0, 9, codes, int(codes[9, 0]), int(codes[9, 0]) - 1)


def test_what_is_not_emulated_is_as_it_was_without(run: Any, tiny_line: Any) -> None:
    executor, plain = run.executor(MODEL), choose("portable")
    plain.load(tiny_line.artifacts.paths[MODEL])
    call = tiny_line.evidence.cases["semantic_head"][0].case.calls[0]
    executor.emulate(())
    (nothing,) = executor.call("semantic_head", call)
    executor.emulate(None)
    (everything,) = executor.call("semantic_head", call)
    (usual,) = plain.call("semantic_head", call)
    finite = np.isfinite(usual)  # END and the like are masked
    assert np.abs(nothing[finite] - usual[finite]).max() < 1e-5
    assert np.abs(everything[finite] - usual[finite]).max() > 1e-3
    places = [place for place in executor.products() if place[0] == "text_decoder"]
    executor.emulate(places)
    assert np.array_equal(executor.call("semantic_head", call)[0], nothing)


def test_methods_and_products_are_named_with_what_they_move(
    run: Any, tiny_line: Any, acoustic: Flip
) -> None:
    methods, products = attribute(tiny_line.plan, tiny_line.evidence, run, acoustic)

    found = re.search(
        rf"by {NUMBER} levels: predict_velocity's by {NUMBER}, semantic_head's by 0, "
        rf"text_decoder's by {NUMBER}\.",
        methods,
    )
    assert found
    assert all(1e-4 < abs(float(part)) < 1 for part in found.groups())
    named = rf"(step \d+, \w+ \(\w+\) by {NUMBER}(, |\.$)){{3}}"
    assert re.search(f"products, alone: {named}", products)


def test_a_semantic_decision_is_moved_by_its_logits(run: Any, tiny_line: Any) -> None:
    codes = tiny_line.evidence.speech.codes
    flip = Flip(1, 0, codes, int(codes[0, 1]), int(codes[0, 0]))
    methods, _ = attribute(tiny_line.plan, tiny_line.evidence, run, flip)
    assert re.search(rf"by {NUMBER} logits", methods)
    assert "predict_velocity's by 0," in methods  # it comes after the semantic code
    assert "semantic_head's by 0," not in methods


def test_products_of_a_large_model_are_not_tried_one_by_one(
    run: Any, tiny_line: Any, acoustic: Flip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution, "_SECONDS", 0.0)
    _, products = attribute(tiny_line.plan, tiny_line.evidence, run, acoustic)
    assert re.fullmatch(r"The \d+ products of \w+ were not tried one by one\.", products)


def test_a_wrong_product_is_named_first(run: Any, tiny_line: Any, acoustic: Flip) -> None:
    executor = run.executor(MODEL)
    products = executor.products()
    names = [(p, said) for p, said in products.items() if p[0] == "text_decoder"]
    (wrong,) = (p for p, said in names if "(linear_6)" in said)
    own = dict(executor._ops)
    executor._ops = {
        **own,
        "AddmmNode": lambda n, s: OPS["AddmmNode"](n, s) * (1.01 if n is wrong_node else 1),
    }
    method = executor.prepare("text_decoder")
    call = method.plan.instructions[wrong[1].instruction]
    wrong_node = method.delegates[call.delegate].graph.chains[wrong[1].chain][wrong[1].node]
    _, named = attribute(tiny_line.plan, tiny_line.evidence, run, acoustic)
    assert named.partition("alone: ")[2].startswith(products[wrong])
