from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from harness.compare import Gate, Status, Verdict
from harness.errors import InputError
from harness.report import BundleFacts, Report, from_json, read_json, to_json, write_json

SCHEMA_PAGE = Path(__file__).parents[2] / "docs" / "report-schema.md"


def strict(text: str) -> dict:
    def refuse(literal: str) -> float:
        raise AssertionError(f"{literal} is not strict JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_report_survives_the_round_trip(red: Report) -> None:
    again = from_json(to_json(red))
    assert to_json(again) == to_json(red)
    assert again.executor == red.executor
    assert again.reference == red.reference
    assert again.artifacts == red.artifacts
    assert again.verdicts[1] == red.verdicts[1]
    assert again.exit_code == 1


def test_the_bundle_survives_the_round_trip_and_is_none_in_older_reports(green: Report) -> None:
    packed = BundleFacts("ab" * 32, "c0ffee", "2026-08-01T12:00:00Z")
    text = to_json(dataclasses.replace(green, bundle=packed))
    assert strict(text)["bundle"] == dataclasses.asdict(packed)
    assert from_json(text).bundle == packed

    older = strict(text)
    del older["bundle"]["observed"], older["bundle"]["observed_by"]
    assert from_json(json.dumps(older)).bundle == packed
    del older["bundle"]
    assert from_json(json.dumps(older)) == green


def test_numbers_that_are_not_finite_are_strings(green: Report) -> None:
    gate = Gate("rms", math.nan, 0)
    verdict = Verdict(
        "codec", "a", "tensor", Status.FAIL, "x", {"snr_db": math.inf, "low": -math.inf}, (gate,)
    )
    text = to_json(dataclasses.replace(green, verdicts=(verdict,)))
    data = strict(text)["verdicts"][0]
    assert data["metrics"] == {"snr_db": "inf", "low": "-inf"}
    assert data["gates"][0]["value"] == "nan"
    (again,) = from_json(text).verdicts
    assert again.metrics == verdict.metrics
    assert math.isnan(again.gates[0].value)


def test_derived_facts_stand_in_the_file(red: Report) -> None:
    data = strict(to_json(red))
    assert data["schema"] == "2"
    assert data["exit_code"] == 1
    assert data["counts"] == {"pass": 6, "fail": 8, "unjudged": 2}
    halved = next(v for v in data["verdicts"] if v["case"] == "halved")
    assert halved["gates"][0]["passed"] is False
    assert halved["gates"][0]["headroom_used"] == pytest.approx(5e4)


def test_numpy_scalars_become_plain_numbers(green: Report) -> None:
    metrics = {"n": np.int64(3), "x": np.float32(0.5), "ok": np.bool_(True), "at": (np.int32(1),)}
    verdict = Verdict("codec", "a", "tensor", Status.FAIL, "x", metrics)
    data = strict(to_json(dataclasses.replace(green, verdicts=(verdict,))))
    assert data["verdicts"][0]["metrics"] == {"n": 3, "x": 0.5, "ok": True, "at": [1]}


def test_what_json_cannot_carry_is_refused(green: Report) -> None:
    verdict = Verdict("codec", "a", "tensor", Status.FAIL, "x", {"raw": b"bytes"})
    with pytest.raises(TypeError, match="cannot carry a bytes"):
        to_json(dataclasses.replace(green, verdicts=(verdict,)))


def test_every_field_is_documented(red: Report) -> None:
    documented = set(re.findall(r"`(?:….)?(\w+)`", SCHEMA_PAGE.read_text(encoding="utf-8")))
    data = strict(to_json(red))
    tensors = [v for v in data["verdicts"] if v["kind"] in ("tensor", "waveform")]
    fields = [
        *data,
        *data["checkpoint"],
        *data["executor"],
        *data["artifacts"][0],
        *data["reference"],
        *(field.name for field in dataclasses.fields(BundleFacts)),
        *data["reference"]["choices"][0],
        *data["verdicts"][0],
        *data["verdicts"][0]["gates"][0],
        *(name.split(".")[-1] for verdict in tensors for name in verdict["metrics"]),
    ]
    assert sorted(set(fields) - documented) == []


def test_a_file_is_written_whole_and_read_back(green: Report, tmp_path: Path) -> None:
    write_json(green, tmp_path / "deep" / "report.json")
    assert read_json(tmp_path / "deep" / "report.json") == green
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "not a report"),
        ("{}", "no 'schema'"),
        ('{"schema": "1"}', "expected report schema '2', got '1'"),
        ('{"schema": "2"}', "no 'verdicts'"),
    ],
)
def test_what_is_no_report_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        from_json(text)


def test_a_damaged_verdict_is_refused(green: Report) -> None:
    data = json.loads(to_json(green))
    data["verdicts"][0]["status"] = "splendid"
    with pytest.raises(InputError, match="'splendid' is not a valid Status"):
        from_json(json.dumps(data))


def test_a_pass_with_a_failed_gate_is_refused(green: Report) -> None:
    data = json.loads(to_json(green))
    data["verdicts"][0]["gates"][0]["value"] = 3
    with pytest.raises(InputError, match="a pass has failed gates: calls outside delegates"):
        from_json(json.dumps(data))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read"):
        read_json(tmp_path / "none.json")
