"""Every fault of one precision, by name."""

from __future__ import annotations

import dataclasses
from itertools import chain

from tests.mutate.bench import Bench, Fault
from tests.mutate.codec import codec_faults
from tests.mutate.graph import graph_faults, literal_faults
from tests.mutate.known import equivalent
from tests.mutate.modules import module_faults
from tests.mutate.outputs import output_faults
from tests.mutate.runtime import instruction_faults
from tests.mutate.speech import speech_faults
from tests.mutate.state import state_faults
from tests.mutate.weights import metadata_faults, weight_faults

__all__ = ["all_faults"]


def all_faults(bench: Bench) -> list[Fault]:
    """Those written by hand, and those that follow from the bench's own files."""
    found: dict[str, Fault] = {}
    methods = bench.line.plan.methods
    for fault in chain(
        *((*graph_faults(bench, m), *literal_faults(bench, m)) for m in methods),
        *(weight_faults(bench, m) for m in methods),
        module_faults(), codec_faults(), instruction_faults(), state_faults(), output_faults(),
        speech_faults(), metadata_faults(),
    ):  # fmt: skip
        if bench.precision in fault.precisions and not _again(fault, bench.precision):
            assert fault.name not in found, fault.name
            reason = equivalent(fault.name, bench.precision)
            found[fault.name] = dataclasses.replace(fault, equivalent=reason)
    return list(found.values())


def _again(fault: Fault, precision: str) -> bool:
    """Whether bf16 has the same fault in the same file: the codec is never quantised."""
    return precision == "bf16-4w8w" and fault.subject == "codec" and fault.kind != "output"
