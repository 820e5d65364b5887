"""What a plan tells of its checkpoint, up to the report."""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoint import Checkpoint, open_checkpoint
from harness.errors import InputError
from harness.fingerprint import Fingerprint
from harness.parity.artifacts import Artifacts
from harness.parity.check import Checked, report
from harness.parity.judges.golden import find_golden
from harness.parity.observation import Observation
from harness.parity.plan import resolve
from harness.parity.request import Request
from harness.report import Report, from_json, to_json, to_text
from harness.synthesis import Utterance


def told_of(checkpoint: Checkpoint) -> Report:
    plan = resolve(Request(str(checkpoint.directory)), checkpoint)
    evidence: Any = None  # which no report quotes
    ran = Observation(Fingerprint("portable", "CPU", {}), {})
    return report(
        Checked(plan, evidence, Artifacts({}), ran, ()), datetime.datetime.now(datetime.UTC)
    )


def test_a_checkpoint_without_voices_is_told_in_the_report(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    ignore = shutil.ignore_patterns("voice_embedding")
    shutil.copytree(tiny.directory, tmp_path / "copy", ignore=ignore)
    told = told_of(open_checkpoint(tmp_path / "copy"))
    assert told.checkpoint.notes[0].startswith("checkpoint copy has no voice neutral_female")
    assert "it speaks without a voice" in " ".join(to_text(told).split())
    assert from_json(to_json(told)) == told


def test_a_checkpoint_with_its_voice_has_no_notes(tiny: Checkpoint) -> None:
    assert told_of(tiny).checkpoint.notes == ()


def test_a_voice_without_a_name_is_refused(tiny: Checkpoint) -> None:
    request = Request(str(tiny.directory), utterance=Utterance("Hello.", voice=""))
    with pytest.raises(InputError, match="voice must be one of"):
        resolve(request, tiny)


def test_a_directory_of_any_name_has_no_golden(tiny: Checkpoint, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny.directory, tmp_path / "my model (v2)")
    checkpoint = open_checkpoint(copy)
    plan = resolve(Request(str(copy)), checkpoint)

    assert plan.checkpoint.name == copy.name
    assert find_golden(plan, Fingerprint("portable", "CPU", {})) is None
