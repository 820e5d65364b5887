"""A task that crashes, hangs or fails is that task's fault and nobody else's."""

from __future__ import annotations

import operator
import os
import time

import pytest

from harness.conformance.cases import select
from harness.conformance.workers import Done, Task, workers
from harness.errors import InputError


def done(tasks: list[Task], jobs: int = 2, timeout: float = 60.0) -> list[Done]:
    with workers(jobs) as do:
        return sorted(do(tasks, timeout), key=lambda item: item.number)


def test_every_task_is_done_once() -> None:
    tasks = [(operator.mul, (number, number)) for number in range(7)]
    assert [item.result for item in done(tasks)] == [0, 1, 4, 9, 16, 25, 36]


def test_a_worker_is_used_again() -> None:
    with workers(2) as do:
        pids = [item.result for item in do([(os.getpid, ())], 60.0)]
        pids += [item.result for item in do([(os.getpid, ())], 60.0)]
    assert len(set(pids)) == 1


def test_a_crash_fails_one_task() -> None:
    first, second, third = done([(operator.add, (1, 2)), (os.abort, ()), (os.getpid, ())], 1)
    assert (first.result, second.fault) == (3, "crashed (signal 6)")
    assert isinstance(third.result, int)


def test_an_exit_fails_one_task() -> None:
    first, second = done([(os._exit, (3,)), (operator.add, (1, 2))], 1)
    assert (first.fault, second.result) == ("died (exit 3)", 3)


def test_a_hang_is_stopped() -> None:
    started = time.monotonic()
    slow, quick = done([(time.sleep, (600,)), (operator.add, (1, 2))], 1, timeout=3.0)
    assert (slow.fault, quick.result) == ("took too long and was stopped", 3)
    assert time.monotonic() - started < 120


def test_an_exception_is_told() -> None:
    (item,) = done([(operator.truediv, (1, 0))])
    assert item.fault == "ZeroDivisionError: division by zero"


def test_what_is_wrong_with_the_machine_ends_the_run() -> None:
    with pytest.raises(InputError, match="has 'x' in its name"):
        done([(select, ([], ["x"]))], jobs=1)
