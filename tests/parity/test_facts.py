"""What a report says besides its verdicts."""

from __future__ import annotations

from pathlib import Path

from harness.compare import Status
from harness.export.artifacts import Artifact
from harness.files import file_digest
from harness.parity.facts import REFERENCE, judge_integrity, reference


def artifact(path: Path) -> Artifact:
    path.write_bytes(b"exported")
    return Artifact(path.name, path, 8, file_digest(path), 1.0, True, {})


def test_a_file_as_exported_needs_no_verdict(tmp_path: Path) -> None:
    assert judge_integrity(artifact(tmp_path / "model.pte")) is None


def test_a_file_changed_after_export_fails(tmp_path: Path) -> None:
    made = artifact(tmp_path / "model.pte")
    made.path.write_bytes(b"exportee")

    verdict = judge_integrity(made)

    assert verdict is not None
    assert (verdict.subject, verdict.status) == ("model.pte", Status.FAIL)
    assert "changed after its export" in verdict.summary


def test_disputed_choices_name_who_makes_them() -> None:
    assert all(choice.source for choice in REFERENCE.choices)
    assert "ALiBi slopes" in {choice.name for choice in REFERENCE.choices}


def test_an_unusual_export_is_said() -> None:
    usual = reference("conv", ())
    unusual = reference("unfold", ("index-rank",))

    assert usual == REFERENCE
    assert [(c.name, c.value) for c in unusual.choices[len(REFERENCE.choices) :]] == [
        ("codec form", "unfold"),
        ("stock lowering put back", "index-rank"),
    ]
