"""Judge what a program file holds: constants, quantisation, metadata, size, delegation.

Nothing runs here: what the checkpoint says must be there (`harness.pte.expected`) meets what the
file says (`harness.pte.facts`). Constants are matched by the digest of their bytes, and by name
only where the file's names are those of upstream's model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.compare import Gate, Status, Verdict, words
from harness.compare.verdict import Metric
from harness.methods import METHODS, Method
from harness.pte.expected import ExpectedConstant, ExpectedContents, ExpectedLayer
from harness.pte.facts import Constant, MethodFacts, ProgramFacts, QuantizedLayer
from harness.pte.plan import MLX_BACKEND, XNNPACK_BACKEND

__all__ = [
    "judge_constants",
    "judge_coverage",
    "judge_delegation",
    "judge_file_size",
    "judge_metadata",
    "judge_quantization",
]

QUANTISER_LOSS_DB = 1.0
"""How far a quantiser that searches may fall below plain rounding: 1.26 times its noise. HQQ was
seen between 0.1 dB below (8 bits) and 0.7 dB above (4 bits); doubled scales cost 6 dB."""

_LISTED = 3


# --- constants -----------------------------------------------------------------------------------


def judge_constants(
    method: Method, expected: Mapping[str, ExpectedContents], found: ProgramFacts
) -> Verdict:
    """Judge a method's constants, bit for bit, against what the checkpoint says they must be.

    Parameters
    ----------
    method
        The method judged.
    expected
        What every method must hold, by the method's name; a constant of another method is no
        fault where it lies beside this one's.
    found
        The file.

    Returns
    -------
    Verdict
        *fail*: a constant has other values, or is not there. *unjudged*: nothing was compared,
        or an MLX delegate holds a floating-point table that the checkpoint does not explain.
    """
    if method.entry not in found.methods:
        return _absent(method, "constants", found)
    here, own = found.methods[method.entry], expected[method.name]
    match = _match(own, expected.values(), here)
    troubles = [
        *_listed("other values than the checkpoint's", match.changed),
        *_listed("not in the file", match.missing),
        *_listed("not explained by the checkpoint", match.unexplained),
    ]
    status = Status.PASS
    if match.changed or match.missing:
        status = Status.FAIL
    elif match.unexplained or not match.equal:
        status = Status.UNJUDGED
    sound = f"{words.count(match.equal, 'constant')} as the checkpoint says, bit for bit"
    return Verdict(
        subject=method.name,
        case="constants",
        kind="constants",
        status=status,
        summary="; ".join(troubles)
        or (sound if match.equal else "no constant of this method could be compared by value"),
        metrics={
            "equal": match.equal,
            "changed": tuple(match.changed),
            "missing": tuple(match.missing),
            "unexplained": tuple(match.unexplained),
            "not_compared": match.tables,
        },
        gates=(
            Gate("other values", len(match.changed), 0, "constants"),
            Gate("not in the file", len(match.missing), 0, "constants"),
            Gate("not explained", len(match.unexplained), 0, "constants"),
        ),
        elements=match.equal + len(match.changed),
    )


@dataclass
class _Match:
    """How the constants of a file fit those expected.

    `tables` counts those that no value is known for: numbers of rank 0, and tables of integers,
    truth values or positions that a lowering made.
    """

    equal: int = 0
    changed: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    tables: int = 0


def _match(own: ExpectedContents, every: Iterable[ExpectedContents], here: MethodFacts) -> _Match:
    match = _Match()
    known = {digest for each in every for c in each.constants for digest in c.digests}
    seen: Counter[str] = Counter()
    strangers: list[Constant] = []
    for constant in here.constants:
        if not constant.shape:
            match.tables += 1
            continue
        named = _named(constant.name, own.constants)
        if constant.sha256 in known and (named is None or constant.sha256 in named.digests):
            match.equal += 1
            seen[constant.sha256] += 1
        elif named is not None:
            match.changed.append(named.name)
        else:
            strangers.append(constant)
    _match_layers(own.layers, here.layers, match)
    _match_strangers(own.constants, strangers, seen, here, match)
    return match


def _match_strangers(
    own: Sequence[ExpectedConstant],
    strangers: Sequence[Constant],
    seen: Counter[str],
    here: MethodFacts,
    match: _Match,
) -> None:
    """Tell constants that nothing explains, and those that are nowhere."""
    # Where several constants are equal, a program holds as many, or one for all of them.
    needed = Counter(constant.digests[0] for constant in own)
    held = {c.digests[0]: sum(seen[digest] for digest in c.digests) for c in own}
    replaced = {name for c in own if held[c.digests[0]] for name in c.stands_for}
    absent = [c for c in own if not held[c.digests[0]] and c.name not in match.changed]
    fewer = [c for c in own if 0 < held[c.digests[0]] < needed[c.digests[0]]]
    for stranger in strangers:
        twin = next((c for c in (*absent, *fewer) if _alike(c, stranger)), None)
        if twin is not None and (twin.required or stranger.is_float):
            match.changed.append(twin.name)
            (absent if twin in absent else fewer).remove(twin)
        elif stranger.is_float and MLX_BACKEND in here.delegation.delegates:
            match.unexplained.append(
                f"{stranger.name or 'a constant'} ({stranger.dtype} {words.shape(stranger.shape)})"
            )
        else:
            match.tables += 1
    match.missing += [c.name for c in absent if c.required and c.name not in replaced]


def _alike(expected: ExpectedConstant, stranger: Constant) -> bool:
    """Whether a constant of unknown name could be this one with other values."""
    return (expected.dtype, sorted(expected.shape)) == (stranger.dtype, sorted(stranger.shape)) or (
        stranger.dtype == "uint8" and expected.nbytes == stranger.nbytes
    )


def _match_layers(
    wanted: Sequence[ExpectedLayer], there: Sequence[QuantizedLayer], match: _Match
) -> None:
    pairs = _pairs(wanted, there)
    for layer, twin in pairs:
        parts = ("values", "scales", "biases")
        wrong = [part for part in parts if getattr(layer, part) != getattr(twin, part)]
        if wrong:
            match.changed.append(f"{layer.name} ({', '.join(wrong)})")
        else:
            match.equal += 1
    paired = {layer.name for layer, _ in pairs}
    match.missing += [layer.name for layer in wanted if layer.name not in paired]


def _named(name: str, own: Sequence[ExpectedConstant]) -> ExpectedConstant | None:
    """The one constant of upstream's model that a file's name stands for, if there is one."""
    name = name.removesuffix("_channel_last")
    found = [c for c in own if name and _ends(c.name, name)]
    return found[0] if len(found) == 1 else None


def _ends(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _pairs(
    wanted: Sequence[ExpectedLayer], there: Sequence[QuantizedLayer]
) -> list[tuple[ExpectedLayer, QuantizedLayer]]:
    """Each expected layer with the file's: by name, else by values, else by shape."""
    tests = (
        lambda layer, twin: _ends(layer.name, twin.name),
        lambda layer, twin: layer.values == twin.values,
        lambda layer, twin: (layer.rows, layer.columns) == (twin.rows, twin.columns),
    )
    left, rest = list(wanted), list(there)
    pairs = []
    for same in tests:
        for layer in tuple(left):
            twin = next((twin for twin in rest if same(layer, twin)), None)
            if twin is not None:
                pairs.append((layer, twin))
                left.remove(layer)
                rest.remove(twin)
    return pairs


# --- quantisation --------------------------------------------------------------------------------


def judge_quantization(
    method: Method, expected: Mapping[str, ExpectedContents], found: ProgramFacts
) -> Verdict:
    """Judge which layers are quantised, in which form, and how much of the weight each keeps.

    The values themselves are `judge_constants`'s. What a layer keeps is measured on eager's
    quantised weight, which both sides share, against the checkpoint's: it may have at most
    `QUANTISER_LOSS_DB` more noise than plain rounding to as many levels.
    """
    if method.entry not in found.methods:
        return _absent(method, "quantisation", found)
    here, own = found.methods[method.entry], expected[method.name]
    pairs = _pairs(own.layers, here.layers)
    missing = sorted({layer.name for layer in own.layers} - {layer.name for layer, _ in pairs})
    extra = sorted({twin.name for twin in here.layers} - {twin.name for _, twin in pairs})
    wrong = [
        f"{layer.name} has {twin.bits} bits in groups of {twin.group} and shape "
        f"{words.shape((twin.rows, twin.columns))}, expected {layer.bits} in groups of "
        f"{layer.group} and {words.shape((layer.rows, layer.columns))}"
        for layer, twin in pairs
        if _form(layer) != _form(twin)
    ]
    noisy = [
        f"{layer.name} keeps {layer.sqnr_db:.1f} dB, plain rounding {layer.nearest_db:.1f} dB"
        for layer in own.layers
        if not layer.sqnr_db >= layer.nearest_db - QUANTISER_LOSS_DB
    ]
    troubles = [
        *_listed("left unquantised", missing),
        *_listed("", wrong),
        *_listed("quantised unasked", extra),
        *_listed("too much lost", noisy),
    ]
    compared = len(own.layers) + len(here.layers) + len(here.constants)
    return Verdict(
        subject=method.name,
        case="quantisation",
        kind="quantisation",
        status=Status.FAIL if troubles else Status.PASS if compared else Status.UNJUDGED,
        summary="; ".join(troubles) or _sound(own, compared),
        metrics={
            "layers": tuple(sorted(layer.name for layer in own.layers)),
            "skipped": own.skipped,
            "sqnr_db": tuple(f"{layer.name}: {layer.sqnr_db:.2f}" for layer in own.layers),
        },
        gates=(
            Gate("left unquantised", len(missing), 0, "layers"),
            Gate("other bits, group or shape", len(wrong), 0, "layers"),
            Gate("quantised unasked", len(extra), 0, "layers"),
            _noise_gate(own.layers),
        ),
        elements=compared,
        notes=tuple(f"Skipped, since MLX has no kernel for its rows: {n}." for n in own.skipped),
    )


def _form(layer: ExpectedLayer | QuantizedLayer) -> tuple[int, int, int, int]:
    return layer.bits, layer.group, layer.rows, layer.columns


def _noise_gate(layers: Sequence[ExpectedLayer]) -> Gate:
    """The layer that loses the most against plain rounding, as a ratio of the noise's power."""
    ratios = {10 ** ((c.nearest_db - c.sqnr_db) / 10): c.name for c in layers}
    worst = max(ratios, default=0.0)
    allowed = 10 ** (QUANTISER_LOSS_DB / 10)
    return Gate("noise", worst, allowed, "of plain rounding's", ratios.get(worst, ""))


def _sound(own: ExpectedContents, compared: int) -> str:
    if not compared:
        return "the method holds no constant, so that nothing was compared"
    if not own.layers:
        return "nothing to quantise, and nothing is"
    widths = sorted({f"{layer.bits}-bit in groups of {layer.group}" for layer in own.layers})
    least = min(own.layers, key=lambda layer: layer.sqnr_db)
    skipped = f"; skipped: {', '.join(own.skipped)}" if own.skipped else ""
    return (
        f"{words.count(len(own.layers), 'layer')} {', '.join(widths)}, at least "
        f"{least.sqnr_db:.1f} dB of each weight kept{skipped}"
    )


# --- metadata ------------------------------------------------------------------------------------


def judge_metadata(
    artifact: str, expected: Mapping[str, tuple[int, ...]], found: ProgramFacts
) -> Verdict:
    """Judge the constant methods that upstream's runner reads, each against what it must say.

    Parameters
    ----------
    artifact
        The file's name.
    expected
        Constant method → the values it may have.
    found
        The file.
    """
    told = found.metadata
    wrong = [
        f"{name} is {_short(told[name])}, expected {' or '.join(map(str, values))}"
        for name, values in expected.items()
        if name in told and not any(_same(told[name], value) for value in values)
    ]
    missing = [name for name in expected if name not in told]
    troubles = [*_listed("", wrong), *_listed("not in the file", missing)]
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


def _same(told: object, value: int) -> bool:
    return type(told) is int and told == value


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
        return _absent(method, "delegation", found)
    here = found.methods[method.entry].delegation
    outside = tuple(sorted(set(here.kernel_calls)))
    taken = here.delegates.get(MLX_BACKEND, 0)
    gates = (
        Gate("MLX delegates more or fewer than one", abs(taken - 1), 0),
        Gate("other delegates", sum(here.delegates.values()) - taken, 0),
        Gate("calls outside delegates", len(here.kernel_calls), 0),
    )
    summary = f"one MLX delegate of {here.nodes} nodes, nothing outside it"
    status = Status.PASS if here.nodes else Status.UNJUDGED
    if not all(gate.passed for gate in gates):
        status = Status.FAIL
        ops = f"; not delegated: {', '.join(outside)}" if outside else ""
        summary = f"expected one MLX delegate and nothing outside it, got {_counts(here.delegates)}"
        summary += ops
    return _delegation(method, status, summary, gates, here.nodes, {"nodes": here.nodes}, outside)


_TAKEN_BY_XNNPACK = ("addmm", "bmm", "convolution", "linear", "mm")
"""Operators whose weights XNNPACK multiplies: where one is left to CPU kernels, it took nothing."""


def judge_coverage(method: Method, found: ProgramFacts) -> Verdict:
    """Judge how much of a method XNNPACK takes; unlike MLX it leaves the rest to CPU kernels.

    A lookup is all that an embedding method does, and XNNPACK takes none. Any other method
    without a delegate, or with a matrix product outside one, was not lowered to XNNPACK.
    """
    if method.entry not in found.methods:
        return _absent(method, "delegation", found)
    here = found.methods[method.entry].delegation
    taken = here.delegates.get(XNNPACK_BACKEND, 0)
    left = Counter(here.kernel_calls)
    products = [name for name in left if name.split("::")[-1].split(".")[0] in _TAKEN_BY_XNNPACK]
    lookup = any("embedding" in name for name in left) and not products
    gates = (
        Gate("other delegates", sum(here.delegates.values()) - taken, 0),
        Gate("matrix products outside delegates", len(products), 0),
        Gate("methods without a delegate", int(not taken and not lookup), 0),
    )
    most = ", ".join(f"{name} × {n}" for name, n in left.most_common(_LISTED))
    summary = (
        f"{words.count(taken, 'XNNPACK delegate')}, "
        f"{words.count(len(here.kernel_calls), 'call')} of CPU kernels{': ' * bool(most)}{most}"
        f"{', …' if len(left) > _LISTED else ''}"
    )
    status = Status.PASS
    if not all(gate.passed for gate in gates):
        status = Status.FAIL
        summary = f"expected XNNPACK to take the matrix products, got {summary}"
        if gates[0].value:
            summary = f"expected delegates of XNNPACK alone, got {_counts(here.delegates)}"
    elements = taken + len(here.kernel_calls)
    return _delegation(
        method, status, summary, gates, elements, {"delegates": taken}, tuple(sorted(left))
    )


def _delegation(
    method: Method,
    status: Status,
    summary: str,
    gates: tuple[Gate, ...],
    elements: int,
    metrics: Mapping[str, Metric],
    outside: tuple[str, ...],
) -> Verdict:
    return Verdict(
        subject=method.name,
        case="delegation",
        kind="delegation",
        status=status,
        summary=summary,
        metrics={**metrics, "not delegated": outside},
        gates=gates,
        elements=elements,
    )


def _counts(delegates: Mapping[str, int]) -> str:
    return ", ".join(f"{n} × {name}" for name, n in delegates.items()) or "no delegate"


# --- words ---------------------------------------------------------------------------------------


def _absent(method: Method, case: str, found: ProgramFacts) -> Verdict:
    """Verdict on a method that its file does not carry."""
    return Verdict(
        subject=method.name,
        case=case,
        kind=case,
        status=Status.UNJUDGED,
        summary=f"{method.artifact} has no method {method.entry}: it carries "
        f"{', '.join(map(_short, found.methods)) or 'none'}; export it again",
    )


def _listed(what: str, names: Sequence[str]) -> list[str]:
    """One clause that names the first few; none where there are no names."""
    if not names:
        return []
    shown = "; " if not what else ", "
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [(f"{what}: " if what else "") + shown.join(map(_short, names[:_LISTED])) + more]


def _short(value: object) -> str:
    """A value of a file that may be hostile, at a length that a sentence bears."""
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
