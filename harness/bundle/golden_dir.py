"""Calls as plain files, for C++ programs and phones: upstream's ``GOLDEN_ARTIFACTS_DIR`` form.

Beside a program ``NAME.pte`` lie its inputs, ``NAME_input.bin``, or ``NAME_input_0.bin`` and so on
where there are several, and ``NAME_expected_output.bin``: the tensors' elements alone, row-major,
little-endian, bfloat16 as its two bytes. ``codec_decoder`` is of exactly that form. Ours have more
calls than one, so the others are named ``codec_decoder-<case>-<call>`` and
``model-<method>-<case>-<call>``, and ``index.json`` says of each, in the order to make them, its
program, method and state, and the type and shape of its tensors. Whoever makes the calls writes
each output as ``NAME_output.bin``, which `read_outputs` takes.

References
----------
executorch 1.5.1, ``backends/test/harness/tester.py`` (`_dump_golden_artifacts`).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.arrays import Array, dtype_of, from_bits, to_bits
from harness.bundle.contents import Bundle
from harness.bundle.observing import VERSION, BundleObservation
from harness.errors import InputError
from harness.files import read_file, replace_directory, write_json
from harness.fingerprint import Fingerprint
from harness.methods import Method
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import Evidence
from harness.parity.links import observe_exact
from harness.parity.observation import By, CaseObservation, Observation, Refusal
from harness.parity.plan import Plan
from harness.pte.dtypes import SCALAR_TYPES

__all__ = ["INDEX", "read_outputs", "write_golden_dir"]

INDEX = "index.json"

_FORWARD = "forward"
"""The method that upstream's form means."""

_BITS = {"bfloat16": "uint16"}


@dataclass(frozen=True)
class _Call:
    """One call: by which name its files go, and what they hold."""

    name: str
    method: Method
    label: str
    number: int
    state: str
    inputs: tuple[Array, ...]
    expected: Array | None  # None: eager has no part in this case
    dtype: str
    shape: tuple[int, ...]

    @property
    def output(self) -> str:
        return f"{self.name}_output.bin"

    def input_files(self) -> list[str]:
        if len(self.inputs) == 1:
            return [f"{self.name}_input.bin"]
        return [f"{self.name}_input_{i}.bin" for i in range(len(self.inputs))]

    def entry(self) -> dict[str, Any]:
        """What the index says of it."""
        files = zip(self.input_files(), self.inputs, strict=True)
        return {
            "name": self.name,
            "program": self.method.artifact,
            "method": self.method.entry,
            "case": self.label,
            "call": self.number,
            "state": self.state,
            "inputs": [_told(file, x.dtype.name, x.shape) for file, x in files],
            "expected": None if self.expected is None else f"{self.name}_expected_output.bin",
            "output": _told(self.output, self.dtype, self.shape),
        }


def write_golden_dir(plan: Plan, evidence: Evidence, artifacts: Artifacts, directory: Path) -> None:
    """Write every call of the plan's methods, whole or not at all.

    Raises
    ------
    InputError
        The directory exists.
    """
    if directory.exists():
        raise InputError(f"{directory} exists already; name a directory that does not")
    with replace_directory(directory) as scratch:
        for name, contents in artifacts.files.items():
            if contents.sha256:
                shutil.copyfile(contents.made.path, scratch / name)
        entries = []
        for call in _calls(plan, evidence):
            for file, value in zip(call.input_files(), call.inputs, strict=True):
                _write(scratch / file, value)
            if call.expected is not None:
                _write(scratch / f"{call.name}_expected_output.bin", call.expected)
            entries.append(call.entry())
        write_json(
            scratch / INDEX,
            {
                "format": "voxtral-parity golden artifacts",
                "version": 1,
                "rule": "make the calls in this order; before the first call of a case, every "
                "state of its program is fresh: load the program again",
                "calls": entries,
            },
        )


def read_outputs(
    bundle: Bundle, directory: Path, progress: Callable[[str], None] = lambda text: None
) -> BundleObservation:
    """What a program of somebody else's made of the calls, from ``NAME_output.bin`` files.

    A case without all of its outputs is observed as *not run*. The exact link is observed here:
    it is the bundle's programs' own.

    Raises
    ------
    InputError
        There is no output, or one has another size than its tensor.
    """
    progress(f"reading outputs in {directory}")
    cases: dict[str, dict[str, CaseObservation]] = {}
    outputs: dict[tuple[str, str], list[Array | str]] = {}
    for call in _calls(bundle.plan, bundle.evidence):
        found = _output(directory / call.output, call)
        outputs.setdefault((call.method.name, call.label), []).append(found)
    if all(isinstance(made, str) for found in outputs.values() for made in found):
        raise InputError(
            f"there is no output in {directory}: none of the files NAME_output.bin that the "
            f"{INDEX} of `bundle pack --golden-dir` names"
        )
    for (method, label), made in outputs.items():
        arrays = tuple(value for value in made if not isinstance(value, str))
        missing = [value for value in made if isinstance(value, str)]
        refusal = None
        if missing:
            reason = f"{len(missing)} of {len(made)} outputs are missing, first {missing[0]}"
            arrays, refusal = (), Refusal(By.HARNESS, reason)
        cases.setdefault(method, {})[label] = CaseObservation(arrays, refusal)
    silent = None
    if bundle.plan.speaks:
        silent = Refusal(
            By.HARNESS,
            "outputs of single calls tell nothing of free-running speech; `bundle pack --no-speak` "
            "leaves it out",
        )
    exact = observe_exact(bundle.plan, bundle.evidence, bundle.artifacts, progress)
    fingerprint = Fingerprint("files", "unknown: its outputs came as files", {})
    observation = Observation(fingerprint, cases, speech_refusal=silent, exact=exact)
    when, versions = "", dict[str, str]()  # nobody knows when and by what they were made
    return BundleObservation(VERSION, bundle.facts.sha256, when, 0.0, versions, observation)


def _calls(plan: Plan, evidence: Evidence) -> Iterator[_Call]:
    """Every call of the plan's methods, in the order to make them."""
    for method in plan.selected:
        stem = method.artifact.removesuffix(".pte")
        prefix = stem if method.entry == _FORWARD else f"{stem}-{method.name}"
        items = evidence.cases[method.name]
        dtype = items[0].outputs[0].dtype.name
        for place, item in enumerate(items):
            for number, (state, inputs) in enumerate(item.case.in_states()):
                first = method.entry == _FORWARD and not place and not number
                expected = item.outputs[number] if item.outputs else None
                yield _Call(
                    name=stem if first else f"{prefix}-{place}-{number}",
                    method=method,
                    label=item.case.label,
                    number=number,
                    state=state,
                    inputs=inputs,
                    expected=expected,
                    dtype=dtype,
                    # A case without outputs of eager's repeats another in single steps.
                    shape=inputs[0].shape if expected is None else expected.shape,
                )


def _told(file: str, dtype: str, shape: tuple[int, ...]) -> dict[str, Any]:
    number = next(kind.number for kind in SCALAR_TYPES.values() if kind.name == dtype)
    return {"file": file, "dtype": dtype, "scalar_type": number, "shape": list(shape)}


def _write(path: Path, value: Array) -> None:
    bits = np.ascontiguousarray(to_bits(value))
    path.write_bytes(bits.astype(bits.dtype.newbyteorder("<"), copy=False).tobytes())


def _output(path: Path, call: _Call) -> Array | str:
    """An output as its bytes say; the file's name where there is none."""
    if not path.exists():
        return path.name
    size = math.prod(call.shape) * dtype_of(call.dtype).itemsize
    if path.stat().st_size != size:
        raise InputError(
            f"{path.name} has {path.stat().st_size:,} bytes, and {call.dtype} of shape "
            f"{call.shape} takes {size:,}"
        )
    bits = np.dtype(_BITS.get(call.dtype, call.dtype)).newbyteorder("<")
    data = np.frombuffer(read_file(path, "output", limit=max(size, 1)), bits)
    native = data.astype(bits.newbyteorder("="), copy=False).reshape(call.shape)
    return from_bits(native, call.dtype)
