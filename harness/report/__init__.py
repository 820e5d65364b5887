"""What a run found, as one value, and the forms it is shown in.

`model`     the report: what ran on what, and every verdict
`finding`   the wrong nodes behind a red verdict
`figures`   arrays of the run, which plots show
`console`   the report for a person, on a terminal or in a CI log
`jsonfile`  the report for a machine; docs/report-schema.md describes it, `schema` as JSON Schema
`junit`, `markdown`
            for a CI system that lists tests, and for the summary of a job
`page`      one HTML file for a reviewer; `sections` and `plots` are parts of it
"""

from __future__ import annotations

from harness.report.console import print_report, print_verdicts, to_text
from harness.report.figures import Figures
from harness.report.finding import Finding, Localized, Place
from harness.report.jsonfile import from_json, read_json, to_json, write_json
from harness.report.junit import to_junit, write_junit
from harness.report.markdown import to_markdown, write_markdown
from harness.report.model import (
    ArtifactFacts,
    BundleFacts,
    CheckpointFacts,
    Choice,
    Reference,
    Report,
)
from harness.report.page import to_page, write_page

__all__ = [
    "ArtifactFacts",
    "BundleFacts",
    "CheckpointFacts",
    "Choice",
    "Figures",
    "Finding",
    "Localized",
    "Place",
    "Reference",
    "Report",
    "from_json",
    "print_report",
    "print_verdicts",
    "read_json",
    "to_json",
    "to_junit",
    "to_markdown",
    "to_page",
    "to_text",
    "write_json",
    "write_junit",
    "write_markdown",
    "write_page",
]
