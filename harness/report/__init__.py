"""What a run found, as one value, and the forms it is shown in.

`model`     the report: what ran on what, and every verdict
`console`   the report for a person, on a terminal or in a CI log
`jsonfile`  the report for a machine; docs/report-schema.md describes it
"""

from __future__ import annotations

from harness.report.console import print_report, print_verdicts, to_text
from harness.report.jsonfile import from_json, read_json, to_json, write_json
from harness.report.model import (
    ArtifactFacts,
    BundleFacts,
    CheckpointFacts,
    Choice,
    Reference,
    Report,
)

__all__ = [
    "ArtifactFacts",
    "BundleFacts",
    "CheckpointFacts",
    "Choice",
    "Reference",
    "Report",
    "from_json",
    "print_report",
    "print_verdicts",
    "read_json",
    "to_json",
    "to_text",
    "write_json",
]
