"""What disputed choices cost: a choice that changes nothing costs nothing, another what it must."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from fixtures.command_line import typed
from fixtures.exports import Line
from harness.parity import audit as module
from harness.parity.audit import Cost, _Trial, _variants
from harness.reference.semantics import EXECUTORCH, SEMANTICS, Semantics
from harness.synthesis import frames


def cost(line: Line, semantics: Semantics) -> Cost:
    return _Trial(line.plan, line.models, line.evidence, semantics).cost("choice", "value")


def test_the_references_own_choices_cost_nothing(tiny_line: Line) -> None:
    found = cost(tiny_line, EXECUTORCH)
    assert {(one.max_abs, one.rms) for one in found.differences} == {(0.0, 0.0)}
    assert len(found.differences) == len(tiny_line.evidence.cases["codec"])
    assert (found.otherwise, found.first_frame) == (0, None)
    assert found.decisions == tiny_line.speech.codes.size + 1
    assert math.isinf(found.snr_db)
    assert math.isinf(found.free_snr_db)


def test_a_choice_of_the_codec_is_heard_and_leaves_the_codes(tiny_line: Line) -> None:
    found = cost(tiny_line, dataclasses.replace(EXECUTORCH, alibi=0))
    assert found.who == ("vLLM-Omni",)
    assert max(one.max_abs for one in found.differences) > 0.1
    assert 5 < found.snr_db < 20
    assert found.snr_db == found.free_snr_db
    assert (found.otherwise, found.first_frame) == (0, None)


def test_a_choice_of_the_loop_leaves_the_codec_and_changes_the_codes(tiny_line: Line) -> None:
    found = cost(tiny_line, dataclasses.replace(EXECUTORCH, seed_step=False))
    assert found.who == ("vLLM-Omni", "mlx-audio")
    assert max(one.max_abs for one in found.differences) == 0
    assert math.isinf(found.snr_db)
    assert found.otherwise > 100
    assert found.first_frame == 0
    assert found.free_snr_db < 10


def test_a_code_that_a_tie_decides_is_counted(
    tiny_line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value of the speech is put halfway: rounding to even then decides otherwise, once."""
    halfway = iter([True])
    scaled = frames.scaled_levels

    def with_a_tie(x: np.ndarray, levels: int) -> np.ndarray:
        made = scaled(x, levels)
        if next(halfway, False):
            code = tiny_line.speech.codes[1, 0] - frames.N_SPECIAL_CODES
            made[0] = code + (0.5 if code % 2 else -0.5)  # to even, that is not this code
        return made

    monkeypatch.setattr(frames, "scaled_levels", with_a_tie)
    assert cost(tiny_line, dataclasses.replace(EXECUTORCH, rounding="half-even")).otherwise == 1


def test_every_switched_choice_is_tried_alone_and_every_implementation_whole() -> None:
    tried = [(choice, semantics) for choice, _, semantics in _variants()]
    assert [choice for choice, _ in tried] == [
        "ALiBi slopes",
        "codec attention window",
        "padding of the codec's first convolution",
        "special codes at the codec",
        "seed step",
        "rounding of acoustic codes",
        *["all of them"] * 3,
    ]
    assert [semantics for _, semantics in tried[-3:]] == list(SEMANTICS.values())[1:]


def test_the_command_prints_a_table_and_writes_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    few = [one for one in _variants() if one[0] == "padding of the codec's first convolution"]
    monkeypatch.setattr(module, "_variants", lambda: few)
    file = tmp_path / "audit.json"

    assert typed(monkeypatch, "audit", "--json", str(file)) == 0

    out = " ".join(capsys.readouterr().out.split())
    assert "voxtral-tts.c" in out
    assert "Not switched, text" in out
    found = json.loads(file.read_text())
    assert (found["schema"], found["checkpoint"], len(found["costs"])) == ("1", "tiny", 1)
    assert found["costs"][0]["who"] == ["voxtral-tts.c"]
    assert found["costs"][0]["snr_db"] < 10
