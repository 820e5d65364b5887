"""One case: upstream's own test, with the portable executor where it would start its C++ runner.

Runs in a worker process. Everything upstream writes goes to a folder of ours.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from pathlib import Path
from typing import Any

from harness.arrays import as_array, from_torch, to_torch
from harness.conformance.cases import FAILED, PASSED, UNSUPPORTED, Case, Mode, Outcome
from harness.conformance.expected import MEANING, METAL, PACKAGES, ROUNDING
from harness.errors import MachineError, UnavailableError, UnsupportedError, in_a_sentence
from harness.float64.semantics import WITHOUT
from harness.upstream import flatc, quiet

__all__ = ["FILES", "listed", "tried"]

FILES = ("model.pte", "input.bin", "expected_output.bin")
"""What upstream lowers a case to."""

_MOST_WORDS = 600

_NO_MEANING = tuple(WITHOUT.values())
"""How a refusal ends of a node type that is known to have no float64 semantics."""

_ROUNDED = ("full_like_4x4_v1.005859375_float32_as_bfloat16",)
"""Cases that ask for the rounded number, which is all that they compare."""


def listed(mode: Mode) -> list[Case]:
    """Every case of every suite."""
    from harness.conformance import suites

    _prepare(mode)
    return suites.cases()


def tried(case: Case, folder: str, kept: str | None, mode: Mode) -> Outcome:
    """Run a case as upstream's `OpTestCase.run_test` does.

    The empty directory `folder` receives `FILES` and the output. `kept` is a directory with
    `FILES` of an earlier lowering; None lowers the case.
    """
    import torch

    from harness.conformance import suites

    utils = _prepare(mode)
    from harness.runtime.portable.blas import mx

    started, cpu = time.perf_counter(), sum(os.times()[:4])  # the programs it runs, too
    words = io.StringIO()
    status, reason, need = PASSED, "", ""
    try:
        lowering = _corrected() if mode.corrected else contextlib.nullcontext()
        with contextlib.redirect_stdout(words), quiet(), lowering:
            test = suites.instance(case)
            test.get_test_dir = lambda: Path(folder)
            if kept is not None:
                paths = tuple(Path(folder) / name for name in FILES)
                for path in paths:
                    path.symlink_to(Path(kept) / path.name)
                test.generate_test_files = lambda verbose=False: paths
            utils.run_cpp_test_runner = _runner(utils, mode)
            passed, said = test.run_test(), words.getvalue()
            if passed:  # perhaps with a note that it left the comparison out
                reason = _shortened(_from("Output comparison skipped", said).partition("\n")[0])
            elif mode.float64 and case.name in _ROUNDED:
                status, need = UNSUPPORTED, ROUNDING
                reason = "it compares how a number is rounded, and nothing is rounded in float64"
            else:
                status = FAILED
                reason = _shortened(_from("✗ FAILED", said) or said[-_MOST_WORDS:])
    except UnsupportedError as error:
        status, reason = UNSUPPORTED, str(error)
        need = METAL if "Metal" in reason else MEANING if reason.endswith(_NO_MEANING) else ""
    except (MemoryError, MachineError) as error:
        status, reason = UNSUPPORTED, f"this machine failed: {in_a_sentence(error)}"
    except UnavailableError:
        raise  # every other case would say the same
    except Exception as error:
        package = error.name if isinstance(error, ModuleNotFoundError) else None
        if package in PACKAGES:
            status, need = UNSUPPORTED, str(package)
            reason = f"it needs {package}: python -m pip install --group conformance"
        else:
            status, reason = FAILED, _shortened(f"{type(error).__name__}: {error}")
    finally:  # what compiling and running a case left in this process
        torch._dynamo.reset()
        mx.clear_cache()
    return Outcome(
        case=case,
        status=status,
        reason=reason,
        need=need,
        seconds=round(time.perf_counter() - started, 3),
        cpu_seconds=round(sum(os.times()[:4]) - cpu, 3),
        cached=kept is not None,
    )


def _prepare(mode: Mode) -> Any:
    """Upstream's test utilities, in a process that shares the machine with other workers."""
    if mode.faithful:
        os.environ["VOXTRAL_PARITY_STOCK_BLAS"] = "1"  # of this worker alone
    with quiet():
        import torch
        from executorch.exir._serialize import _flatbuffer

    import harness.runtime.portable.blas  # noqa: F401 - before anything imports MLX
    from harness.conformance import suites

    utils = suites.open_utils()
    torch.set_num_threads(1)
    _scan_operators_once()
    # Upstream would set the run bit of the wheel's flatc; ours runs from the cache if need be.
    _flatbuffer._flatc_cached_path = flatc()
    return utils


def _scan_operators_once() -> None:
    """Spare every export a walk over all C++ operators that finds nothing new.

    torch 2.13 walks them for each namespace, some 80 times an export and a fifth of its time,
    so that operators that were registered meanwhile are found; here it is left out while the
    registrations are the same.
    """
    import torch
    from torch._export import utils

    walk = utils._materialize_cpp_cia_ops
    if walk.__module__ == __name__:
        return
    seen: list[str] = []

    def walk_if_new() -> None:
        found = torch._C._dispatch_get_registrations_for_dispatch_key("CompositeImplicitAutograd")
        if found != seen:
            walk()
            seen[:] = found

    utils._materialize_cpp_cia_ops = walk_if_new


def _corrected() -> contextlib.AbstractContextManager[None]:
    from harness.export.corrections import applied

    return applied()


def _runner(utils: Any, mode: Mode) -> Any:
    """What stands in for upstream's `run_cpp_test_runner`; errors are raised, not printed."""
    from harness.runtime.exact import ExactExecutor
    from harness.runtime.portable.blas import require_own
    from harness.runtime.portable.executor import PortableExecutor
    from harness.runtime.portable.kv_cache import CacheConfig

    if mode.faithful:
        require_own()

    def run(
        pte_path: Path, input_path: Path, output_path: Path, *_: Any, kv_cache: str | None = None,
        **__: Any,
    ) -> bool:  # fmt: skip
        portable = PortableExecutor(faithful=mode.faithful)
        executor = ExactExecutor() if mode.float64 else portable
        executor.load(Path(pte_path))
        try:
            portable.install_cache(None if kv_cache is None else CacheConfig.parse(kv_cache))
            given = [from_torch(tensor) for tensor in utils.load_tensors_from_bin(input_path)]
            # Copies: MLX may lend memory that torch would take for its own to write.
            outputs = zip(executor.call("forward", given), executor.outputs("forward"), strict=True)
            made = [to_torch(as_array(array, spec.dtype).copy()) for array, spec in outputs]
        finally:
            executor.close()
        utils.save_tensors_to_bin(made, output_path)
        return True

    return run


def _from(mark: str, words: str) -> str:
    """What upstream printed from a mark on; empty without it."""
    start = words.find(mark)
    return words[start:] if start >= 0 else ""


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]} …"
