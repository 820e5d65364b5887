"""Deaths, hangs and noise of the child, staged by replacing what a call does in it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from fixtures.processes import gone
from harness.errors import HarnessError, MachineError, UnavailableError
from harness.runtime.native import NativeExecutor

ONES = np.ones(4, np.float32)
WAVES = [np.ones(256, np.float32)]

# The real worker, but "waves" misbehaves; every other method runs as ever.
STAGED = """
import ctypes, os, sys, time
from harness.runtime.native import worker

honest = worker.Session.call

def call(session, method, state, inputs):
    if method == "waves":
        {misdeed}
    return honest(session, method, state, inputs)

worker.Session.call = call
worker.main(int(sys.argv[1]))
"""

# Speaks the worker's protocol without torch, so it starts in a tenth of the time.
STAND_IN = """
import os, socket, sys, time
from harness.runtime.native.channel import Channel

channel = Channel(socket.socket(fileno=int(sys.argv[1])))
answers = {{
    "backends": {{"registered": [], "usable": []}},
    "load": {{"methods": {{"waves": [], "idle": []}}}},
}}
while True:
    request, _ = channel.receive()
    if request.get("method") == "waves" or request["operation"] == {misbehaves_at!r}:
        {misdeed}
    channel.send(answers.get(request["operation"], {{}}))
"""


def staged(misdeed: str) -> NativeExecutor:
    return NativeExecutor(command=(sys.executable, "-c", STAGED.format(misdeed=misdeed)))


def stand_in(
    misdeed: str = "", misbehaves_at: str = "never", timeout: float = 600.0
) -> NativeExecutor:
    script = STAND_IN.format(misdeed=misdeed or "pass", misbehaves_at=misbehaves_at)
    return NativeExecutor(timeout=timeout, command=(sys.executable, "-c", script))


def dead(pid: int) -> bool:
    """Whether a process has ended; its parent may still reap it. Waits 5 s for it."""
    for _ in range(100):
        shown = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
        )
        if shown.stdout.startswith("Z"):
            return True
        time.sleep(0.05)
    return False


def run(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a parent of its own, which prints its child's id."""
    begin = "import os, sys, threading, pathlib, numpy as np\n"
    begin += "from harness.runtime.native import NativeExecutor\n"
    root = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-c", begin + script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        timeout=60,
        check=False,
    )


def test_a_crash_names_the_signal_and_quotes_the_log(programs: Path) -> None:
    executor = staged("os.write(2, b'about to fall\\n'); ctypes.string_at(0)")
    executor.load(programs / "portable.pte")
    pid = executor.pid
    with pytest.raises(MachineError, match=r"(?s)portable.pte: waves.*SIGSEGV.*about to fall"):
        executor.call("waves", WAVES)
    assert executor.pid is None
    assert gone(pid)


def test_after_a_death_lost_states_raise_and_others_go_on(programs: Path) -> None:
    executor = staged("os.abort()")
    executor.load(programs / "portable.pte")
    executor.call("total", [ONES], state="a")
    with pytest.raises(MachineError, match="SIGABRT"):
        executor.call("waves", WAVES, state="b")
    with pytest.raises(MachineError, match="state 'a' was lost"):
        executor.call("total", [ONES], state="a")
    assert executor.call("total", [ONES], state="fresh")[0].tolist() == [1] * 4
    executor.reset("a")
    assert executor.call("total", [ONES], state="a")[0].tolist() == [1] * 4
    executor.close()


def test_a_child_killed_between_calls_does_not_hide_the_lost_state(programs: Path) -> None:
    executor = stand_in()
    executor.load(programs / "portable.pte")
    executor.call("idle", [])
    pid = executor.pid
    os.kill(pid, signal.SIGKILL)
    assert dead(pid)
    with pytest.raises(MachineError, match="state 'default' was lost"):
        executor.call("idle", [])
    assert gone(pid)
    executor.close()


def test_a_child_killed_from_outside_mid_call(programs: Path) -> None:
    executor = stand_in("time.sleep(60)")
    executor.load(programs / "portable.pte")
    threading.Timer(0.2, os.kill, (executor.pid, signal.SIGKILL)).start()
    with pytest.raises(MachineError, match=r"waves: .* died of SIGKILL"):
        executor.call("waves", [])
    executor.load(programs / "portable.pte")
    assert executor.call("idle", []) == []
    executor.close()


def test_a_hang_ends_in_time_and_the_child_is_gone(programs: Path) -> None:
    executor = stand_in("time.sleep(60)", timeout=0.5)
    executor.load(programs / "portable.pte")
    pid = executor.pid
    start = time.monotonic()
    with pytest.raises(MachineError, match=r"waves: no answer within 0\.5 s"):
        executor.call("waves", [])
    assert time.monotonic() - start < 3
    assert gone(pid)


def test_noise_on_stdout_does_not_disturb_the_answers(programs: Path) -> None:
    executor = staged("os.write(1, b'noise' * 10000); print('more')")
    executor.load(programs / "portable.pte")
    for _ in range(3):
        (output,) = executor.call("waves", WAVES)
    # sin(2 exp(cos(sin 1)))
    np.testing.assert_allclose(output, np.full(256, -0.683617), rtol=0, atol=1e-5)
    executor.close()


def test_an_interruption_does_not_leave_an_answer_behind(programs: Path) -> None:
    executor = stand_in("time.sleep(60)")
    executor.load(programs / "portable.pte")
    pid = executor.pid
    # What runs in the background of a shell ignores the signal, unless told otherwise.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt):
            executor.call("waves", [])
    finally:
        signal.signal(signal.SIGINT, before)
    assert gone(pid)


def test_a_crash_while_loading_is_the_machines(programs: Path) -> None:
    executor = stand_in("os.abort()", misbehaves_at="load")
    with pytest.raises(MachineError, match=r"portable\.pte: .* died of SIGABRT"):
        executor.load(programs / "portable.pte")
    assert executor.pid is None


def test_a_runtime_that_cannot_start_is_unavailable(programs: Path) -> None:
    executor = NativeExecutor(
        command=(sys.executable, "-c", "import sys; sys.exit('no module named executorch')")
    )
    with pytest.raises(UnavailableError, match=r"(?s)exit code 1.*no module named executorch"):
        executor.load(programs / "portable.pte")
    assert executor.pid is None


def test_a_bug_of_the_worker_says_so_and_is_no_refusal(programs: Path) -> None:
    executor = staged("return [][1]")
    executor.load(programs / "portable.pte")
    with pytest.raises(HarnessError, match=r"(?s)a bug of the harness.*IndexError.*log") as raised:
        executor.call("waves", WAVES)
    assert raised.type is HarnessError
    assert executor.call("total", [ONES])[0].tolist() == [1] * 4
    executor.close()


def test_no_memory_in_the_worker_is_the_machines(programs: Path) -> None:
    executor = staged("raise MemoryError")
    executor.load(programs / "portable.pte")
    with pytest.raises(MachineError, match="no memory for call"):
        executor.call("waves", WAVES)
    executor.close()


def test_a_process_that_cannot_start_leaves_nothing_open() -> None:
    before = os.listdir("/dev/fd")
    executor = NativeExecutor(command=("/no/such/program",))
    with pytest.raises(UnavailableError, match="/no/such/program, cannot be started: No such file"):
        _ = executor.fingerprint
    assert os.listdir("/dev/fd") == before


def test_close_ends_the_child_and_may_be_repeated(programs: Path) -> None:
    executor = stand_in()
    executor.load(programs / "portable.pte")
    pid = executor.pid
    executor.close()
    executor.close()
    assert gone(pid)
    assert executor.methods() == ()


@pytest.mark.parametrize("ending", ["sys.exit(3)", "os.kill(os.getpid(), 9)", "del executor"])
def test_no_child_outlives_its_parent(ending: str) -> None:
    done = run(
        "executor = NativeExecutor()\n"
        "executor.fingerprint\n"
        "print(executor.pid, flush=True)\n"
        f"{ending}\n"
    )
    assert gone(int(done.stdout))


def test_a_hung_child_ends_though_its_parent_was_killed(programs: Path) -> None:
    hung = STAGED.format(misdeed="time.sleep(60)").replace(
        "worker.main(", "worker._GRACE_SECONDS = 0.1; worker.main("
    )
    done = run(
        "executor = NativeExecutor(timeout=1.0, command=(sys.executable, '-c', sys.argv[1]))\n"
        "executor.load(pathlib.Path(sys.argv[2]))\n"
        "print(executor.pid, flush=True)\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), 9)).start()\n"
        "executor.call('waves', [np.ones(256, np.float32)])\n",
        hung,
        str(programs / "portable.pte"),
    )
    assert done.returncode == -signal.SIGKILL
    assert gone(int(done.stdout))
