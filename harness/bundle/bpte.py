"""ExecuTorch's own bundles: a program with inputs and expected outputs in one ``.bpte``.

They are made by upstream's `BundledProgram`, and run by its ``executor_runner`` or by any program
that links ``devtools/bundled_program``. Expected outputs are eager's; what a program may differ by
is its runner's to choose, so that a ``.bpte`` is a smoke test and no verdict.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.arrays import to_torch
from harness.errors import InputError, UnavailableError
from harness.files import replace_file
from harness.methods import Method
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import SPEECH, Evidence
from harness.parity.plan import Plan
from harness.upstream import quiet

__all__ = ["write_bundled_programs"]


def write_bundled_programs(
    plan: Plan, evidence: Evidence, artifacts: Artifacts, directory: Path
) -> list[Path]:
    """Write ``model.bpte`` and ``codec_decoder.bpte``, as far as the plan has their programs.

    A stateful method brings the recorded speech alone: a runner makes the calls one after the
    other and never empties the KV cache.

    Raises
    ------
    InputError
        No program could be lowered.
    UnavailableError
        The installed executorch has no BundledProgram.
    """
    written = []
    for name, file in artifacts.files.items():
        if not file.sha256 or file.facts is None:
            continue
        methods = [
            method
            for method in plan.selected
            if method.artifact == name and method.entry in file.facts.methods
        ]
        if methods:
            target = directory / name.replace(".pte", ".bpte")
            content = _serialized(file.made.path, methods, evidence)
            with replace_file(target) as scratch:
                scratch.write_bytes(content)
            written.append(target)
    if not written:
        raise InputError("there is no program to bundle: no method of those asked for was lowered")
    return written


def _serialized(pte: Path, methods: list[Method], evidence: Evidence) -> bytes:
    with quiet():
        try:
            from executorch.devtools import BundledProgram
            from executorch.devtools.bundled_program.config import MethodTestSuite
            from executorch.devtools.bundled_program.serialize import (
                serialize_from_bundled_program_to_flatbuffer,
            )
        except ImportError as error:
            raise UnavailableError(
                f"the installed executorch makes no BundledProgram: {error}; leave --bpte out"
            ) from None
        suites = [MethodTestSuite(method.entry, _tests(method, evidence)) for method in methods]
        suites.sort(key=lambda suite: suite.method_name)
        bundled = BundledProgram(None, suites, str(pte))
        return bytes(serialize_from_bundled_program_to_flatbuffer(bundled))


def _tests(method: Method, evidence: Evidence) -> list[Any]:
    from executorch.devtools.bundled_program.config import MethodTestCase

    items = [item for item in evidence.cases[method.name] if item.outputs]
    if method.stateful:
        items = [item for item in items if item.case.label == SPEECH]
    return [
        MethodTestCase([to_torch(x.copy()) for x in inputs], [to_torch(output.copy())])
        for item in items
        for inputs, output in zip(item.case.calls, item.outputs, strict=True)
    ]
