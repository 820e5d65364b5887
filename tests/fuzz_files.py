"""Damage every other file that the harness reads, thousands of times: ``nox -s fuzz``.

A checkpoint's parts, goldens, pins, ledger, report, expectation of the gate, and sound. What may
come of a mutant is a `HarnessError` of bounded length, or a value. Another exception, or a hang, is
a fault. Mutants are made from (kind, seed, number) alone.
"""

from __future__ import annotations

import argparse
import collections
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
TIME_LIMIT = 20
"""Seconds a mutant may take."""
LONGEST = 700
"""Characters of a message."""


def kinds(scratch: Path) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """For each kind of file a whole one, and what reads it."""
    from harness.budget import budget_of
    from harness.checkpoint import open_checkpoint
    from harness.checkpoint.voice_file import read_voice
    from harness.compare import Status, Verdict
    from harness.fingerprint import Fingerprint
    from harness.golden import pins, store
    from harness.report import CheckpointFacts, Reference, Report, from_json, to_json
    from harness.report.gate import Expectation, Expected, read_expectation
    from harness.synthesis.wav import read_wav

    copy = scratch / "checkpoint"
    shutil.copytree(open_checkpoint("tiny").directory, copy)

    def of_checkpoint(name: str) -> tuple[bytes, Callable[[bytes], object]]:
        path = copy / name
        whole = path.read_bytes()

        def read(content: bytes) -> None:
            path.write_bytes(content)
            try:
                checkpoint = open_checkpoint(str(copy))
                _ = checkpoint.digest
            finally:
                path.write_bytes(whole)

        return whole, read

    def of_path(path: Path, reader: Callable[[Path], object]) -> Any:
        target = scratch / path.parent.name / path.name
        target.parent.mkdir(exist_ok=True)

        def read(content: bytes) -> None:
            target.write_bytes(content)
            reader(target)

        return path.read_bytes(), read

    def of_text(reader: Callable[[str], object]) -> Callable[[bytes], object]:
        return lambda content: reader(content.decode("utf-8", "replace"))

    voice = copy / "voice_embedding" / "neutral_female.pt"
    key = store.list_goldens(ROOT / "golden")[0]
    verdict = Verdict("codec", "speech", "waveform", Status.PASS, "equal", elements=1)
    report = Report(
        "1", "2026-11-28T12:00:00Z", 1.0, "check", CheckpointFacts("tiny", "", ""), "fp32",
        Fingerprint("portable", "cpu", {}), (), Reference("eager"), (verdict,),
    )  # fmt: skip
    Expectation(
        "c" * 40, "2026-11-28T12:00:00Z", (Expected("a.bundle", "0" * 64, "native", ("codec",)),)
    ).write(scratch / "expected.json")
    ledger = ROOT / "harness" / "budget" / "ledger.json"
    pinned = ROOT / "golden" / "pinned"
    return {
        "params.json": of_checkpoint("params.json"),
        "tekken.json": of_checkpoint("tekken.json"),
        "weights": of_checkpoint("consolidated.safetensors"),
        "voice": of_path(voice, lambda path: read_voice(path, 10**6)),
        "golden": of_path(key.path(ROOT / "golden"), lambda path: store.read_at(path, key)),
        "pins": of_path(pinned / "tiny-fp32.json", lambda path: pins.read_at(path, scratch)),
        "ledger": (ledger.read_bytes(), of_text(lambda text: budget_of(text, "it"))),
        "report": (to_json(report).encode(), of_text(from_json)),
        "expectation": of_path(scratch / "expected.json", read_expectation),
        "sound": of_path(ROOT / "fixtures" / "speech" / "hello.wav", read_wav),
    }


def outcome(
    kind: str, whole: bytes, read: Callable[[bytes], object], key: list[int]
) -> tuple[str, str]:
    """What comes of one mutant, and how it was damaged."""
    from harness.errors import HarnessError
    from tests.bundle.fuzz_bundle import damage

    words = np.random.SeedSequence([*key, *kind.encode()])
    content, what = damage(whole, np.random.Generator(np.random.Philox(words)))
    try:
        read(content)
    except HarnessError as error:
        return ("error" if len(str(error)) < LONGEST else "long"), f"{what}: {error}"
    except BaseException as error:
        return "exception", f"{what}: {type(error).__name__}\n{traceback.format_exc(limit=-4)}"
    return "read", what


def fuzz(times: int, seed: int) -> int:
    """Run the mutants; how many were at fault."""
    faults = 0
    with tempfile.TemporaryDirectory(prefix="voxtral-fuzz-") as name:
        for kind, (whole, read) in kinds(Path(name)).items():
            read(whole)
            counts, slowest = collections.Counter[str](), 0.0
            for number in range(times):
                started = time.monotonic()
                signal.alarm(TIME_LIMIT)
                found, detail = outcome(kind, whole, read, [seed, number])
                signal.alarm(0)
                slowest = max(slowest, time.monotonic() - started)
                counts[found] += 1
                if found not in ("error", "read"):
                    faults += 1
                    print(f"FAULT {kind}:{number} {found}: {detail}", flush=True)
            told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            print(f"{kind:12s} {times} mutants: {told}; slowest {slowest:.1f} s", flush=True)
    return faults


def _hang(number: int, frame: Any) -> None:
    raise TimeoutError(f"no answer in {TIME_LIMIT} s")


def main() -> int:
    """Run the mutants; 0 if none was at fault."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=300, help="mutants of each kind (300)")
    parser.add_argument("--seed", type=int, default=1, help="of all mutants (1)")
    arguments, _ = parser.parse_known_args()
    signal.signal(signal.SIGALRM, _hang)
    return 1 if fuzz(arguments.times, arguments.seed) else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
