"""`main` turns whatever ends a run into an exit code and one sentence."""

from __future__ import annotations

import ast
import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from harness.cli import commands, main
from harness.errors import ExecutionError, InputError, MachineError
from harness.process import environment


class PanicException(BaseException):
    """As pyo3 raises it for a panic of Rust code."""


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def outcome(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ends: Any
) -> tuple[int, str]:
    def run(arguments: list[str]) -> int:
        if isinstance(ends, BaseException):
            raise ends
        return int(ends)

    monkeypatch.setattr(commands, "run", run)
    with pytest.raises(SystemExit) as found:
        main()
    code = found.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (InputError("no such voice"), "no such voice"),
        (MachineError("no disk"), "no disk"),
        (ExecutionError("it refused"), "it refused"),
        (InputError("x" * 100_000), "(100,000 characters)"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/y"),
            "voxtral-parity: /x/y: Permission denied\n",
        ),
        (MemoryError(), "out of memory"),
        (RecursionError("maximum depth"), "nested too deeply"),
        (PanicException("called `Option::unwrap()`"), "PanicException: called `Option::unwrap()`"),
        (TypeError("unhashable type: 'list'"), "internal error at harness/cli/__init__.py:"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "ordinal not in range"), "UnicodeEncodeError"),
        (SystemExit(1), "standard output was closed"),
        (SystemExit("words"), "standard output was closed"),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), "standard output was closed"),
        (InputError("a\n\x1b[31mb"), "a \\x1b[31mb"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_is_one_sentence_and_2(
    error: BaseException,
    sentence: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, said = outcome(monkeypatch, capsys, error)

    assert code == 2
    assert sentence in said
    assert said.startswith("voxtral-parity: ")
    assert said.count("\n") == 1
    assert len(said) < 1500


@pytest.mark.parametrize("code", [0, 1, 2])
def test_a_commands_own_exit_code_is_kept(
    code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outcome(monkeypatch, capsys, code) == (code, "")


def test_the_traceback_of_a_fault_of_ours_is_there_for_the_asking(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VOXTRAL_PARITY_TRACEBACK", "1")
    assert "Traceback (most recent call last)" in outcome(monkeypatch, capsys, TypeError("x"))[1]


@pytest.mark.parametrize("columns", ["0", "-3", "1000000000", "9" * 5000, "wide"])
def test_an_absurd_width_is_not_used(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    outcome(monkeypatch, capsys, 0)
    assert "COLUMNS" not in os.environ


def test_a_sane_width_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    outcome(monkeypatch, capsys, 0)
    assert os.environ["COLUMNS"] == "120"


def shell(line: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which $V is voxtral-parity; the code is that of a pipe's first command."""
    return subprocess.run(
        ["bash", "-c", f"{line}\nexit ${{PIPESTATUS[0]}}"],
        env=environment(V=f"{sys.executable} -m harness.cli", **changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("$V --help >/dev/full", "No space left on device"),
        ("$V cache >/dev/full", "No space left on device"),
        ("$V cache | true", None),  # whether it had ended before is the pipe's affair
        ("$V --help >&-", "standard output is closed"),
        ("$V chek", "Did you mean 'check'"),
        ("$V check --nope", "see `voxtral-parity check --help`"),
    ],
)
def test_what_the_shell_does_to_the_output_is_never_1_nor_120(
    line: str, sentence: str | None, tmp_path: Path
) -> None:
    done = shell(line, VOXTRAL_PARITY_CACHE=str(tmp_path))

    assert done.returncode in ((0, 2) if sentence is None else (2,))
    assert "Traceback" not in done.stderr
    if sentence is not None:
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_reader_that_goes_away_is_2() -> None:
    many = "import sys; from harness.cli import commands, main\n"
    many += "commands.run = lambda _: [print('x' * 9999) for _ in range(99)] and 0\nmain()"
    done = shell(f'{sys.executable} -c "{many}" | head -c 1')

    assert (done.returncode, done.stdout) == (2, "x")
    assert "standard output was closed" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_ascii_locale_gets_what_it_can_show() -> None:
    code = "from harness.cli import commands, main\n"
    code += "commands.run = lambda _: print(chr(183), chr(0x2192), chr(0xdc80)) or 1\nmain()"
    done = shell(f'{sys.executable} -c "{code}"', PYTHONIOENCODING="ascii")

    assert (done.returncode, done.stdout, done.stderr) == (1, "? ? ?\n", "")


def signalled(ready: str, number: signal.Signals, after: float = 0.0) -> tuple[int, str]:
    """Exit code and stderr of a script that gets a signal so many seconds after its first line."""
    process = subprocess.Popen(
        [sys.executable, "-c", ready],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(after)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.parametrize(
    ("after", "number"), [(0.05, signal.SIGINT), (0.1, signal.SIGTERM), (0.4, signal.SIGINT)]
)
def test_an_interrupt_at_the_start_is_one_sentence(after: float, number: signal.Signals) -> None:
    """What a user who mistyped does; importing numpy alone takes longer."""
    ready = "import time, harness.cli as cli, harness.cli.commands as commands\n"
    ready += "def run(_):\n print('up', flush=True)\n import numpy, scipy.signal, torch\n"
    ready += " time.sleep(60)\ncommands.run = run\ncli.main()"
    assert signalled(ready, number, after) == (2, "voxtral-parity: interrupted\n")


@pytest.mark.parametrize(("before", "code"), [("SIG_DFL", 2), ("SIG_IGN", 0)])
def test_a_terminal_that_is_closed_ends_a_run_unless_told_not_to(before: str, code: int) -> None:
    ends = f"import os, signal\nsignal.signal(signal.SIGHUP, signal.{before})\n"
    ends += "import harness.cli as cli, harness.cli.commands as commands\n"
    ends += "commands.run = lambda _: os.kill(os.getpid(), signal.SIGHUP) or 0\ncli.main()"
    done = shell(f'{sys.executable} -c "{ends}"')
    assert (done.returncode, done.stderr) == (code, "voxtral-parity: interrupted\n" * (code // 2))


def test_an_interrupt_of_an_import_still_leaves_no_old_report(tmp_path: Path) -> None:
    """What was cut short, numpy for one, cannot be imported again by the process."""
    old = tmp_path / "report.json"
    old.write_text('{\n  "tool_version": "1",\n  "verdicts": []}')
    ready = "import sys, time, harness.cli as cli, harness.cli.commands as commands\n"
    ready += f"sys.argv[1:] = ['check', '--json', {str(old)!r}]\n"
    ready += "def run(_):\n sys.modules['harness.report.failure'] = None\n"
    ready += " print('up', flush=True)\n time.sleep(60)\ncommands.run = run\ncli.main()"
    assert signalled(ready, signal.SIGINT) == (2, "voxtral-parity: interrupted\n")
    assert "interrupted" in json.dumps(json.loads(old.read_text()))


def test_an_interrupt_that_a_library_dropped_comes_again(tmp_path: Path) -> None:
    """Clean-up is let finish, however long it takes."""
    ready = "import time, harness.cli as cli, harness.cli.commands as commands\n"
    ready += "def run(_):\n try:\n  print('up', flush=True)\n  time.sleep(60)\n"
    ready += " except KeyboardInterrupt:\n  pass\n"
    ready += " try:\n  time.sleep(60)\n finally:\n  time.sleep(2.5)\n"
    ready += f"  open({str(tmp_path / 'cleaned')!r}, 'w').close()\ncommands.run = run\ncli.main()"
    assert signalled(ready, signal.SIGTERM) == (2, "voxtral-parity: interrupted\n")
    assert (tmp_path / "cleaned").exists()


def test_the_version_and_the_short_help() -> None:
    version = shell("$V --version")
    assert (version.returncode, version.stdout.split()[0]) == (0, "voxtral-parity")
    assert shell("$V -h").stdout == shell("$V --help").stdout == shell("$V").stdout
    assert "--max-codec-frames" in shell("$V check -h", COLUMNS="80").stdout


def test_help_imports_no_command_and_none_of_the_large_libraries() -> None:
    code = "import sys; from harness.cli.commands import run; run(['--help'])\n"
    code += "print([m for m in sys.modules if m.startswith('harness')], file=sys.stderr)\n"
    code += "assert not {'numpy', 'scipy', 'torch', 'rich', 'executorch'} & set(sys.modules)"
    done = shell(f'{sys.executable} -c "{code}"')

    assert done.returncode == 0, done.stderr
    loaded = set(ast.literal_eval(done.stderr))
    assert loaded == {
        "harness",
        "harness.cli",
        "harness.cli.commands",
        "harness.memory",
        "harness.threads",
    }


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_the_list_says_what_each_command_says_of_itself(name: str) -> None:
    module = importlib.import_module(f"harness.cli.{name.replace('-', '_')}")
    if hasattr(module, "app"):
        assert isinstance(module.app, typer.Typer)
        assert module.app.info.help == commands.COMMANDS[name]
    else:
        said = getattr(module, name.replace("-", "_")).__doc__
        assert said.partition("\n")[0] == commands.COMMANDS[name]
