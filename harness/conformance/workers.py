"""Processes that do tasks one at a time, so that a crash or a hang costs one task.

Workers are spawned: a process that has imported torch and MLX cannot be forked on a Mac. Each
imports what it needs, some ten seconds, and one that dies or is killed is replaced.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from harness.errors import HarnessError, InputError, MachineError
from harness.memory import pass_over_imports

__all__ = ["Do", "Done", "Task", "check_jobs", "workers"]

_TASKS_OF_A_WORKER = 200
"""Exporting leaves memory behind; a fresh worker costs some ten seconds of imports."""

_START, _LEAVE = 120.0, 5.0
"""Seconds that a worker may take to start, which is no part of its first task, and an idle one to
end."""

Task = tuple[Callable[..., Any], tuple[Any, ...]]
"""An importable function and its arguments, which can be pickled."""


@dataclass(frozen=True)
class Done:
    """Of task `number`: what the function returned, or why it did not return.

    A `fault` is ``crashed (signal 11)``, ``took too long …``, or an exception's type and text.
    """

    number: int
    result: Any = None
    fault: str = ""


Do = Callable[[Sequence[Task], float], Iterator[Done]]
"""Does tasks, in order, of which each may take so many seconds, and yields as they are done.

Raises the `HarnessError` that a task raised: it is about the machine, and no other task would do
better.
"""


def check_jobs(jobs: int) -> None:
    """Raise `InputError` for none, or for more processes than do any good."""
    limit = 2 * (os.cpu_count() or 1)
    if not 1 <= jobs <= limit:
        raise InputError(
            f"--jobs must be at most {limit}, twice this machine's processors (got {jobs})"
        )


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    number: int = -1
    deadline: float = float("inf")
    left: int = _TASKS_OF_A_WORKER


@contextmanager
def workers(jobs: int) -> Iterator[Do]:
    """What does tasks in at most `jobs` processes, which end with the block."""
    alive: list[_Worker] = []
    try:
        yield partial(_do, alive, jobs)
    finally:
        for worker in alive:
            _end(worker)


def _do(alive: list[_Worker], jobs: int, tasks: Sequence[Task], timeout: float) -> Iterator[Done]:
    waiting = list(range(len(tasks)))[::-1]
    while waiting or any(worker.number >= 0 for worker in alive):
        idle = [worker for worker in alive if worker.number < 0]
        while waiting and (idle or len(alive) < jobs):
            if not idle:
                idle.append(_start())
                alive.append(idle[0])
            worker, number = idle.pop(), waiting.pop()
            worker.number, worker.deadline = number, time.monotonic() + timeout
            worker.left -= 1
            worker.pipe.send(tasks[number])
        yield from _finished(alive)


def _start() -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(_START):
            raise EOFError
        ours.recv()
    except (EOFError, OSError):
        process.kill()
        raise MachineError(f"a worker process did not start in {_START:.0f} s") from None
    return _Worker(process, ours)


def _finished(alive: list[_Worker]) -> Iterator[Done]:
    """What the busy workers report next; those that are used up or dead leave the list."""
    busy = [worker for worker in alive if worker.number >= 0]
    patience = min(worker.deadline for worker in busy) - time.monotonic()
    ready = wait([worker.pipe for worker in busy], timeout=max(0.0, patience))
    for worker in busy:
        number = worker.number
        if worker.pipe in ready:
            try:
                fault, result = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                code = worker.process.exitcode or 0
                fault = f"crashed (signal {-code})" if code < 0 else f"died (exit {code})"
                result, worker.left = None, 0
            if isinstance(result, HarnessError):
                raise result
        elif time.monotonic() >= worker.deadline:
            fault, result = "took too long and was stopped", None
            worker.process.kill()
            worker.left = 0
        else:
            continue
        worker.number, worker.deadline = -1, float("inf")
        if worker.left <= 0:
            alive.remove(worker)
            _end(worker)
        yield Done(number, result, fault)


def _end(worker: _Worker) -> None:
    """Let an idle worker end, which cleans up after itself; stop one that will not."""
    worker.pipe.close()
    if worker.number < 0:
        worker.process.join(_LEAVE)
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join()


def _work(pipe: Connection) -> None:
    """The worker's life: a task, an answer, until the pipe closes."""
    pipe.send("started")
    for number in count():
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        if number == 1:
            pass_over_imports()  # which the first task made
        try:
            answer: tuple[str, Any] = "", function(*arguments)
        except HarnessError as error:
            answer = "", error
        except Exception as error:
            answer = f"{type(error).__name__}: {error}", None
        pipe.send(answer)
