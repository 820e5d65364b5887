"""A slice of ``nox -s fuzz``: what damaged bundles and observations come to."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("fuzz_bundle.py")
SLICE = 25


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Any:
    spec = importlib.util.spec_from_file_location("fuzz_bundle", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    return script.Subject(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", ["bundle", "observation"])
def test_damaged_bytes_are_always_found(kind: str, subject: Any) -> None:
    found = [subject.outcome(kind, 7, number) for number in range(SLICE)]
    assert [detail for outcome, detail in found if outcome != "error"] == []


@pytest.mark.parametrize("kind", ["member", "value"])
def test_damage_under_right_checksums_ends_in_a_sentence_or_in_verdicts(
    kind: str, subject: Any
) -> None:
    found = [subject.outcome(kind, 7, number) for number in range(SLICE)]
    wrong = [told for told in found if told[0] not in ("error", "right", "changed")]
    assert wrong == []
    assert any(outcome == "error" for outcome, _ in found)
