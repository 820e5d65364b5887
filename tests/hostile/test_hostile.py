"""The judge of the hostile cases sees what it should, and a few of the cases hold.

All of them: ``nox -s hostile``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from tests.hostile import commands
from tests.hostile.case import DONE, REFUSED, Case, Desk, Outcome, complaints, file_kind
from tests.hostile.world import ROOT, World

REFUSAL = Outcome(2, "", "voxtral-parity: no such file\n", 0.1, 10**8)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    world = World(tmp_path)
    world.__dict__["site"] = tmp_path
    return Desk(world, tmp_path)


def case(codes: set[int] = REFUSED) -> Case:
    return Case("family", "name", lambda desk: [], codes)


def judged(desk: Desk, outcome: Outcome = REFUSAL, codes: set[int] = REFUSED) -> str:
    return "; ".join(complaints(case(codes), desk, outcome, set()))


def test_one_sentence_and_a_documented_code_are_right(desk: Desk) -> None:
    assert judged(desk) == ""
    assert judged(desk, Outcome(0, "done\n", "· opening\n", 1.0, 10**9), DONE) == ""


@pytest.mark.parametrize(
    ("outcome", "complaint"),
    [
        (Outcome(0, "", "", 0, 0), "exit code 0, allowed [2]"),
        (Outcome(-11, "", "", 0, 0), "exit code -11"),
        (Outcome(None, "", "", 0, 0), "was killed"),
        (Outcome(2, "", "one\ntwo\n", 0, 0), "2 lines on stderr"),
        (Outcome(2, "", "· opening\n", 0, 0), "exit code 2 without a sentence"),
        (Outcome(2, "", "x" * 700, 0, 0), "a message of 700 characters"),
        (Outcome(2, "", "a \x1b[31m name\n", 0, 0), "control characters"),
        (Outcome(2, "", "Traceback (most recent call last):\n", 0, 0), "printed 'Traceback"),
        (Outcome(2, "y" * 200_000, "no\n", 0, 0), "200,000 characters on stdout"),
        (Outcome(2, "", "no\n", 11.0, 0), "took 11 s of CPU time"),
        (Outcome(2, "", "no\n", 0, 3 << 30), "held 3.0 GiB of memory"),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_what_is_wrong_with_an_outcome_is_said(
    outcome: Outcome, complaint: str, desk: Desk
) -> None:
    assert complaint in judged(desk, outcome)


def test_a_usage_error_in_its_frame_is_one_sentence(desk: Desk) -> None:
    framed = "Usage: x\nTry 'x --help' for help.\n╭─ Error ─╮\n│ no such │\n│ option  │\n╰────╯\n"
    assert judged(desk, Outcome(2, "", framed, 0, 0)) == ""


def test_files_left_behind_are_seen(desk: Desk, tmp_path: Path) -> None:
    old = desk.old_report()
    assert "yesterday's report is still at report.json" in judged(desk)
    old.write_text('{"value": NaN}')
    assert "report.json is not whole" in judged(desk)
    old.write_text("{}")
    assert judged(desk) == ""

    (tmp_path / ".out.wav.1234").touch()
    assert "left .out.wav.1234 behind" in judged(desk)
    (tmp_path / ".out.wav.1234").unlink()

    sound = tmp_path / "out.wav"
    desk.outputs.append(sound)
    with wave.open(str(sound), "wb") as file:
        file.setparams((1, 2, 24000, 0, "NONE", ""))
        file.writeframes(bytes(2000))
    assert judged(desk) == ""
    sound.write_bytes(sound.read_bytes()[:500])
    assert "out.wav is cut" in judged(desk)
    sound.unlink()

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    desk.kinds[pipe] = file_kind(pipe)
    assert judged(desk) == ""
    pipe.unlink()
    pipe.touch()
    assert "replaced pipe" in judged(desk)


@pytest.mark.slow
def test_the_sandbox_bounds_what_runs_in_it(tmp_path: Path) -> None:
    program = """
import json, sys, time
from pathlib import Path
from tests.hostile import sandbox
from tests.hostile.case import Case
from tests.hostile.sandbox import examine
from tests.hostile.world import World

sandbox._IDLE = 1
world = World(Path(sys.argv[1]), warm=False)

def locked(desk):
    desk.path("locked").touch()
    desk.path("locked").chmod(0)
    return []

def run(main, set_up=lambda desk: [], seconds=20):
    return examine(Case("a", "b", set_up, {0}, seconds), world, main)

def spin():
    while True:
        pass

print(json.dumps({
    "quiet": run(lambda: None),
    "asleep": run(lambda: time.sleep(60)),
    "spinning": run(spin, seconds=1),
    "greedy": run(lambda: bytearray(3 << 30)),
    "greedier": run(lambda: bytearray(8 << 30)),
    "allowed": run(lambda: open("locked"), locked),
    "dirty": run(lambda: open(".scratch", "w")),
}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    said = {name: "; ".join(found) for name, found in json.loads(done.stdout).items()}
    assert said["quiet"] == ""
    assert "was killed" in said["asleep"]
    assert "was killed" in said["spinning"]
    assert "held 3." in said["greedy"]
    assert "MemoryError" in said["greedier"]
    assert "PermissionError" in said["allowed"]
    assert "left .scratch behind" in said["dirty"]


def test_every_command_has_a_quick_command_line() -> None:
    assert {name for name, _ in commands.commands()} == set(commands.BASE)


@pytest.mark.slow
def test_some_of_the_cases() -> None:
    families = ("values/check", "values/synth", "values/export", "paths/check", "paths/export")
    command = [sys.executable, "tests/hostile/run.py", "--cold", "--jobs", "1", "--every", "150"]
    done = subprocess.run(
        [*command, "--only", *families], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
