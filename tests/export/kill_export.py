"""Kill real exports at chosen moments, then ask whether a run is green: ``nox -s killtest``.

Each round exports in a process of its own, in a cache that is the test's own, and kills it
(SIGKILL). Half of the moments are spread evenly over the time that an export takes; the others
are steps of the writing: before the n-th time that it opens a file to write, makes, renames or
removes one, or takes a lock, and a moment after that, in the middle of it. Every tenth round a
second export waits for the first one's lock and must take over.

After each round everything that is in place must be whole: entries of the store by size and
sha256, the files in ``--output-dir`` byte by byte. Finished artifacts are taken away again, so that
every round has something to kill. At the end `voxtral-parity check` runs on what the kills left.

Rounds are forked from a process that has imported the export stack, which saves each of them the
ten seconds that this takes; nothing of the stack has run in it.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

_STEPS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.utime", "fcntl.flock"}
"""Audit events that count as steps, besides opening a file to write; `os.replace` is a rename."""


@dataclass(frozen=True)
class Moment:
    """When to kill: after some seconds, or some seconds after a step began."""

    seconds: float
    step: int | None = None


def main() -> int:
    """Run the rounds; 0 if nothing partial was left and the run after them is green."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="kills (default 50)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxtral-killtest-") as name:
        os.environ["VOXTRAL_PARITY_CACHE"] = str(Path(name) / "cache")
        import_stack()
        return rounds(Path(name), arguments.times, random.Random(arguments.seed))


def rounds(home: Path, times: int, draws: random.Random) -> int:
    store, output = home / "cache" / "store", home / "out"
    start(home, None).wait()
    take_away(store, output, everything=False)
    started = time.monotonic()
    dry = start(home, None)
    if dry.wait() != 0:
        raise SystemExit(f"an export without a kill failed:\n{dry.said()}")
    whole = time.monotonic() - started
    steps = dry.steps()
    wanted = {path.name: sha256(path) for path in output.glob("[!.]*")}
    print(f"a whole export takes {whole:.1f} s and {len(steps)} steps; killing {times}", flush=True)
    killed: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    for number, moment in enumerate(moments(times, whole, steps, draws)):
        take_away(store, output, everything=number % 10 == 9)
        export = start(home, moment)
        second = start(home, None, "second") if number % 10 == 4 else None
        ended = export.wait() == 0
        phase = "finished first" if ended else export.phase()
        if second is not None and second.wait() != 0:
            faults.append(f"the export that waited failed: {second.said()}")
        killed[phase] += 1
        found = store_faults(store) + output_faults(output, wanted)
        faults += found
        where = f"{moment.seconds:6.1f} s" if moment.step is None else f"step {moment.step:3d}"
        print(
            f"{number + 1:3d}  {where}  {phase:44s}  half-made: {len(half_made(store))}"
            f"{'  another took over' if second is not None else ''}"
            f"{'  FAULT ' + '; '.join(found) if found else ''}",
            flush=True,
        )
    print("killed while:")
    for phase, count in killed.most_common():
        print(f"  {count:3d}  {phase}")
    program = [sys.executable, "-c", "from harness.cli import main; main()", "check"]
    check = subprocess.run(program, check=False)
    left = half_made(store)
    print(f"check after the kills: exit code {check.returncode}; left half-made: {len(left)}; "
          f"entries at fault: {len(faults)}")  # fmt: skip
    return 1 if check.returncode or faults or left else 0


def moments(times: int, whole: float, steps: list[str], draws: random.Random) -> list[Moment]:
    """Half of them even over the time, half even over the steps; each drawn within its share."""
    by_time, by_step = (times + 1) // 2, times // 2
    found = [Moment((share + draws.random()) / by_time * whole) for share in range(by_time)]
    for share in range(by_step):
        step = int((share + draws.random()) / by_step * len(steps))
        # Every other one in the middle of what the step begins, a write above all.
        found.append(Moment(draws.uniform(1e-4, 2e-3) if share % 2 else 0.0, step))
    draws.shuffle(found)
    return found


def import_stack() -> None:
    """Import what every export does, and run nothing of it."""
    from harness.upstream import enable_mlx_exporter, quiet

    enable_mlx_exporter()
    with quiet():
        import executorch.backends.mlx
        import executorch.examples.models.voxtral_tts.model
        import executorch.exir  # noqa: F401


class Export:
    """One export in a forked process; `deadline` is when to kill it, if by time."""

    def __init__(self, home: Path, name: str) -> None:
        self.process, self.deadline = 0, math.inf
        self._said, self._steps = home / f"{name}.stderr", home / f"{name}.steps"

    def wait(self) -> int:
        """Exit code, or minus the signal that killed it."""
        while True:
            process, status = os.waitpid(self.process, os.WNOHANG)
            if process:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() >= self.deadline:
                os.kill(self.process, signal.SIGKILL)
            time.sleep(0.002)

    def said(self) -> str:
        return self._said.read_text()

    def steps(self) -> list[str]:
        return self._steps.read_text().splitlines()

    def phase(self) -> str:
        """What it was at: the last step if one was near, and what it last said."""
        said = self.said().splitlines()
        doing = said[-1].lstrip("· ").split(":")[0] if said else "starting"
        steps = self.steps()
        if steps and steps[-1].startswith("killed at "):
            return f"{doing}, {steps[-1].removeprefix('killed at ')}"
        return doing


def start(home: Path, moment: Moment | None, name: str = "export") -> Export:
    """Fork a process that exports `tiny`, and is killed at `moment`."""
    export = Export(home, name)
    export._said.write_text("")
    export._steps.write_text("")
    sys.stdout.flush()
    export.process = os.fork()
    if export.process:
        if moment is not None and moment.step is None:
            export.deadline = time.monotonic() + moment.seconds
        return export
    code = 2
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(export._said, os.O_WRONLY | os.O_APPEND), 2)
        watch(home, export._steps, moment)
        from harness.cli.commands import run

        code = run(["export", "--output-dir", str(home / "out")])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def watch(home: Path, log: Path, moment: Moment | None) -> None:
    """Write down every step of this process under `home`, and kill it at the one of `moment`."""
    handle = os.open(log, os.O_WRONLY | os.O_APPEND)
    count = -1

    def step(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITING:
                return
        elif event in _STEPS:
            path = arguments[0]
        else:
            return
        if event != "fcntl.flock" and not str(path).startswith(str(home)):
            return
        count += 1
        what = f"{event} {_short(path)}".strip()
        if moment is None or moment.step != count:
            os.write(handle, f"{what}\n".encode())
            return
        middle = " (in the middle)" if moment.seconds else ""
        os.write(handle, f"killed at {what}{middle}\n".encode())
        if not moment.seconds:
            os.kill(os.getpid(), signal.SIGKILL)
        threading.Thread(target=_after, args=(moment.seconds,), daemon=True).start()

    sys.addaudithook(step)


def _after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def _short(path: object) -> str:
    """The name without its key and its random part."""
    if not isinstance(path, (str, os.PathLike)):
        return ""
    name = Path(path).name.lstrip(".")
    return name.split("-")[0] + (".lock" if name.endswith((".make", ".use")) else "")


def half_made(store: Path) -> list[Path]:
    return list(store.glob("[!.]*/.*"))


def take_away(store: Path, output: Path, *, everything: bool) -> None:
    """Move finished artifacts out of the cache; now and then the checkpoint too."""
    for kind in ("artifacts", "checkpoints") if everything else ("artifacts",):
        for entry in (store / kind).glob("[!.]*"):
            aside = Path(tempfile.mkdtemp(dir=store.parent.parent))
            entry.rename(aside / "entry")
            shutil.rmtree(aside)
    shutil.rmtree(output, ignore_errors=True)


def store_faults(store: Path) -> list[str]:
    """Entries that are in place and not whole."""
    found = []
    for entry in store.glob("[!.]*/[!.]*"):
        try:
            files = json.loads((entry / "facts.json").read_text())["files"]
            wrong = [name for name, size in files.items() if (entry / name).stat().st_size != size]
            if entry.parent.name == "artifacts":
                about = json.loads((entry / "about.json").read_text())
                (pte,) = entry.glob("*.pte")
                if sha256(pte) != about["sha256"]:
                    wrong.append(pte.name)
        except (OSError, ValueError) as error:
            wrong = [str(error)]
        found += [f"{entry.name}: {name}" for name in wrong]
    return found


def output_faults(output: Path, wanted: dict[str, str]) -> list[str]:
    """Files under their final names that are not what an export without a kill writes."""
    return [
        f"{path.name} in --output-dir is not whole"
        for path in output.glob("[!.]*")
        if sha256(path) != wanted.get(path.name)
    ]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
