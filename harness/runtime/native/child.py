"""A child process that answers requests: started, timed, ended, and its death explained."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from typing import IO, Any

from harness.arrays import Array
from harness.errors import MachineError
from harness.process import environment
from harness.runtime.native.channel import Channel

__all__ = ["DEFAULTS", "WORKER", "Child"]

WORKER = (sys.executable, "-m", "harness.runtime.native.worker")

DEFAULTS = {"MLX_ENABLE_TF32": "0"}
"""What the child's environment has unless the user says otherwise: float32 products in float32.

The newest Apple GPUs would compute them in TF32 (errors of 7.7e-4 against 2.9e-7 where users
measured it), in which a wrong lowering could hide.
"""

# torch's import takes 1.7 s from a warm disk and has been seen to take 20 s from a cold one.
_START_SECONDS = 120.0
_EXIT_SECONDS = 5.0
_LOG_LINES = 12
_LOG_BYTES = 8192


class Child:
    """A running child process and the channel to it.

    It is ended by `close`, when this object is collected, when the interpreter exits, and, being
    hung up on, when this process dies.
    """

    def __init__(self, command: Sequence[str] = WORKER) -> None:
        # The descriptor of its end of the channel is appended to the command.
        with contextlib.ExitStack() as undo:
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            with theirs:
                self._log = undo.enter_context(tempfile.TemporaryFile())
                # The child writes at the end, wherever a truncation puts it.
                fcntl.fcntl(self._log, fcntl.F_SETFL, os.O_APPEND)
                self._process = _spawn(command, theirs, self._log)
            self._channel = Channel(ours)
            undo.pop_all()  # from here on, _end closes them
        self._started = False
        self._finalizer = weakref.finalize(self, _end, self._process, self._channel, self._log)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it can be asked anything."""
        return self._finalizer.alive and self._process.poll() is None

    def ask(
        self,
        what: str,  # subject of the sentence, should the child fail: "model.pte: text_decoder"
        fields: dict[str, Any],
        arrays: Sequence[Array],
        timeout: float,  # seconds; the first request is allowed the start of the child besides
    ) -> tuple[dict[str, Any], list[Array]]:
        """Send one request and wait for its answer.

        A child that dies or is late is gone when MachineError is raised.
        """
        deadline = time.monotonic() + timeout + (0.0 if self._started else _START_SECONDS)
        self._log.truncate(0)
        try:
            self._channel.send({**fields, "timeout": timeout}, arrays, deadline=deadline)
            answer = self._channel.receive(deadline=deadline)
        except ConnectionError as error:
            reason = f"the native runtime's process {self._death()}"
            raise self._lost(what, reason) from error
        except TimeoutError as error:
            self._process.kill()
            reason = (
                f"no answer within {timeout:g} s, so the native runtime's process was ended "
                "(allow more time if the work is large)"
            )
            raise self._lost(what, reason) from error
        except BaseException:
            # An answer that comes after an interruption would be taken for the next one's.
            self._process.kill()
            self.close()
            raise
        self._started = True
        return answer

    def log_tail(self) -> str:
        """Last lines written to stdout and stderr since the last request, ready to append."""
        descriptor = self._log.fileno()
        start = max(0, os.fstat(descriptor).st_size - _LOG_BYTES)
        lines = os.pread(descriptor, _LOG_BYTES, start).decode(errors="replace").split("\n")
        tail = [line.rstrip() for line in lines if line.strip()][-_LOG_LINES:]
        return "; its log ends:\n  " + "\n  ".join(tail) if tail else ""

    def close(self) -> None:
        """Hang up, wait a little, kill if need be, and reap."""
        self._finalizer()

    def _lost(self, what: str, reason: str) -> MachineError:
        error = MachineError(f"{what}: {reason}{self.log_tail()}")
        self.close()
        return error

    def _death(self) -> str:
        try:
            code = self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return "hung up without ending"
        if code >= 0:
            return f"ended with exit code {code}"
        known = {number.value: number.name for number in signal.Signals}
        return f"died of {known.get(-code, f'signal {-code}')}"


def _spawn(command: Sequence[str], end: socket.socket, log: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            [*command, str(end.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(end.fileno(),),
            env={**DEFAULTS, **environment()},
        )
    except OSError as error:
        raise MachineError(
            f"the process of the native runtime, {command[0]}, cannot be started: {error.strerror}"
        ) from error


def _end(process: subprocess.Popen[bytes], channel: Channel, log: IO[bytes]) -> None:
    channel.close()
    try:
        process.wait(_EXIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    log.close()
