"""Judge what a program file says of itself: metadata, size, and what its backend takes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from harness.compare import Gate, Status, Verdict, words
from harness.compare.verdict import Metric
from harness.methods import METHODS, Method
from harness.parity.judges.contents import listed, short
from harness.pte.expected import ExpectedContents
from harness.pte.facts import ProgramFacts
from harness.pte.plan import MLX_BACKEND, XNNPACK_BACKEND

__all__ = ["judge_coverage", "judge_delegation", "judge_file_size", "judge_metadata"]

_LISTED = 3


# --- metadata ------------------------------------------------------------------------------------


def judge_metadata(
    artifact: str, expected: Mapping[str, tuple[int, ...]], found: ProgramFacts
) -> Verdict:
    """Judge the constant methods of a file that upstream's runner reads.

    `expected` has the values that each may have (`harness.reference.metadata`).
    """
    told = found.metadata
    wrong = [
        f"{name} is {short(told[name])}, expected {' or '.join(map(str, values))}"
        for name, values in expected.items()
        if name in told and not (type(told[name]) is int and told[name] in values)
    ]
    missing = [name for name in expected if name not in told]
    troubles = [*listed("", wrong), *listed("not in the file", missing)]
    status = Status.FAIL if troubles else Status.PASS if expected else Status.UNJUDGED
    return Verdict(
        subject=artifact,
        case="metadata",
        kind="metadata",
        status=status,
        summary="; ".join(troubles)
        or f"{words.count(len(expected), 'value')} as the checkpoint and upstream's rule say",
        metrics={
            "wrong": tuple(wrong),
            "missing": tuple(missing),
            "not_compared": tuple(sorted(set(told) - set(expected))),
        },
        gates=(
            Gate("wrong", len(wrong), 0, "values"),
            Gate("not in the file", len(missing), 0, "values"),
        ),
        elements=len(expected),
    )


# --- file size -----------------------------------------------------------------------------------

_FOLDED_SHARE, _FOLDED_BYTES = 0.05, 1 << 16


def judge_file_size(
    artifact: str, expected: Mapping[str, ExpectedContents], found: ProgramFacts
) -> Verdict:
    """Judge the length of a file against the constants that it must hold.

    Constants may take 5 % and 64 KiB more than those of the checkpoint: a table that a lowering
    computed ahead, or one kept twice, is no fault. What surrounds them, instructions and padding,
    may take 256 bytes a constant and 512 a node: two to four times what upstream's serialiser was
    seen to need.
    """
    methods = [m for m in METHODS if m.artifact == artifact and m.entry in found.methods]
    least = sum(expected[method.name].nbytes for method in methods)
    nodes = sum(
        facts.delegation.nodes + len(facts.delegation.kernel_calls)
        for facts in found.methods.values()
    )
    held = sum(len(facts.constants) for facts in found.methods.values())
    around = found.bytes - found.constant_bytes
    gates = (
        Gate(
            "constants beyond the checkpoint's",
            max(0, found.constant_bytes - least),
            int(_FOLDED_SHARE * least) + _FOLDED_BYTES,
            "bytes",
        ),
        Gate("around the constants", around, 16384 + 256 * held + 512 * nodes, "bytes"),
    )
    passed = all(gate.passed for gate in gates)
    status = Status.FAIL if not passed else Status.PASS if least else Status.UNJUDGED
    return Verdict(
        subject=artifact,
        case="file size",
        kind="artifact",
        status=status,
        summary=f"{found.bytes:,} bytes: constants {found.constant_bytes:,}, the checkpoint's "
        f"{least:,}; {around:,} around them, up to {gates[1].allowed:,.0f} allowed",
        metrics={
            "bytes": found.bytes,
            "constants": found.constant_bytes,
            "expected_constants": least,
        },
        gates=gates,
        elements=held,
    )


# --- delegation ----------------------------------------------------------------------------------


def judge_delegation(method: Method, found: ProgramFacts) -> Verdict:
    """Judge that MLX takes a method whole: one delegate, and nothing outside it."""
    if method.entry not in found.methods:
        return _absent(method, found)
    here = found.methods[method.entry].delegation
    outside = sorted(set(here.kernel_calls))
    taken = here.delegates.get(MLX_BACKEND, 0)
    gates = (
        Gate("MLX delegates more or fewer than one", abs(taken - 1), 0),
        Gate("other delegates", sum(here.delegates.values()) - taken, 0),
        Gate("calls outside delegates", len(here.kernel_calls), 0),
    )
    whole = f"one MLX delegate of {here.nodes} nodes, nothing outside it"
    ops = f"; not delegated: {', '.join(outside)}" if outside else ""
    fault = f"expected one MLX delegate and nothing outside it, got {_counts(here.delegates)}{ops}"
    return _delegation(method, gates, whole, fault, here.nodes, {"nodes": here.nodes}, outside)


_TAKEN_BY_XNNPACK = ("addmm", "bmm", "convolution", "linear", "mm")
"""Operators whose weights XNNPACK multiplies: where one is left to CPU kernels, it took nothing."""


def judge_coverage(method: Method, found: ProgramFacts) -> Verdict:
    """Judge how much of a method XNNPACK takes; unlike MLX it leaves the rest to CPU kernels.

    A lookup is all that an embedding method does, and XNNPACK takes none. Any other method
    without a delegate, or with a matrix product of float32 outside one, was not lowered to XNNPACK,
    which takes no product of bfloat16.
    """
    if method.entry not in found.methods:
        return _absent(method, found)
    here = found.methods[method.entry].delegation
    taken = here.delegates.get(XNNPACK_BACKEND, 0)
    left = Counter(here.kernel_calls)
    products = [name for name in left if name.split("::")[-1].split(".")[0] in _TAKEN_BY_XNNPACK]
    lookup = any("embedding" in name for name in left) and not products
    if any(constant.dtype == "bfloat16" for constant in found.methods[method.entry].constants):
        products = []  # XNNPACK has no kernel for them
    gates = (
        Gate("other delegates", sum(here.delegates.values()) - taken, 0),
        Gate("matrix products outside delegates", len(products), 0),
        Gate("methods without a delegate", int(not taken and not lookup), 0),
    )
    most = ", ".join(f"{name} × {n}" for name, n in left.most_common(_LISTED))
    got = (
        f"{words.count(taken, 'XNNPACK delegate')}, "
        f"{words.count(len(here.kernel_calls), 'call')} of CPU kernels{': ' * bool(most)}{most}"
        f"{', …' if len(left) > _LISTED else ''}"
    )
    fault = f"expected XNNPACK to take the matrix products, got {got}"
    if gates[0].value:
        fault = f"expected delegates of XNNPACK alone, got {_counts(here.delegates)}"
    elements = taken + len(here.kernel_calls)
    return _delegation(method, gates, got, fault, elements, {"delegates": taken}, sorted(left))


def _delegation(
    method: Method,
    gates: tuple[Gate, ...],
    sound: str,
    fault: str,
    elements: int,
    metrics: Mapping[str, Metric],
    outside: list[str],
) -> Verdict:
    passed = all(gate.passed for gate in gates)
    status = Status.FAIL if not passed else Status.PASS if elements else Status.UNJUDGED
    metrics = {**metrics, "not delegated": tuple(outside)}
    summary = sound if passed else fault
    return Verdict(
        method.name, "delegation", "delegation", status, summary, metrics, gates, elements
    )


def _absent(method: Method, found: ProgramFacts) -> Verdict:
    carried = ", ".join(map(short, found.methods)) or "none"
    summary = f"{method.artifact} has no method {method.entry}: it carries {carried}; "
    return Verdict(
        method.name, "delegation", "delegation", Status.UNJUDGED, f"{summary}export it again"
    )


def _counts(delegates: Mapping[str, int]) -> str:
    return ", ".join(f"{n} × {name}" for name, n in delegates.items()) or "no delegate"
