"""Run the hostile cases of the command line: ``nox -s hostile``, or this file.

``--only`` picks families, or cases by a part of their name; ``--jobs`` runs some at once.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.hostile.world import World

_STATE: dict[str, object] = {}


def main() -> int:
    """Exit code 0 if every case was as documented."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=[], help="families, or parts of names")
    parser.add_argument("--jobs", type=int, default=2, help="cases at once")
    parser.add_argument("--every", type=int, default=1, help="take every N-th case only")
    parser.add_argument("--cold", action="store_true", help="warm no cache: for refusals alone")
    parser.add_argument("--list", action="store_true", help="only name the cases")
    arguments = parser.parse_args()
    # No TemporaryDirectory: the command line runs in forks, whose end would remove it.
    directory = Path(tempfile.mkdtemp(prefix="hostile-world-"))
    seed = os.environ.get("VOXTRAL_PARITY_CACHE")
    world = World(directory, None if seed is None else Path(seed), warm=not arguments.cold)
    try:
        sys.path.insert(0, str(world.site))  # before the package is imported
        from tests.hostile.families import all_cases
        from tests.hostile.sandbox import preload

        cases = [case for case in all_cases() if _chosen(str(case), arguments.only)]
        cases = cases[:: arguments.every]
        if arguments.list:
            print(*cases, sep="\n")
            return 0
        preload()
        world.make()
        _STATE.update(cases=cases, world=world)
        return _report(cases, _results(len(cases), arguments.jobs))
    finally:
        world.close()
        shutil.rmtree(directory, ignore_errors=True)


def _chosen(name: str, only: Sequence[str]) -> bool:
    return not only or any(part in name for part in only)


def _results(count: int, jobs: int) -> Iterator[tuple[int, list[str], float]]:
    # Not multiprocessing's own Pool, whose workers' children may have no children.
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        for done in as_completed([pool.submit(_examine, index) for index in range(count)]):
            yield done.result()


def _examine(index: int) -> tuple[int, list[str], float]:
    from tests.hostile.sandbox import examine

    started = time.monotonic()
    case = _STATE["cases"][index]  # type: ignore[index]
    try:
        found = examine(case, _STATE["world"])  # type: ignore[arg-type]
    except Exception as error:
        found = [f"the case itself failed: {error!r}"]
    return index, found, time.monotonic() - started


def _report(cases: Sequence[object], results: Iterator[tuple[int, list[str], float]]) -> int:
    started, failed, slowest = time.monotonic(), Counter[str](), Counter[str]()
    for done, (index, found, seconds) in enumerate(results, 1):
        case = str(cases[index])
        slowest[case] = int(seconds)
        if found:
            failed[case.partition("/")[0]] += 1
            print(f"✗ {case}", *(f"    {line}" for line in found), sep="\n", flush=True)
        if done % 100 == 0:
            print(f"· {done} of {len(cases)}", file=sys.stderr, flush=True)
    total = Counter(str(case).partition("/")[0] for case in cases)
    for family, count in total.items():
        print(f"{family}: {count - failed[family]} of {count} as documented")
    print("slowest:", *(f"{name} {took} s" for name, took in slowest.most_common(5)), sep="\n  ")
    print(
        f"{len(cases)} cases, {sum(failed.values())} not as documented, "
        f"{time.monotonic() - started:.0f} s"
    )
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
