"""Pins of eager's outputs: what moves them, and how they are kept."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from harness.compare import Status, Verdict
from harness.errors import InputError
from harness.golden import pins
from harness.golden.pins import Pin, Pins

REASON = "first pins of a test"
PARITY = [Verdict("codec", "speech", "waveform", Status.PASS, "equal", elements=5760)]


@pytest.fixture
def outputs() -> list[np.ndarray]:
    """Two calls, of 700 and 300 elements, with a masked one."""
    draw = np.random.default_rng(3)
    first, second = draw.standard_normal(700), draw.standard_normal(300)
    second[250] = -np.inf
    return [first.astype(np.float32).reshape(7, 100), second.astype(np.float32)]


@pytest.fixture
def run(outputs: list[np.ndarray]) -> Pins:
    methods = {"codec": {"speech": Pin.of(outputs), "random": Pin.of(outputs[:1])}}
    return Pins("tiny", "fp32", "ab" * 32, methods, {"codes": "cd" * 32}, REASON, "2026-11-01")


def moved(run: Pins, pin: Pin) -> list[Verdict]:
    methods = {"codec": {**run.methods["codec"], "speech": pin}}
    return pins.judge(run, dataclasses.replace(run, methods=methods))


def test_a_pin_counts_masked_elements_apart(outputs: list[np.ndarray]) -> None:
    pin = Pin.of(outputs)
    assert (pin.elements, pin.masked) == (1000, 1)
    finite = np.concatenate([y.reshape(-1) for y in outputs])
    finite = finite[np.isfinite(finite)]
    assert pin.rms == pytest.approx(np.sqrt(np.mean(np.square(finite, dtype=np.float64))))
    assert len(pin.samples) == 3


def test_the_same_run_passes(run: Pins) -> None:
    codec, speech = pins.judge(run, run)
    assert (codec.status, speech.status) == (Status.PASS, Status.PASS)
    assert codec.elements == 1700
    assert codec.summary == "eager computes in 2 cases what it did on 2026-11-01"


@pytest.mark.parametrize(
    "damage",
    [
        lambda y: y * np.float32(1.0001),
        lambda y: np.roll(y, 1),
        lambda y: -y,
        lambda y: np.where(np.isinf(y), 0, y),
        lambda y: np.where(np.arange(y.size) == 400, np.nan, y),
        lambda y: np.where(np.arange(y.size) == 401, np.inf, y),
        lambda y: y + np.float32(0.02) * (np.arange(y.size) == 402),
        lambda y: y[:-1],
    ],
    ids=["gain", "shift", "sign", "no mask", "NaN", "infinity", "one element", "length"],
)
def test_whatever_is_done_to_the_outputs_is_red(
    run: Pins, outputs: list[np.ndarray], damage: object
) -> None:
    flat = np.concatenate([y.reshape(-1) for y in outputs])
    codec, _ = moved(run, Pin.of([damage(flat)]))  # type: ignore[operator]
    assert codec.status is Status.FAIL
    assert "in case 'speech'" in codec.summary
    assert any("golden bless --checkpoint tiny --precision fp32" in note for note in codec.notes)


def test_rounding_of_another_machine_passes(run: Pins, outputs: list[np.ndarray]) -> None:
    draw = np.random.default_rng(4)
    other = [y + 1e-6 * draw.standard_normal(y.shape) for y in outputs]
    codec, _ = moved(run, Pin.of(other))
    assert codec.status is Status.PASS
    assert codec.headroom_used > 0


def test_a_case_on_one_side_only_is_red(run: Pins) -> None:
    fewer = dataclasses.replace(run, methods={"codec": {"speech": run.methods["codec"]["speech"]}})
    for kept, new in ((run, fewer), (fewer, run)):
        codec, _ = pins.judge(kept, new)
        assert codec.status is Status.FAIL
        assert codec.summary == "1 case not on both sides, first 'random'"


def test_other_codes_are_red(run: Pins) -> None:
    _, speech = pins.judge(run, dataclasses.replace(run, speech={"codes": "ef" * 32}))
    assert speech.status is Status.FAIL
    assert speech.summary.startswith("codes: cdcd")


def test_a_fact_that_is_gone_is_red(run: Pins) -> None:
    _, speech = pins.judge(run, dataclasses.replace(run, speech={}))
    assert speech.status is Status.FAIL


def test_another_checkpoint_is_told_first(run: Pins) -> None:
    (only,) = pins.judge(run, dataclasses.replace(run, digest="12" * 32))
    assert only.status is Status.FAIL
    assert "the checkpoint itself changed" in only.summary


def test_they_are_read_as_they_were_written(run: Pins, tmp_path: Path) -> None:
    assert pins.bless(tmp_path, run, PARITY) == ["first pins of tiny/eager/fp32"]
    assert pins.read(tmp_path, "tiny", "fp32") == run
    assert pins.read(tmp_path, "tiny", "bf16") is None
    assert pins.list_pins(tmp_path) == [run]
    assert '"random": {"elements": 700, ' in run.path(tmp_path).read_text()


def test_pins_that_still_hold_stay_as_they_are(
    run: Pins, outputs: list[np.ndarray], tmp_path: Path
) -> None:
    pins.bless(tmp_path, run, PARITY)
    near = Pin.of([y * np.float64(1 + 1e-8) for y in outputs])
    assert near != run.methods["codec"]["speech"]
    again = dataclasses.replace(
        run, methods={"codec": {**run.methods["codec"], "speech": near}}, reason="another reason"
    )
    assert pins.bless(tmp_path, again, PARITY) == []
    assert pins.read(tmp_path, "tiny", "fp32") == run


def test_pins_that_moved_are_replaced_and_told(run: Pins, tmp_path: Path) -> None:
    pins.bless(tmp_path, run, PARITY)
    other = dataclasses.replace(run, speech={"codes": "ef" * 32})
    (told,) = pins.bless(tmp_path, other, PARITY)
    assert told.startswith("speech: codes: cdcd")
    assert pins.read(tmp_path, "tiny", "fp32") == other


@pytest.mark.parametrize(
    ("change", "parity", "sentence"),
    [
        ({"reason": "update"}, PARITY, "a reason of at least 10 characters"),
        ({}, [], "no parity verdict was given"),
        ({"precision": "bf16-4w8w"}, PARITY, "no drift of pins is declared for .*bf16-4w8w"),
    ],
)
def test_what_is_not_pinned(
    run: Pins, tmp_path: Path, change: dict[str, str], parity: list[Verdict], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        pins.bless(tmp_path, dataclasses.replace(run, **change), parity)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["cut", "other version", "other place", "no reason", "a word"])
def test_damaged_pins_are_one_sentence(run: Pins, tmp_path: Path, damage: str) -> None:
    pins.bless(tmp_path, run, PARITY)
    path = run.path(tmp_path)
    data = json.loads(path.read_text())
    data |= {
        "other version": {"version": 7},
        "other place": {"checkpoint": "small"},
        "no reason": {"reason": ""},
        "a word": {"methods": {"codec": {"speech": "loud"}}},
    }.get(damage, {})
    path.write_text(json.dumps(data)[: 100 if damage == "cut" else None])
    with pytest.raises(InputError, match=r"pins tiny-fp32.json are damaged .*version control"):
        pins.read(tmp_path, "tiny", "fp32")
