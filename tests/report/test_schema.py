"""docs/report-schema.json is what the code says, and what reports are."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from harness.report import Report, to_json
from harness.report.failure import failure
from harness.report.schema import json_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "report-schema.json"


def valid(data: object, *, strict: bool = True) -> None:
    schema = json_schema(strict=strict)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(data)


def test_it_is_published_as_it_is() -> None:
    written = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    assert written == json_schema(), (
        "the report's model changed: `python -m harness.report.schema > docs/report-schema.json`"
    )


def test_reports_of_every_sort_are_valid(green: Report, red: Report, explained: Report) -> None:
    for report in (green, red, explained, failure("no such file", "voxtral-parity check", "0.1")):
        valid(json.loads(to_json(report)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("exit_code",), 3),
        (("schema",), "1"),
        (("counts", "pass"), -1),
        (("verdicts", 0, "status"), "splendid"),
        (("verdicts", 0, "gates", 0, "value"), "many"),
        (("verdicts", 0, "metrics", "nodes"), {}),
        (("findings", 0, "findings", 0, "place", "step"), 1.5),
        (("executor", "versions"), []),
    ],
)
def test_what_is_no_report_is_invalid(
    path: tuple[str | int, ...], value: object, explained: Report
) -> None:
    data = json.loads(to_json(explained))
    inner = data
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        valid(data, strict=False)


@pytest.mark.parametrize("missing", ["verdicts", "exit_code", "executor", "schema"])
def test_a_report_that_lacks_something_is_invalid(missing: str, green: Report) -> None:
    data = json.loads(to_json(green))
    del data[missing]
    with pytest.raises(jsonschema.ValidationError, match=missing):
        valid(data, strict=False)


def test_later_fields_are_valid_and_unknown_ones_are_noticed(green: Report) -> None:
    data = json.loads(to_json(green)) | {"later": 1}
    valid(data, strict=False)
    with pytest.raises(jsonschema.ValidationError, match="later"):
        valid(data)
