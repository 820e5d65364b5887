"""What eager, and what programs, were seen to compute, pinned as a few numbers for each case.

A fault that eager and an export share moves ``golden/pinned/<checkpoint>-<precision>.json``, which
holds eager's outputs, and of its speech the codes' digest. What the exported programs make of the
same inputs is in ``golden/outputs/<checkpoint>/<precision>/<regime>.json``. `Pin.of` makes the
numbers, `judge` compares them; nothing but `bless` writes them. numpy alone is needed.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.compare import words
from harness.compare.verdict import Gate, Status, Verdict
from harness.errors import InputError, in_a_sentence
from harness.files import read_json, replace_file
from harness.golden.bless import check_green, check_reason
from harness.golden.pin import Pin, nan_last
from harness.golden.store import OUTPUTS, PINNED
from harness.golden.waiting import waiting_path
from harness.values import decode, encode

__all__ = [
    "CASE",
    "COMPUTED",
    "DRIFT",
    "OUTPUT_DRIFT",
    "Drift",
    "Pin",
    "Pins",
    "bless",
    "judge",
    "list_pins",
    "missing",
    "read",
]

CASE = "eager, pinned"

COMPUTED = "outputs, pinned"
"""The case of what programs compute."""

_FORMAT, _VERSION = "voxtral-parity pins", 1


@dataclass(frozen=True)
class Pins:
    """Eager's outputs of one checkpoint in one precision.

    Attributes
    ----------
    checkpoint, precision
        The file's own name.
    digest
        sha256 of the checkpoint, in hex.
    methods
        For each method, a `Pin` for each case by its label.
    speech
        Facts of what eager said, which must be equal: name → number, text or digest; none of a
        program.
    regime
        That of the arithmetic in which programs computed; empty of eager.
    reason, date, versions
        Why it was blessed; ISO date of the run; package → version. Empty for a run that is only
        compared.
    """

    checkpoint: str
    precision: str
    digest: str
    methods: Mapping[str, Mapping[str, Pin]]
    speech: Mapping[str, str]
    reason: str = ""
    date: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    regime: str = ""

    def path(self, root: Path) -> Path:
        """Where these pins live below `root`."""
        return _path(root, self.checkpoint, self.precision, self.regime)

    @property
    def name(self) -> str:
        """``tiny/eager/bf16`` or ``tiny/outputs/bf16/exact-f32``."""
        regime = f"/{self.regime}" if self.regime else ""
        return f"{self.checkpoint}/{'outputs' if self.regime else 'eager'}/{self.precision}{regime}"

    @property
    def drift(self) -> Drift | None:
        """How far its numbers may move; None where nobody measured it."""
        return (OUTPUT_DRIFT if self.regime else DRIFT).get(self.precision)


@dataclass(frozen=True)
class Drift:
    """How far the RMS of a case may move, and any one sum or element, over the RMS; and why."""

    rms: float
    element: float
    reason: str


_SOURCE = (
    "eager moved by {} in the RMS and {} in one element between instruction sets (torch, oneDNN "
    "and MKL held to SSE, AVX2 and AVX-512) and without oneDNN, on tiny and small; {}"
)

DRIFT: Mapping[str, Drift] = {
    "fp32": Drift(1e-6, 2e-5, _SOURCE.format("7.6e-8", "3.4e-6", "ten and six times that")),
    "bf16": Drift(4e-3, 0.1, _SOURCE.format("1.4e-3", "3.4e-2", "three times that")),
}
"""By precision. Quantised weights are the find of a search, and not pinned."""

_ORDERS = (
    "two orders of rounding, eager's and the programs', are up to {} in the RMS and {} in one "
    "element apart on tiny and small; {}"
)
_NARROW = Drift(7e-3, 0.2, _ORDERS.format("2.3e-3", "6.2e-2", "three times that"))

OUTPUT_DRIFT: Mapping[str, Drift] = {
    "fp32": Drift(1e-6, 2e-5, _ORDERS.format("2.1e-7", "6.3e-6", "five and three times that")),
    "bf16": _NARROW,
    "bf16-4w8w": _NARROW,
}
"""The same of what programs compute; of quantised ones the codec alone is pinned."""


def _path(root: Path, checkpoint: str, precision: str, regime: str = "") -> Path:
    if regime:
        return root / OUTPUTS / checkpoint / precision / f"{regime}.json"
    return root / PINNED / f"{checkpoint}-{precision}.json"


def read(root: Path, checkpoint: str, precision: str, regime: str = "") -> Pins | None:
    """The pins of a checkpoint in a precision, None without; `InputError` if they are damaged.

    With a `regime` those of programs, else those of eager.
    """
    return read_at(_path(root, checkpoint, precision, regime), root)


def read_at(path: Path, root: Path) -> Pins | None:
    """The pins in a file, which may be one that waits; as `read`."""
    if not path.exists():
        return None
    try:
        data = read_json(path, "pins")
        form = (data.pop("format"), data.pop("version"))
        if form != (_FORMAT, _VERSION):
            raise ValueError(f"expected format {_FORMAT!r} version {_VERSION}, got {form}")
        pins: Pins = decode(data, Pins)
        if path not in (pins.path(root), waiting_path(pins.path(root))) or not pins.reason:
            raise ValueError("they are of another place" if pins.reason else "they have no reason")
    except (AttributeError, KeyError, TypeError, ValueError, InputError) as error:
        raise InputError(
            f"the pins {path.name} are damaged ({in_a_sentence(error)}); restore them from "
            "version control"
        ) from None
    return pins


def list_pins(root: Path) -> list[Pins]:
    """All pins below `root`, sorted by their file's name."""
    paths = [*(root / PINNED).glob("*.json"), *(root / OUTPUTS).glob("*/*/*.json")]
    found = (read_at(path, root) for path in sorted(paths))
    return [pins for pins in found if pins is not None]


def bless(root: Path, run: Pins, parity: Sequence[Verdict]) -> list[str]:
    """Write a run's pins, unless those that are kept still hold; what moved, one line each.

    Raises
    ------
    InputError
        The reason is too short; a verdict of `parity` did not pass, or there is none; no drift is
        declared for the precision; the pins there are damaged.
    """
    run = dataclasses.replace(run, reason=check_reason(run.reason))
    if run.drift is None:
        raise InputError(f"no drift of pins is declared for precision {run.precision!r}")
    check_green(f"pins {run.name} are", parity)
    path = run.path(root)
    old = read_at(path, root)
    moved = beside(old, run)
    if moved:
        write(path, run)
    waiting_path(path).unlink(missing_ok=True)
    return moved


def beside(old: Pins | None, run: Pins) -> list[str]:
    """What moved too far from pins that are kept, one line each; none where they still hold."""
    if old is None:
        return [f"first pins of {run.name}"]
    red = [verdict for verdict in judge(old, run) if verdict.status is not Status.PASS]
    return [f"{verdict.subject}: {verdict.summary}" for verdict in red]


def write(path: Path, run: Pins) -> None:
    """Write pins to a file, whole or not at all: their place, or where they wait for that."""
    data = {"format": _FORMAT, "version": _VERSION, **encode(run)}
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    # One case a line: a review counts cases.
    text = re.sub(r"\{\s*\"elements\"[^}]*\}", _on_one_line, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path) as scratch:
        scratch.write_text(text + "\n", encoding="utf-8")


def _on_one_line(case: re.Match[str]) -> str:
    text = " ".join(case[0].split())
    return re.sub(r"(?<=[\[{]) | (?=[\]}])", "", text)


def missing(checkpoint: str, precision: str, regime: str = "") -> Verdict:
    """The verdict where pins should be: unjudged, with the command that makes them."""
    who = f"the programs in {regime}" if regime else "eager"
    summary = (
        f"nothing is pinned of {who} on {checkpoint} in {precision}; `"
        f"{_bless_command(checkpoint, precision)}` pins it"
    )
    case = COMPUTED if regime else CASE
    return Verdict("speech", case, "golden", Status.UNJUDGED, summary)


def judge(kept: Pins, run: Pins) -> list[Verdict]:
    """One verdict for each method of `run`, and one for what eager said."""
    if kept.digest != run.digest:
        summary = (
            f"the checkpoint itself changed: sha256 {kept.digest[:12]}… then, "
            f"{run.digest[:12]}… now (blessed on {kept.date})"
        )
        gate = Gate("checkpoints", 1, 0, "files")
        case = COMPUTED if kept.regime else CASE
        verdict = Verdict("speech", case, "golden", Status.FAIL, summary, {}, (gate,), 1)
        return [_advised(kept, verdict)]
    found = [
        _judge_method(kept, name, kept.methods.get(name, {}), cases)
        for name, cases in run.methods.items()
    ]
    said = [] if kept.regime else [_judge_speech(kept, run)]
    return [_advised(kept, verdict) for verdict in (*found, *said)]


def _judge_method(kept: Pins, name: str, old: Mapping[str, Pin], new: Mapping[str, Pin]) -> Verdict:
    drift, who = kept.drift, "the program" if kept.regime else "eager"
    if drift is None:
        raise InputError(f"no drift of pins is declared for precision {kept.precision!r}")
    unpinned = sorted(set(old) ^ set(new))
    moved = {label: old[label].moved(pin) for label, pin in new.items() if label in old}

    def worst(index: int) -> tuple[float, str]:
        found = [(moves[index], label) for label, moves in moved.items()]
        return max(found, key=lambda one: nan_last(one[0]), default=(0.0, ""))

    rms, element = worst(0), worst(1)
    gates = (
        Gate("cases not on both sides", len(unpinned), 0, "cases", ", ".join(unpinned[:1])),
        Gate("RMS", rms[0], drift.rms, "of RMS", rms[1]),
        Gate("element", element[0], drift.element, "of RMS", element[1]),
    )
    elements = sum(pin.elements for label, pin in new.items() if label in old)
    wrong = next((gate for gate in gates if not gate.passed), None)
    if wrong is None:
        told = f"{who} computes in {words.count(len(new), 'case')} what it did on {kept.date}"
    elif wrong.unit == "cases":
        told = f"{words.count(len(unpinned), 'case')} not on both sides, first {unpinned[0]!r}"
    else:
        told = (
            f"{who}'s outputs moved by {words.number(wrong.value)} of their RMS in case "
            f"{wrong.where!r}, up to {words.number(wrong.allowed)} allowed"
        )
    status = Status.FAIL if wrong or not elements else Status.PASS
    notes = (f"Allowed: {drift.reason}.",) if wrong else ()
    case = COMPUTED if kept.regime else CASE
    return Verdict(name, case, "golden", status, told, {}, gates, elements, notes)


def _judge_speech(kept: Pins, run: Pins) -> Verdict:
    names = dict.fromkeys((*kept.speech, *run.speech))
    changed = [name for name in names if kept.speech.get(name) != run.speech.get(name)]
    gate = Gate("facts that changed", len(changed), 0, "facts", ", ".join(changed[:3]))
    if changed:
        told = "; ".join(
            f"{name}: {kept.speech.get(name, 'none')[:40]} then, "
            f"{run.speech.get(name, 'none')[:40]} now"
            for name in changed
        )
    else:
        told = f"eager says what it did on {kept.date}: {', '.join(names)}"
    status = Status.FAIL if changed else Status.PASS
    return Verdict("speech", CASE, "golden", status, told, {}, (gate,), len(names))


def _advised(kept: Pins, verdict: Verdict) -> Verdict:
    if verdict.status is not Status.FAIL:
        return verdict
    what = "What the program computes moved since then."
    if not kept.regime:
        what = "The reference itself moved: an export compared with it may share the fault."
    command = _bless_command(kept.checkpoint, kept.precision)
    note = f"{what} If the change is meant: `{command}`."
    return dataclasses.replace(verdict, notes=(*verdict.notes, note))


def _bless_command(checkpoint: str, precision: str) -> str:
    return (
        f"voxtral-parity golden bless --checkpoint {checkpoint} --precision {precision} "
        '--reason "…"'
    )
