"""Run one case: a process with bounds, no privileges and a directory of its own."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib
import io
import os
import resource
import shutil
import signal
import stat
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.hostile.case import Case, Desk, Outcome, complaints, files_below
from tests.hostile.world import World

__all__ = ["examine", "preload"]

_IDLE = 10.0
"""Seconds without CPU time after which a command counts as hanging."""

_PRELOADED = (
    *("torch", "executorch.exir", "torchao", "scipy.signal", "mistral_common"),
    *("harness.cli.commands", "harness.parity"),
)

_MORE_MEMORY = 5 << 30
"""Bytes of address space beyond what the process has at the start."""


def preload() -> None:
    """Import what commands import, so that forks need not.

    Not `mlx.core`, which starts a thread at its import, and a thread does not survive a fork.
    """
    for name in _PRELOADED:
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork would lose threads"


def examine(case: Case, world: World, main: Callable[[], None] | None = None) -> list[str]:
    """Run a case and return what was not as documented; empty if all was.

    Parameters
    ----------
    main
        The program; the command line of this project by default.
    """
    top = Path(tempfile.mkdtemp(prefix="hostile-", dir=world.directory))
    try:
        desk = Desk(world, top / "d")
        for name in ("d", "tmp", "home"):
            (top / name).mkdir()
        desk.environment.update(TMPDIR=str(top / "tmp"), HOME=str(top / "home"))
        desk.environment.update(VOXTRAL_PARITY_CACHE=str(world.cache), COLUMNS="200")
        arguments = [os.fspath(argument) for argument in case.set_up(desk)]
        before = files_below(desk.directory)
        outcome = _run(case, desk, arguments, main)
        found = complaints(case, desk, outcome, before)
        left = sorted(path.name for path in (top / "tmp").iterdir())
        if left and not outcome.interrupted:
            found.append(f"left {', '.join(left[:3])} in TMPDIR")
        if found:
            shown = (outcome.stderr.strip() or outcome.stdout.strip())[-400:]
            found.append(f"it said: {shown!r}")
        return found
    finally:
        _remove(top)


def _run(
    case: Case,
    desk: Desk,
    arguments: Sequence[str],
    main: Callable[[], None] | None,
) -> Outcome:
    sys.stdout.flush()
    sys.stderr.flush()
    # Pipes, not files: what the process may write to a file is limited in some cases.
    pipes = [os.pipe(), os.pipe()]
    started = time.monotonic()
    process = os.fork()
    if process == 0:
        _become_command(case, desk, arguments, [write for _, write in pipes], main)
    texts = [bytearray(), bytearray()]
    for read, write in pipes:
        os.close(write)
        os.set_blocking(read, False)
    interrupted = False
    code: int | None = None
    checked = active = since = 0.0
    while True:
        ended, status, usage = os.wait4(process, os.WNOHANG)
        passed = time.monotonic() - started
        for (read, _), text in zip(pipes, texts, strict=True):
            _drain(read, text)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        if passed > checked + 1:
            checked, spent = passed, _cpu_seconds(process, passed)
            if spent > active + 0.05:
                active, since = spent, passed
        if active > case.seconds or passed > since + _IDLE:
            _kill(process)
            _, _, usage = os.wait4(process, 0)
            break
        if case.signal_after is not None and not interrupted and passed > case.signal_after:
            interrupted = True
            os.kill(process, signal.SIGINT)
        time.sleep(0.005)
    _kill(process)  # whatever it started and left running
    for (read, _), text in zip(pipes, texts, strict=True):
        _drain(read, text)
        os.close(read)
    encoding = desk.environment.get("PYTHONIOENCODING") or "utf-8"
    stdout, stderr = (text.decode(encoding, errors="replace") for text in texts)
    unit = 1 if sys.platform == "darwin" else 1024
    return Outcome(
        code, stdout, stderr, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, interrupted
    )


def _cpu_seconds(group: int, passed: float) -> float:
    """CPU time so far of all processes of a group; where that is unknown, the time passed."""
    if sys.platform != "linux":
        return passed
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
            if int(fields[2]) == group:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _drain(descriptor: int, text: bytearray) -> None:
    with contextlib.suppress(BlockingIOError):
        while block := os.read(descriptor, 1 << 16):
            text += block


def _become_command(
    case: Case,
    desk: Desk,
    arguments: Sequence[str],
    pipes: Sequence[int],
    main: Callable[[], None] | None,
) -> None:
    """Never returns."""
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(desk.directory)
        if desk.vanish:
            os.mkdir("gone")
            os.chdir("gone")
            os.rmdir("../gone")
        for name, value in desk.environment.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        os.umask(desk.umask)
        _redirect(pipes, desk.stdout)
        _limit(desk)
        _drop_capabilities()
        command = ["voxtral-parity", *arguments]
        if case.fresh and main is None:
            os.environ["PYTHONPATH"] = str(desk.site)
            os.execv(sys.executable, [sys.executable, "-m", "harness.cli", *arguments])
        sys.argv = command
        code = _call(main)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _call(main: Callable[[], None] | None) -> int:
    """Exit code of the program, with what an interpreter does at its end."""
    if main is None:
        from harness.cli import main
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
        code = 120
    sys.stderr.flush()
    return code


def _redirect(pipes: Sequence[int], stdout: str) -> None:
    """Give the process standard streams of its own."""
    out, error = pipes
    if stdout == "gone":
        read, out = os.pipe()
        os.close(read)
    elif stdout == "full":
        out = os.open("/dev/full", os.O_WRONLY)
    null = os.open(os.devnull, os.O_RDONLY)
    for descriptor, number in ((null, 0), (out, 1), (error, 2)):
        os.dup2(descriptor, number)
    if stdout == "closed":
        os.close(1)
    sys.stdout = None if stdout == "closed" else _stream(1, "strict")
    sys.stderr = _stream(2, "backslashreplace")


def _stream(number: int, errors: str) -> io.TextIOWrapper:
    raw = open(number, "wb", closefd=False)  # noqa: SIM115 - as long as the process
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=number == 2)


def _limit(desk: Desk) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if desk.file_size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (desk.file_size, desk.file_size))
    if sys.platform == "linux":
        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        bound = held + _MORE_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _drop_capabilities() -> None:
    """Without them permissions hold for root too."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    set_secure_bits, no_root_for_ever = 28, 0b11  # an executed program gets none back either
    libc.prctl(set_secure_bits, no_root_for_ever, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    nothing = (ctypes.c_uint32 * 6)()
    if libc.capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _kill(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _remove(top: Path) -> None:
    """Remove a directory whatever permissions it was given."""
    for parent, directories, _ in os.walk(top):
        for name in directories:
            path = Path(parent) / name
            if not path.is_symlink():
                path.chmod(stat.S_IRWXU)
    shutil.rmtree(top, ignore_errors=True)
