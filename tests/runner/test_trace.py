"""A trace of upstream's runner is read, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import InputError
from harness.runner.trace import read_trace

TOP = [{"id": 7, "logit": 3.5}, {"id": 9, "logit": 1.25}]
TRACE: dict[str, Any] = {
    "mode": "runner_exported",
    "prompt_token_ids": [1, 25, 24, 36, 5, 35, 25],
    "prefill_hidden": [0.5, -1.0],
    "frame0_hidden": [0.25, 2.0],
    "frames": [
        {"frame": 0, "semantic_code": 7, "semantic_topk": TOP, "full_codes": [7, 3]},
        {"frame": 1, "semantic_code": 1, "semantic_topk": TOP, "full_codes": [], "end_audio": True},
    ],
    "end_audio_at_frame": 1,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


def test_what_is_there_is_read(path: Path) -> None:
    path.write_text(json.dumps(TRACE))
    trace = read_trace(path)
    assert trace.prompt.tolist() == [1, 25, 24, 36, 5, 35, 25]
    assert set(trace.vectors) == {"prefill_hidden", "frame0_hidden"}
    assert trace.vectors["frame0_hidden"].dtype == np.float32
    assert trace.top_ids.tolist() == [[7, 9], [7, 9]]
    assert trace.top_logits.tolist() == [[3.5, 1.25]] * 2
    assert trace.codes.tolist() == [7, 1]


def test_what_is_not_finite_is_nan(path: Path) -> None:
    """The runner's JSON has null for it."""
    path.write_text(json.dumps({**TRACE, "prefill_hidden": [None, 1.0]}))
    assert np.isnan(read_trace(path).vectors["prefill_hidden"]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompt_token_ids": ["1"]}, "expected integers"),
        ({"prompt_token_ids": [1.5]}, "expected integers"),
        ({"prefill_hidden": [[1.0], [1.0, 2.0]]}, "is no trace of upstream's runner"),
        ({"prefill_hidden": ["loud"]}, "expected numbers"),
        ({"frames": 3}, "is no trace of upstream's runner"),
        ({"frames": [{"semantic_code": 7}]}, "it has no 'semantic_topk'"),
        ({"frames": [{"semantic_code": 2**70, "semantic_topk": TOP}]}, "is no trace"),
        ({"prefill_hidden": [0.0] * (2**20 + 1)}, "a list of 1,048,577 entries"),
    ],
)
def test_another_form_is_refused(path: Path, change: dict[str, Any], sentence: str) -> None:
    path.write_text(json.dumps({**TRACE, **change}))
    with pytest.raises(InputError, match=sentence):
        read_trace(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"prompt_token_ids": [1]'])
def test_another_file_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(InputError, match=r"trace"):
        read_trace(path)
