"""Damage bundles and observations thousands of times and judge what is left: ``nox -s fuzz``.

Three kinds of damage to the committed bundle and its observation:

bundle, observation        bytes of the file, as `fuzz_pte.py` damages programs
member                     bytes of a member of the bundle, whose checksums are then made right
value                      one entry of a value's JSON, all checksums then made right

What may come of it is an `InputError` (error), the verdicts of the whole files (right), or, where
checksums were made right, others (changed). All else is a fault: another exception, a hang, memory
beyond the bound. Mutants are made from (kind, seed, number) alone.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import json
import resource
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

FIXTURES = Path(__file__).parents[2] / "fixtures" / "bundles"
KINDS = ("bundle", "observation", "member", "value")
SEALED = ("member", "value")
TIME_LIMIT = 20
"""Seconds a mutant may take; the whole files take a fifth of one."""
MEMORY_LIMIT = 2 << 30
"""Bytes of address space that judging may take beyond what importing took."""
ODD = (None, True, -1, 0, 1, 7, 2**31, 2**63, 1e308, -0.5, "inf", "nan", "", "x", "model.pte", [],
       {}, [[]], ["a0", "float32"], ["a1", "int64"])  # fmt: skip
NUMBERS = (0, 1, 2, 127, 255, 256, 65535, 2**31, 2**32 - 1, 2**63, 2**64 - 1)


class Subject:
    """The whole files, and their verdicts."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.bundle = (FIXTURES / "v1.bundle").read_bytes()
        self.observation = (FIXTURES / "v1.observation").read_bytes()
        with zipfile.ZipFile(FIXTURES / "v1.bundle") as file:
            names = [name for name in file.namelist() if name != "manifest.json"]
            self.members = {name: file.read(name) for name in names}
        self.expected = self.judged(self.bundle, self.observation)

    def judged(self, bundle: bytes, observation: bytes) -> list[str]:
        """The verdicts on two files."""
        from harness.bundle.contents import open_bundle
        from harness.bundle.judging import judge_bundle
        from harness.bundle.observing import read_observation

        paths = self.scratch / "mutant.bundle", self.scratch / "mutant.observation"
        for path, content in zip(paths, (bundle, observation), strict=True):
            path.write_bytes(content)
        with open_bundle(paths[0]) as opened:
            made = read_observation(paths[1], opened)
            return [repr(verdict) for verdict in judge_bundle(opened, made).verdicts]

    def outcome(self, kind: str, seed: int, number: int) -> tuple[str, str]:
        """What comes of one mutant, and how it was damaged."""
        from harness.errors import HarnessError

        key = [seed, number, *kind.encode()]
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence(key)))
        what = "nothing"
        try:
            bundle, observation, what = self.mutant(kind, random)
            found = self.judged(bundle, observation)
        except HarnessError as error:
            return ("error" if len(str(error)) < 700 else "long"), f"{what}: {error}"
        except BaseException as error:
            where = traceback.format_exc(limit=-4)
            return "exception", f"{what}: {type(error).__name__}\n{where}"
        if found == self.expected:
            return ("right" if kind in SEALED else "unseen"), what
        return ("changed" if kind in SEALED else "wrong"), what

    def mutant(self, kind: str, random: np.random.Generator) -> tuple[bytes, bytes, str]:
        """Both files, one of them damaged."""
        if kind == "bundle":
            damaged, what = damage(self.bundle, random)
            return damaged, self.observation, what
        if kind == "observation":
            damaged, what = damage(self.observation, random)
            return self.bundle, damaged, what
        names = [name for name in self.members if not name.endswith((".pte", ".nodes.json"))]
        if kind == "value":
            names = [name for name in names if name.endswith(".safetensors")] + ["observation"]
        name = names[random.integers(len(names))]
        if name == "observation":
            content, what = self.resealed(self.observation, random)
            return self.bundle, self.bound(content, self.bundle), f"observation: {what}"
        member = self.members[name]
        changed, what = (damage if kind == "member" else self.resealed)(member, random)
        bundle = self.packed({**self.members, name: changed})
        return bundle, self.bound(self.observation, bundle), f"{name}: {what}"

    def packed(self, members: dict[str, bytes]) -> bytes:
        """A bundle of these members, as `pack` writes it."""
        from harness.bundle.container import read_manifest, write_bundle

        for name, content in members.items():
            (self.scratch / name).write_bytes(content)
        path = self.scratch / "packed.bundle"
        origin = read_manifest(FIXTURES / "v1.bundle").origin
        write_bundle(path, origin, {name: self.scratch / name for name in members})
        return path.read_bytes()

    def bound(self, observation: bytes, bundle: bytes) -> bytes:
        """The observation, said to be of this bundle."""

        def bind(index: Any) -> None:
            if isinstance(index, dict):
                index["bundle"] = hashlib.sha256(bundle).hexdigest()

        return self.rewritten(observation, bind)

    def resealed(self, value: bytes, random: np.random.Generator) -> tuple[bytes, str]:
        """A value with another entry somewhere, under the right checksum."""
        told: list[str] = []
        return self.rewritten(value, lambda index: told.append(disturb(index, random))), told[0]

    def rewritten(self, value: bytes, change: Any) -> bytes:
        path = self.scratch / "value.safetensors"
        path.write_bytes(value)
        with safe_open(path, "np") as file:
            index = json.loads(file.metadata()["index"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        change(index)
        text = json.dumps(index)
        digest = hashlib.sha256(text.encode())
        for name in sorted(arrays):
            digest.update(arrays[name].data if arrays[name].size else b"")
        save_file(arrays, path, {"index": text, "sha256": digest.hexdigest()})
        return path.read_bytes()


def disturb(index: Any, random: np.random.Generator) -> str:
    """Put something odd in the place of one entry, or remove it; where."""
    path, here = [], index
    while True:
        keys = list(here) if isinstance(here, dict) else list(range(len(here)))
        key = keys[random.integers(len(keys))]
        path.append(key)
        inner = here[key]
        if not (isinstance(inner, (dict, list)) and inner) or random.random() < 0.05:
            break
        here = inner
    place = "/".join(map(str, path))
    if random.random() < 0.2:
        del here[key]
        return f"removed {place}"
    here[key] = ODD[random.integers(len(ODD))]
    return f"{place} is {here[key]!r:.20}"


def damage(whole: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    """Damaged bytes, and how they were damaged."""
    damaged = bytearray(whole)

    def position(width: int = 1) -> int:
        most = len(damaged) if random.random() < 0.5 else min(len(damaged), 4096)
        return int(random.integers(max(1, most - width)))

    how = ("cut", "bit", "bits", "number", "copy", "add")[random.integers(6)]
    if how == "cut":
        length = int(random.integers(len(damaged)))
        return bytes(damaged[:length]), f"cut to {length} bytes"
    if how in ("bit", "bits"):
        places = {position() for _ in range(1 if how == "bit" else int(random.integers(2, 17)))}
        for place in places:
            damaged[place] ^= 1 << int(random.integers(8))
        return bytes(damaged), f"flipped bits at {sorted(places)}"
    if how == "number":
        width = (1, 2, 4, 8)[random.integers(4)]
        place, number = position(width), NUMBERS[random.integers(len(NUMBERS))] % (1 << 8 * width)
        before = bytes(damaged[place : place + width])
        after = number.to_bytes(width, "little")
        damaged[place : place + width] = bytes([b ^ 1 for b in after]) if after == before else after
        return bytes(damaged), f"a number at {place}"
    if how == "add":
        return bytes(damaged) + random.bytes(int(random.integers(1, 65))), "bytes added"
    length = int(random.integers(1, 65))
    source, target = position(length), position(length)
    block = damaged[source : source + length]
    if block == damaged[target : target + length]:
        block = bytes(b ^ 1 for b in block)
    damaged[target : target + len(block)] = block
    return bytes(damaged), f"{length} bytes of {source} at {target}"


def main() -> int:
    """Run the mutants; 0 if none was at fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=300, help="mutants of each kind (300)")
    parser.add_argument("--seed", type=int, default=1, help="of all mutants (1)")
    parser.add_argument("--only", metavar="KIND:NUMBER", help="one mutant, its fault in full")
    arguments, _ = parser.parse_known_args()
    with tempfile.TemporaryDirectory(prefix="voxtral-fuzz-") as name:
        subject = Subject(Path(name))
        if arguments.only and arguments.only.partition(":")[0] in KINDS:
            kind, number = arguments.only.split(":")
            print(*subject.outcome(kind, arguments.seed, int(number)), sep="\n")
            return 0
        status = Path("/proc/self/status")
        if status.exists():
            size = int(status.read_text().partition("VmSize:")[2].split()[0]) * 1024
            resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY_LIMIT,) * 2)
        return fuzz(subject, arguments.times, arguments.seed)


def fuzz(subject: Subject, times: int, seed: int) -> int:
    faults = 0
    signal.signal(signal.SIGALRM, _hang)
    for kind in KINDS:
        counts, slowest = collections.Counter[str](), 0.0
        for number in range(times):
            started = time.monotonic()
            signal.alarm(TIME_LIMIT)
            outcome, detail = subject.outcome(kind, seed, number)
            signal.alarm(0)
            slowest = max(slowest, time.monotonic() - started)
            counts[outcome] += 1
            if outcome not in ("error", "right", "changed"):
                faults += 1
                print(f"FAULT {kind}:{number} {outcome}: {detail}", flush=True)
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        print(f"{kind:12s} {times} mutants: {told}; slowest {slowest:.1f} s", flush=True)
    return 1 if faults else 0


def _hang(number: int, frame: Any) -> None:
    raise TimeoutError(f"no verdict in {TIME_LIMIT} s")


if __name__ == "__main__":
    sys.exit(main())
