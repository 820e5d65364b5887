"""Damage real `.pte` files thousands of times and use what is left: ``nox -s fuzz``.

Each mutant is a file of some kind (small fp32 and quantised programs, kernels, loops, a KV cache,
XNNPACK, the tiny model's artifacts) with bytes cut off, flipped, overwritten or moved, mostly where
its structure is. A worker process with a bounded address space reads it, prints what is in it, and
calls every method. What may come of it:

error    one HarnessError, at any stage
right    every method gives the bits of the whole file
changed  another number: the damage lies in a weight, or in a literal of the program, and the
         format has no checksum that would tell (the names beside an export have: `inspect` says so)

All else is a fault: a crash, a hang, memory beyond the bound, another exception. Mutants are made
from (kind, seed, number) alone; ``--only KIND:NUMBER`` makes one again.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import pickle
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
KINDS = (
    "linear",
    "quantized",
    "attention",
    "folded",
    "mapping",
    "branching",
    "external",
    "xnnpack",
)
ARTIFACTS = {"model": "model.pte", "codec": "codec_decoder.pte", "model-4w8w": "model.pte"}
TIME_LIMIT = 60.0
"""Seconds a mutant may take; whole files take a tenth of a second, on a machine that is busy."""
MEMORY_LIMIT = 6 << 30
"""Bytes of address space that a worker may take beyond what it starts with."""
RENEW_AFTER = 400
INTERESTING = (0, 1, 2, 4, 8, 16, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 2**31 - 1, 2**31,
               2**32 - 1, 2**32 - 4, 2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip


def main() -> int:
    """Run the mutants; 0 if none was at fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=300, help="mutants of each kind (300)")
    parser.add_argument("--seed", type=int, default=1, help="of all mutants (1)")
    parser.add_argument("--kinds", default=",".join((*KINDS, *ARTIFACTS)), help="which files")
    parser.add_argument("--files", type=Path, help="keep the whole files there, for the next run")
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one mutant, its fault in full")
    parser.add_argument("--work", metavar="FILES", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        return work(arguments.work)
    with tempfile.TemporaryDirectory(prefix="voxtral-fuzz-") as name:
        files = arguments.files or Path(name)
        files.mkdir(parents=True, exist_ok=True)
        kinds = [arguments.only.split(":")[0]] if arguments.only else arguments.kinds.split(",")
        make_files(files, kinds)
        if arguments.only:
            kind, number = arguments.only.split(":")
            outcome = Subject(files / f"{kind}.pte").outcome(arguments.seed, int(number), files)
            print(outcome)
            return 0
        return fuzz(files, kinds, arguments.times, arguments.seed)


def make_files(files: Path, kinds: list[str]) -> None:
    """Export what is not there yet."""
    missing = [kind for kind in kinds if not (files / f"{kind}.pte").exists()]
    small = [kind for kind in missing if kind not in ARTIFACTS]
    if small:
        # Their exporter stays out of this process, which is to stay small.
        script = (
            "import sys, importlib.util, pathlib as p\n"
            "spec = importlib.util.spec_from_file_location('cases', sys.argv[1])\n"
            "cases = importlib.util.module_from_spec(spec); spec.loader.exec_module(cases)\n"
            "[cases.make(k, p.Path(sys.argv[2]) / f'{k}.pte') for k in sys.argv[3:]]"
        )
        command = [sys.executable, "-c", script, str(HERE / "cases.py"), str(files), *small]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for kind in missing:
        if kind in ARTIFACTS:
            precision = "bf16-4w8w" if kind.endswith("4w8w") else "fp32"
            target = "codec" if kind == "codec" else "model"
            code = "from harness.cli import main; main()"
            command = [sys.executable, "-c", code, "export", "--model-path", "tiny"]
            command += ["--backend", "mlx", "--export-target", target]
            command += ["--output-dir", str(files / kind)]
            if precision != "fp32":
                command += ["--dtype", "bf16", "--qlinear", "4w", "--qlinear-group-size", "32"]
                command += ["--qembedding", "8w", "--qembedding-group-size", "128"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (files / kind / ARTIFACTS[kind]).rename(files / f"{kind}.pte")


@dataclass
class Worker:
    """A process that tries mutants, one line in, one line out."""

    process: subprocess.Popen[str]
    done: int = 0

    @classmethod
    def start(cls, files: Path) -> Worker:
        command = [sys.executable, __file__, "--work", str(files)]
        return cls(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                text=True, bufsize=1,
            )
        )  # fmt: skip

    def ask(self, kind: str, seed: int, number: int) -> dict[str, Any]:
        """What became of one mutant; a dead or silent worker is the answer too."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        limit = TIME_LIMIT if self.done else TIME_LIMIT + 60
        self.done += 1
        self.process.stdin.write(f"{kind} {seed} {number}\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], limit)
        if not ready:
            self.process.kill()
            return {"outcome": "hang", "detail": f"no answer in {limit:.0f} s"}
        line = self.process.stdout.readline()
        if line:
            return dict(json.loads(line))
        code = self.process.wait()
        return {"outcome": "crash", "detail": f"the worker ended with {code}"}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def fuzz(files: Path, kinds: list[str], times: int, seed: int) -> int:
    faults: list[str] = []
    totals: collections.Counter[str] = collections.Counter()
    started = time.monotonic()
    worker = Worker.start(files)
    for kind in kinds:
        counts: collections.Counter[str] = collections.Counter()
        slowest = 0.0
        for number in range(times):
            if worker.done >= RENEW_AFTER or worker.process.poll() is not None:
                worker.stop()
                worker = Worker.start(files)
            answer = worker.ask(kind, seed, number)
            counts[answer["outcome"]] += 1
            slowest = max(slowest, answer.get("seconds", 0.0))
            if answer["outcome"] not in ("error", "right", "changed"):
                faults.append(f"{kind}:{number} {answer['outcome']}: {answer['detail']}")
                print(f"FAULT {faults[-1]}", flush=True)
        totals += counts
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"{kind:12s} {times} mutants: {told}; slowest {slowest:.1f} s", flush=True)
    worker.stop()
    told = ", ".join(f"{name} {count}" for name, count in sorted(totals.items()))
    print(f"{sum(totals.values())} mutants in {time.monotonic() - started:.0f} s: {told}; "
          f"faults: {len(faults)}")  # fmt: skip
    return 1 if faults else 0


# --- in the worker -------------------------------------------------------------------------------


def work(files: Path) -> int:
    """Answer one line for each mutant asked for."""
    from harness.runtime.portable import PortableExecutor  # noqa: F401 - before the limit is set

    status = Path("/proc/self/status")
    if status.exists():
        size = int(status.read_text().partition("VmSize:")[2].split()[0]) * 1024
        limit = size + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    subjects: dict[str, Subject] = {}
    with tempfile.TemporaryDirectory(prefix="voxtral-fuzz-") as scratch:
        for line in sys.stdin:
            kind, seed, number = line.split()
            if kind not in subjects:
                subjects[kind] = Subject(files / f"{kind}.pte")
            started = time.monotonic()
            answer = subjects[kind].outcome(int(seed), int(number), Path(scratch))
            answer["seconds"] = time.monotonic() - started
            print(json.dumps(answer), flush=True)
    return 0


class Subject:
    """One whole file: its bytes, where its structure is, and what its methods give."""

    def __init__(self, path: Path) -> None:
        from harness.pte.program import read_program
        from harness.runtime.portable import PortableExecutor

        self.kind = path.stem
        self.whole = path.read_bytes()
        data = path.with_suffix(".ptd")
        self.data = [data] if data.exists() else []
        program = read_program(path, self.data)
        payloads = [d.payload for plan in program.plans.values() for d in plan.delegates]
        program.close()
        size = int.from_bytes(self.whole[16:24], "little") or len(self.whole)
        self.structure = [(0, size)]
        for payload in payloads:
            if not isinstance(payload, bytes):
                self.structure.append((payload.offset, payload.size))
        executor = PortableExecutor()
        executor.load(path, self.data)
        self.inputs = {name: _inputs(executor, name) for name in executor.methods()}
        self.expected = {}
        for name, inputs in self.inputs.items():
            self.expected[name] = _result(executor, name, inputs)
        executor.close()

    def outcome(self, seed: int, number: int, scratch: Path) -> dict[str, Any]:
        """Make a mutant, use it, and say what came of it."""
        from harness.errors import HarnessError

        damaged, what = mutant(self, seed, number)
        path = scratch / "mutant.pte"
        path.write_bytes(damaged)
        try:
            return {"outcome": self.use(path), "detail": what}
        except HarnessError as error:
            return {"outcome": "error", "detail": f"{what}: {error}"}
        except MemoryError:
            return {"outcome": "memory", "detail": f"{what}: {traceback.format_exc(limit=-3)}"}
        except BaseException as error:
            where = traceback.format_exc(limit=-4)
            return {"outcome": "exception", "detail": f"{what}: {type(error).__name__}\n{where}"}

    def use(self, path: Path) -> str:
        from rich.console import Console

        from harness.errors import HarnessError
        from harness.pte.inspection import print_contents, read_contents, to_json
        from harness.runtime.portable import PortableExecutor

        contents = read_contents(path, self.data)
        print_contents(contents, Console(file=io.StringIO(), width=100), instructions=True)
        to_json(contents)
        executor = PortableExecutor()
        try:
            executor.load(path, self.data)
            same, refused = True, None
            for name in executor.methods():
                try:
                    for spec in executor.inputs(name):
                        _ = spec.shape
                    got = executor.call(name, self.inputs.get(name, []))
                    same &= name in self.expected and _same(got, self.expected[name])
                except HarnessError as error:
                    # Of the whole file too: a method that another backend runs.
                    if self.expected.get(name) != str(error):
                        refused = refused or error
            if refused is not None:
                raise refused
            return "right" if same and set(executor.methods()) >= set(self.expected) else "changed"
        finally:
            executor.close()


def mutant(subject: Subject, seed: int, number: int) -> tuple[bytes, str]:
    """Damaged bytes, and how they were damaged."""
    key = [seed, number, *subject.kind.encode()]
    random = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
    damaged = bytearray(subject.whole)

    def position(width: int = 1) -> int:
        where = random.random()
        start, size = 0, len(damaged)
        if where < 0.1:
            size = 64
        elif where < 0.8:
            start, size = subject.structure[random.integers(len(subject.structure))]
        found = int(start + random.integers(max(1, size)))
        return max(0, min(found - found % width, len(damaged) - width))

    how = ("cut", "bit", "bits", "byte", "u16", "u32", "u32", "u64", "copy")[random.integers(9)]
    if how == "cut":
        length = int(random.integers(len(damaged)))
        return bytes(damaged[:length]), f"cut to {length} bytes"
    if how in ("bit", "bits"):
        places = [position() for _ in range(1 if how == "bit" else int(random.integers(2, 17)))]
        for place in places:
            damaged[place] ^= 1 << int(random.integers(8))
        return bytes(damaged), f"flipped a bit at {places}"
    if how == "copy":
        length = int(random.integers(1, 65))
        source, target = position(), position()
        damaged[target : target + length] = damaged[source : source + length]
        return bytes(
            damaged[: len(subject.whole)]
        ), f"copied {length} bytes at {source} to {target}"
    width = {"byte": 1, "u16": 2, "u32": 4, "u64": 8}[how]
    place = position(width)
    if random.random() < 0.6:
        value = INTERESTING[random.integers(len(INTERESTING))]
    else:
        # Near what stands there: the next field, the next table, one more element.
        value = int.from_bytes(damaged[place : place + width], "little")
        value += int(random.integers(-64, 65))
    value %= 1 << 8 * width
    damaged[place : place + width] = value.to_bytes(width, "little")
    return bytes(damaged), f"{how} at {place} set to {value}"


def _inputs(executor: Any, name: str) -> list[np.ndarray]:
    """Inputs as large as declared: small floats, and 0 for every id and position."""
    random = np.random.Generator(np.random.Philox(7))
    made = []
    for spec in executor.inputs(name):
        if spec.dtype in ("int64", "int32", "bool"):
            made.append(np.zeros(spec.shape, spec.dtype))
        else:
            from harness.arrays import as_array

            made.append(as_array(0.5 * random.standard_normal(spec.shape), spec.dtype))
    return made


def _result(executor: Any, name: str, inputs: list[np.ndarray]) -> Any:
    from harness.errors import HarnessError

    try:
        return executor.call(name, inputs)
    except HarnessError as error:
        return str(error)


def _same(one: Any, two: Any) -> bool:
    return pickle.dumps([(a.dtype.name, a.shape, a.tobytes()) for a in one]) == pickle.dumps(
        [(a.dtype.name, a.shape, a.tobytes()) for a in two]
    )


if __name__ == "__main__":
    sys.exit(main())
