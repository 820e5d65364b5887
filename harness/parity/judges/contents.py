"""Judge the constants that a program file holds, and how they are quantised.

Nothing runs here: what the checkpoint says must be there (`harness.pte.expected`) meets what the
file says (`harness.pte.facts`). Constants are matched by the digest of their bytes, and by name
only where the file's names are those of upstream's model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.compare import Gate, Status, Verdict, words
from harness.methods import Method
from harness.pte.expected import ExpectedConstant, ExpectedContents, ExpectedLayer
from harness.pte.facts import Constant, MethodFacts, ProgramFacts, QuantizedLayer
from harness.pte.plan import MLX_BACKEND

__all__ = ["judge_constants", "judge_quantization", "listed", "short"]

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
        The method judged, which is in the file.
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
    match = _match(expected[method.name], expected.values(), found.methods[method.entry])
    troubles = [
        *listed("other values than the checkpoint's", match.changed),
        *listed("not in the file", match.missing),
        *listed("not explained by the checkpoint", match.unexplained),
    ]
    status = Status.FAIL
    if not (match.changed or match.missing):
        status = Status.UNJUDGED if match.unexplained or not match.equal else Status.PASS
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
    pairs, missing, _ = _pairs(wanted, there)
    match.missing += missing
    for layer, twin in pairs:
        parts = ("values", "scales", "biases")
        wrong = [part for part in parts if getattr(layer, part) != getattr(twin, part)]
        match.equal += not wrong
        match.changed += [f"{layer.name} ({', '.join(wrong)})"] if wrong else []


def _named(name: str, own: Sequence[ExpectedConstant]) -> ExpectedConstant | None:
    """The one constant of upstream's model that a file's name stands for, if there is one."""
    name = name.removesuffix("_channel_last")
    found = [c for c in own if name and _ends(c.name, name)]
    return found[0] if len(found) == 1 else None


def _ends(path: str, name: str) -> bool:
    return path == name or path.endswith(f".{name}")


def _pairs(
    wanted: Sequence[ExpectedLayer], there: Sequence[QuantizedLayer]
) -> tuple[list[tuple[ExpectedLayer, QuantizedLayer]], list[str], list[str]]:
    """Each expected layer with the file's: by name, else by values, else by shape.

    Then the names of those expected that are not there, and of those there unexpected.
    """
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
    return pairs, sorted(layer.name for layer in left), sorted(layer.name for layer in rest)


# --- quantisation --------------------------------------------------------------------------------


def judge_quantization(
    method: Method, expected: Mapping[str, ExpectedContents], found: ProgramFacts
) -> Verdict:
    """Judge which layers are quantised, in which form, and how much of the weight each keeps.

    The values themselves are `judge_constants`'s. What a layer keeps is measured on eager's
    quantised weight, which both sides share, against the checkpoint's: it may have at most
    `QUANTISER_LOSS_DB` more noise than plain rounding to as many levels.
    """
    here, own = found.methods[method.entry], expected[method.name]
    pairs, missing, extra = _pairs(own.layers, here.layers)
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
        *listed("left unquantised", missing),
        *listed("", wrong),
        *listed("quantised unasked", extra),
        *listed("too much lost", noisy),
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


def listed(what: str, names: Sequence[str]) -> list[str]:
    """One clause that names the first few; none where there are no names."""
    shown = (", " if what else "; ").join(map(short, names[:_LISTED]))
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return [f"{what}: {shown}{more}" if what else shown + more] if names else []


def short(value: object) -> str:
    """A value of a file that may be hostile, at a length that a sentence bears."""
    text = str(value)
    return text if len(text) <= 160 else f"{text[:157]}…"
