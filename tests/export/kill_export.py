"""Kill real exports at random moments, then ask whether a run is green: ``nox -s killtest``.

Each round starts `voxtral-parity export` in a cache of its own, kills it (SIGKILL) after a random
time, and looks at what is left: an entry that is there must be whole, by size and by sha256.
Finished artifacts are taken away again, so that every round has something to kill. At the end
`voxtral-parity check` runs on what the kills left.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = [sys.executable, "-c", "from harness.cli import main; main()"]


def main() -> int:
    """Run the rounds; 0 if nothing partial was left and the run after them is green."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50, help="kills (default 50)")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments (default 1)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="voxtral-killtest-") as name:
        return rounds(Path(name), arguments.times, random.Random(arguments.seed))


def rounds(home: Path, times: int, moments: random.Random) -> int:
    environment = {**os.environ, "VOXTRAL_PARITY_CACHE": str(home / "cache")}
    store = home / "cache" / "store"
    command = [*PROGRAM, "export", "--output-dir", str(home / "out")]
    started = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    whole = time.monotonic() - started
    print(f"a whole export takes {whole:.1f} s; killing {times} of them", flush=True)
    killed: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    for round_ in range(times):
        _take_away(store, everything=round_ % 10 == 9)
        moment = moments.uniform(0, whole)
        with (home / "progress").open("w+") as progress:
            process = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=progress
            )
            try:
                process.wait(moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            ended = process.wait() == 0
            progress.seek(0)
            steps = progress.read().splitlines() or ["starting"]
        step = "finished first" if ended else steps[-1].lstrip("· ").split(":")[0]
        killed[step] += 1
        left = list(store.glob("[!.]*/.*"))
        found = _faults(store)
        faults += found
        print(
            f"{round_ + 1:3d}  {moment:5.1f} s  {step:32s}  left half-made: {len(left)}"
            f"{'  FAULT ' + '; '.join(found) if found else ''}",
            flush=True,
        )
    print("killed while:", ", ".join(f"{step} {n}" for step, n in killed.most_common()))
    check = subprocess.run([*PROGRAM, "check"], env=environment, check=False)
    left = list(store.glob("[!.]*/.*"))
    print(f"check after the kills: exit code {check.returncode}; left half-made: {len(left)}; "
          f"entries at fault: {len(faults)}")  # fmt: skip
    return 1 if check.returncode or faults or left else 0


def _take_away(store: Path, *, everything: bool) -> None:
    """Move finished artifacts out of the cache; now and then the checkpoint too."""
    for kind in ("artifacts", "checkpoints") if everything else ("artifacts",):
        for entry in (store / kind).glob("[!.]*"):
            entry.rename(Path(tempfile.mkdtemp(dir=store.parent.parent)) / "entry")


def _faults(store: Path) -> list[str]:
    """Entries that are in place and not whole."""
    found = []
    for entry in store.glob("[!.]*/[!.]*"):
        try:
            files = json.loads((entry / "facts.json").read_text())["files"]
            wrong = [name for name, size in files.items() if (entry / name).stat().st_size != size]
            if entry.parent.name == "artifacts":
                about = json.loads((entry / "about.json").read_text())
                (pte,) = entry.glob("*.pte")
                if hashlib.sha256(pte.read_bytes()).hexdigest() != about["sha256"]:
                    wrong.append(pte.name)
        except (OSError, ValueError) as error:
            wrong = [str(error)]
        found += [f"{entry.name}: {name}" for name in wrong]
    return found


if __name__ == "__main__":
    sys.exit(main())
