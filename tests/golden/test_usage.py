"""Goldens that nothing reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.checkpoint import PRESETS
from harness.compare import Status
from harness.golden import GoldenKey, default_root
from harness.golden.usage import judge_unused
from harness.parity.request import GOLDEN_CHECKPOINTS


def kept(checkpoint: str) -> bool:
    return checkpoint == "tiny"


def test_a_golden_that_a_run_reads_passes(root: Path) -> None:
    verdict = judge_unused(root, kept)
    assert verdict.status is Status.PASS
    assert verdict.elements == 1


@pytest.mark.parametrize(
    "stray",
    [
        "tinny/codec/fp32/cpu.json",
        "tiny/codek/fp32/cpu.json",
        "tiny/codec/fp31/cpu.json",
        "tiny/codec/fp32/gpu.json",
        "tiny/codec/cpu.json",
        "notes.json",
    ],
)
def test_a_golden_that_no_run_reads_fails_and_is_named(
    root: Path, key: GoldenKey, stray: str
) -> None:
    (root / stray).parent.mkdir(parents=True, exist_ok=True)
    (root / stray).write_text(key.path(root).read_text())
    verdict = judge_unused(root, kept)
    assert verdict.status is Status.FAIL
    assert stray in verdict.summary


def test_published_figures_are_no_golden(root: Path) -> None:
    (root / "external").mkdir()
    (root / "external" / "model.json").write_text("{}")
    assert judge_unused(root, kept).status is Status.PASS


def test_the_projects_own_goldens_are_all_read() -> None:
    def ours(name: str) -> bool:
        return name in GOLDEN_CHECKPOINTS or name not in PRESETS

    assert judge_unused(default_root(), ours).status is Status.PASS
