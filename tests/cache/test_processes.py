"""Many processes at once, and kills at any moment: nothing is made twice or used in part."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.cache import Recipe, fetch
from harness.cache.quota import fault

PARTS, PART = 20, 50_000

EXPORTER = """
import hashlib, os, sys, time
from pathlib import Path
from harness.cache import Recipe, fetch
from harness.files import replace_file

def make(scratch):
    # As an export does: a file of many parts, renamed, then a note about it.
    with open(os.environ["LOG"], "a") as log:
        log.write(f"{os.getpid()}\\n")
    with replace_file(scratch / "model.pte") as half, half.open("wb") as file:
        for part in range(20):
            file.write(bytes([part]) * 50_000)
            file.flush()
            time.sleep(float(os.environ["PAUSE"]))
    digest = hashlib.sha256((scratch / "model.pte").read_bytes()).hexdigest()
    (scratch / "about.json").write_text(digest)

print("started", flush=True)
entry = fetch(Recipe("artifacts", "model.pte", {"weights": 1}, "", "exporting"), make,
              progress=lambda text: print(text, file=sys.stderr, flush=True))
content = (entry.path / "model.pte").read_bytes()
assert hashlib.sha256(content).hexdigest() == (entry.path / "about.json").read_text()
print(len(content), flush=True)
"""


def start(tmp_path: Path, pause: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "LOG": str(tmp_path / "log"), "PAUSE": str(pause)}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-c", EXPORTER],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_of_eight_processes_one_makes_and_the_others_wait(store: Path, tmp_path: Path) -> None:
    processes = [start(tmp_path, pause=0.1) for _ in range(8)]
    answers = [process.communicate(timeout=120) for process in processes]

    assert [process.returncode for process in processes] == [0] * 8
    assert [out for out, _ in answers] == [f"started\n{PARTS * PART}\n"] * 8
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    said = sorted(err for _, err in answers)
    assert said.count("exporting model.pte: none in the cache yet\n") == 1
    assert "waiting for another process that is exporting model.pte\n" in said


def test_a_waiter_takes_over_from_a_killed_maker(store: Path, tmp_path: Path) -> None:
    maker = start(tmp_path, pause=10)
    while not (tmp_path / "log").exists():
        time.sleep(0.02)
    waiter = start(tmp_path, pause=0)
    assert waiter.stderr is not None
    assert waiter.stderr.readline() == "waiting for another process that is exporting model.pte\n"
    maker.send_signal(signal.SIGKILL)
    out, err = waiter.communicate(timeout=60)
    maker.communicate()

    assert (waiter.returncode, err) == (0, "exporting model.pte: none in the cache yet\n")
    assert out == f"started\n{PARTS * PART}\n"


@pytest.mark.parametrize("times", [15, pytest.param(50, marks=pytest.mark.slow)])
def test_kills_leave_nothing_that_a_later_run_uses(store: Path, tmp_path: Path, times: int) -> None:
    # The export takes some 0.2 s after the start; the kill falls anywhere in it or just after.
    moments = random.Random(7)
    unfinished = 0
    for _ in range(times):
        process = start(tmp_path, pause=0.01)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0, 0.25))
        process.kill()
        process.communicate()
        found = [path for path in store.glob("artifacts/*") if not path.name.startswith(".")]
        assert [fault(path) for path in found] == [None] * len(found)
        unfinished += not found
        for path in found:  # the next one exports again
            path.rename(tmp_path / f"done-{len(list(tmp_path.iterdir()))}")
    assert unfinished >= times / 5

    last = start(tmp_path, pause=0)
    out, _ = last.communicate(timeout=60)

    assert (last.returncode, out) == (0, f"started\n{PARTS * PART}\n")
    assert len(list((store / "artifacts").iterdir())) == 1


def test_an_entry_that_another_process_uses_is_not_evicted(store: Path, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c",
         "import sys; from harness.cache import Recipe, fetch\n"
         "fetch(Recipe('artifacts', 'used', {}), lambda s: (s / 'data').write_bytes(bytes(1000)))\n"
         "print('held', flush=True); sys.stdin.read()"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    holder.stdout.readline()
    from harness.cache import entries, evict

    evict(0)
    assert [entry.name for entry in entries()] == ["used"]
    holder.kill()
    holder.communicate()
    evict(0)
    assert entries() == []
    assert fetch(Recipe("artifacts", "used", {}), lambda scratch: None).made
