"""What is told to be typed next can be typed."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from harness.cli.commands import COMMANDS
from harness.compare import Gate, Status, Verdict
from harness.methods.precision import Precision
from harness.parity import Request
from harness.parity.next_command import name_next, next_command
from tests.hostile import commands

EXACT = Verdict("codec", "in float64", "exact", Status.FAIL, "x")
UNFOLD = Request(codec_form="unfold", without=("adjacent-indices",))


def typed(request: Request, *verdict: object, beside: tuple[Verdict, ...] = ()) -> str:
    made = Verdict(*verdict, "x")  # type: ignore[arg-type]
    return next_command(request, made, (*beside, made))


FAIL, LEFT = Status.FAIL, Status.UNJUDGED


@pytest.mark.parametrize(
    ("request_", "verdict", "command"),
    [
        (Request(), ("codec", "in float64", "exact", FAIL), "localize codec --repro repro"),
        (UNFOLD, ("codec", "speech", "waveform", FAIL),
         "localize codec --codec-form unfold --without adjacent-indices --repro repro"),
        (Request("small", precision="bf16", executor="portable"),
         ("text_decoder", "each step", "local", FAIL),
         "localize text_decoder --checkpoint small --precision bf16 --executor portable "
         "--repro repro"),
        (Request(), ("codec", "constants", "constants", FAIL),
         "export --output-dir exported && voxtral-parity inspect exported/codec_decoder.pte "
         "--method forward"),
        (Request(artifacts=Path("a b")), ("model.pte", "metadata", "metadata", FAIL),
         "inspect 'a b/model.pte'"),
        (Request(without=("copy-broadcast",)), ("semantic_head", "speech", "execution", FAIL),
         "check semantic_head"),
        (Request(), ("speech", "codes, free-running", "codes", FAIL),
         "check --local all --triangulate"),
        (Request("small"), ("codec", "golden statistics", "golden", FAIL),
         "golden check --checkpoint small"),
        (Request(semantics="vllm-omni"), ("codec", "speech", "waveform", FAIL), "audit"),
        (Request(asr="command", asr_command="cat"), ("speech", "words by command", "words", FAIL),
         "synth --text 'Hello, how are you today?' --output speech.wav"),
        (Request(precision="bf16"), ("codec", "bf16 vs fp32", "sqnr", FAIL),
         "matrix codec --precision bf16"),
        (Request(precision=Precision("bf16", qlinear="8w")), ("codec", "speech", "waveform", FAIL),
         "check codec --precision=bf16 --qlinear=8w --qlinear-group-size=0 --local all "
         "--triangulate"),
        (Request(runner=Path("runner")), ("speech", "codes, free-running", "codes", FAIL), "check"),
        (Request(regime="tf32"), ("text_decoder", "speech", "tensor", LEFT), "check"),
        (Request(), ("codec", "speech", "execution", LEFT), "doctor"),
        (Request(), ("machine", "kernels", "regime", LEFT), "doctor"),
    ],
)  # fmt: skip
def test_each_sort_of_verdict_has_a_command_that_exists(
    request_: Request, verdict: tuple[object, ...], command: str
) -> None:
    made = typed(request_, *verdict)
    assert made == f"voxtral-parity {command}"
    for line in made.split(" && "):
        words = shlex.split(line)
        name = next(n for n in (" ".join(words[1:3]), words[1]) if n in commands.BASE)
        assert name.split()[0] in COMMANDS
        known = {
            flag
            for kind in ("path", "number", "word", "switch")
            for parameter in commands.parameters(kind)
            if parameter.command == name
            for flag in parameter.flags
        }
        assert {w.partition("=")[0] for w in words if w.startswith("--")} <= known


def test_speech_goes_wrong_where_a_method_does() -> None:
    made = typed(Request(), "speech", "codes, free-running", "codes", FAIL, beside=(EXACT,))
    assert made == "voxtral-parity localize codec --repro repro"


def test_what_passed_has_none_and_what_is_named_stays() -> None:
    passed = Verdict("codec", "a", "tensor", Status.PASS, "x", {}, (Gate("a", 0, 0),), 1)
    named = Verdict("codec", "b", "tensor", Status.FAIL, "x", next="make")
    found = name_next(Request(), (passed, named, EXACT))
    assert [verdict.next for verdict in found] == [
        "", "make", "voxtral-parity localize codec --repro repro",
    ]  # fmt: skip
