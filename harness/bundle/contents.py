"""What a bundle holds, as values, and how they come out of a file."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.budget import Budget, budget_of
from harness.bundle.container import bundle_digest, extract
from harness.bundle.manifest import NAMES, Manifest, tapped_file
from harness.errors import InputError
from harness.golden import Golden
from harness.golden.anchor import Anchor
from harness.golden.pins import Pins
from harness.methods import METHODS
from harness.parity.archive import load
from harness.parity.artifacts import Artifacts
from harness.parity.evidence import Evidence
from harness.parity.plan import Plan
from harness.pte.schema import use_schemas
from harness.report import BundleFacts, Localized

__all__ = [
    "CONTROL", "LEDGER", "SCHEMAS", "TAPS", "VALUES", "Bundle", "References", "Tapped", "Taps",
    "open_bundle",
]  # fmt: skip

LEDGER, SCHEMAS, CONTROL = "ledger.json", "schemas.json", "control.pte"
TAPS = "taps.safetensors"


@dataclass(frozen=True)
class References:
    """What a run is compared with besides eager.

    Attributes
    ----------
    goldens
        Of the codec's sound, in every regime of which there is one.
    pins
        What eager itself was seen to compute; None if nothing is pinned.
    anchor
        Published figures of the utterance; None if there are none.
    wrong
        Nodes at which the programs were seen, when they were packed, to stop meaning what eager
        means.
    """

    goldens: tuple[Golden, ...] = ()
    pins: Pins | None = None
    anchor: Anchor | None = None
    wrong: tuple[Localized, ...] = ()


@dataclass(frozen=True)
class Tapped:
    """A method's program in which the value of every node is an output.

    Attributes
    ----------
    path
        Where it is.
    nodes
        Whose values they are, in the order of the outputs, behind the method's own.
    failure
        Why there is none; empty if there is one.
    """

    path: Path
    nodes: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Taps:
    """Programs for executors that show nothing but outputs, by the name of the method."""

    programs: Mapping[str, Tapped]


VALUES: dict[str, type] = {
    "plan": Plan, "evidence": Evidence, "artifacts": Artifacts, "references": References,
}  # fmt: skip
"""The values of a bundle; each is a member ``<name>.safetensors``."""


@dataclass(frozen=True)
class Bundle:
    """A bundle that is open.

    Attributes
    ----------
    facts
        By what a report names it.
    manifest
        Where it comes from, and its members.
    plan, evidence, artifacts, references
        What is judged, and against what. The artifacts' files are there as long as the bundle is
        open.
    budget
        What may differ, as it stood when the bundle was packed.
    control
        The control program before its constants are drawn; None of a lowering that has none.
    taps
        None where the bundle was packed without.
    """

    facts: BundleFacts
    manifest: Manifest
    plan: Plan
    evidence: Evidence
    artifacts: Artifacts
    references: References
    budget: Budget
    control: bytes | None
    taps: Taps | None

    @property
    def tapped(self) -> Mapping[str, Tapped]:
        """The tapped programs by method; none in a bundle that was packed without taps."""
        return {} if self.taps is None else self.taps.programs


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle for as long as the block lasts.

    Its members are unpacked into a temporary directory, and checked on the way.

    Raises
    ------
    InputError
        It is missing, damaged, of another version, or does not hold together.
    """
    with tempfile.TemporaryDirectory(prefix="voxtral-bundle-") as scratch:
        yield _read(path, Path(scratch))


def _read(path: Path, directory: Path) -> Bundle:
    digest = bundle_digest(path)
    manifest = extract(path, directory)
    origin = manifest.origin
    values: dict[str, Any] = {
        name: load(_member(path, directory, name), kind) for name, kind in VALUES.items()
    }
    ledger, schemas = (directory / name for name in (LEDGER, SCHEMAS))
    try:
        budget = budget_of(ledger.read_text(encoding="utf-8"), f"{LEDGER} in the bundle {path}")
        use_schemas(json.loads(schemas.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"the bundle {path} is not whole: {error}") from None
    artifacts = _placed(path, directory, values.pop("artifacts"))
    control = directory / CONTROL
    bundle = Bundle(
        BundleFacts(digest, origin.commit, origin.packed),
        manifest,
        artifacts=artifacts,
        budget=budget,
        control=control.read_bytes() if control.exists() else None,
        taps=_taps(path, directory),
        **values,
    )
    _check(path, bundle)
    return bundle


def _member(path: Path, directory: Path, name: str) -> Path:
    member = directory / f"{name}.safetensors"
    if not member.exists():
        raise InputError(f"the bundle {path} is not whole: it has no {member.name}")
    return member


def _placed(path: Path, directory: Path, artifacts: Artifacts) -> Artifacts:
    """The artifacts where they were unpacked."""
    files = {}
    for name, file in artifacts.files.items():
        place = directory / name
        if name not in NAMES or bool(file.sha256) != place.exists():
            raise InputError(f"the bundle {path} is not whole: it has no {name}")
        made = dataclasses.replace(file.made, path=place)
        files[name] = dataclasses.replace(file, made=made)
    return dataclasses.replace(artifacts, files=files)


def _taps(path: Path, directory: Path) -> Taps | None:
    """The tapped programs where they were unpacked."""
    if not (directory / TAPS).exists():
        return None
    programs = {}
    for method, program in load(directory / TAPS, Taps).programs.items():
        name = tapped_file(method)
        place = directory / name
        if name not in NAMES or bool(program.failure) == place.exists():
            raise InputError(f"the bundle {path} is not whole: it has no {name:.60}")
        programs[method] = dataclasses.replace(program, path=place)
    return Taps(programs)


def _check(path: Path, bundle: Bundle) -> None:
    """Refuse values that are not of one run."""
    plan, evidence, files = bundle.plan, bundle.evidence, bundle.artifacts.files
    known = [method.name for method in METHODS]
    faults = [f"a method {name!r:.40}" for name in plan.methods if name not in known]
    if not faults:
        faults += [
            f"no evidence of {name}" for name in plan.methods if not evidence.cases.get(name)
        ]
        faults += [f"no facts of {name}" for name in plan.artifacts if name not in files]
        faults += [
            f"another {name} than was judged"
            for name, file in files.items()
            if file.sha256 and bundle.manifest.members[name].sha256 != file.sha256
        ]
    if plan.lowering == "mlx" and bundle.control is None:
        faults.append("no control program")
    if plan.lowering not in evidence.constants:
        faults.append(f"no constants of the lowering {plan.lowering!r:.40}")
    if faults:
        raise InputError(f"the bundle {path} does not hold together: it has {faults[0]}")
