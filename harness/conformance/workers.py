"""Processes that do tasks one at a time, so that a crash or a hang costs one task.

Workers are spawned: a process that has imported torch and MLX cannot be forked on a Mac. Each
imports what it needs, some ten seconds, and one that dies or is killed is replaced.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from harness.errors import HarnessError, MachineError

__all__ = ["Done", "Task", "Workers"]

# Exporting leaves memory behind; a fresh worker costs some ten seconds of imports.
_TASKS_OF_A_WORKER = 200

# Seconds that a worker may take to start, which is no part of its first task.
_START = 120.0

# Seconds that an idle worker may take to end.
_LEAVE = 5.0


@dataclass(frozen=True)
class Task:
    """A call of an importable function with arguments that can be pickled."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Done:
    """What became of a task.

    Attributes
    ----------
    number
        Which task.
    result
        What the function returned; None if it did not.
    fault
        Why it did not: ``crashed (signal 11)``, ``took too long …``, or an exception's
        type and text.
    """

    number: int
    result: Any = None
    fault: str = ""


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    number: int = -1
    deadline: float = field(default=float("inf"))
    left: int = _TASKS_OF_A_WORKER


class Workers:
    """Processes that do tasks; a context that ends them.

    Parameters
    ----------
    jobs
        How many at most; each starts when there is something for it to do.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._workers: list[_Worker] = []

    def do(self, tasks: Sequence[Task], timeout: float) -> Iterator[Done]:
        """Do the tasks, in order; what is done comes as it is done.

        Parameters
        ----------
        tasks
            What to do.
        timeout
            Seconds that a task may take.

        Raises
        ------
        HarnessError
            A task raised one: it is about the machine, and no other task would do better.
        """
        waiting = list(range(len(tasks)))[::-1]
        workers = self._workers
        while waiting or any(worker.number >= 0 for worker in workers):
            idle = [worker for worker in workers if worker.number < 0]
            while waiting and (idle or len(workers) < self._jobs):
                if not idle:
                    idle.append(_start())
                    workers.append(idle[0])
                _give(idle.pop(), waiting.pop(), tasks, timeout)
            yield from _finished(workers)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self._workers:
            _end(worker)


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


def _give(worker: _Worker, number: int, tasks: Sequence[Task], timeout: float) -> None:
    worker.number, worker.deadline = number, time.monotonic() + timeout
    worker.left -= 1
    worker.pipe.send(tasks[number])


def _finished(workers: list[_Worker]) -> Iterator[Done]:
    """What the busy workers report next; those that are used up or dead leave the list."""
    busy = [worker for worker in workers if worker.number >= 0]
    patience = min(worker.deadline for worker in busy) - time.monotonic()
    ready = wait([worker.pipe for worker in busy], timeout=max(0.0, patience))
    for worker in busy:
        number = worker.number
        if worker.pipe in ready:
            try:
                fault, result = worker.pipe.recv()
            except (EOFError, OSError):
                worker.process.join()
                fault, result = _death(worker.process.exitcode), None
                worker.left = 0
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
            workers.remove(worker)
            _end(worker)
        yield Done(number, result, fault)


def _death(code: int | None) -> str:
    return f"crashed (signal {-code})" if code is not None and code < 0 else f"died (exit {code})"


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
    while True:
        try:
            task = pipe.recv()
        except EOFError:
            return
        try:
            answer: tuple[str, Any] = "", task.function(*task.arguments)
        except HarnessError as error:
            answer = "", error
        except Exception as error:
            answer = f"{type(error).__name__}: {error}", None
        pipe.send(answer)
