"""The first member of a bundle: what else is in it, and where it comes from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bundle.layout import Member
from harness.errors import InputError, brief, in_a_sentence
from harness.fingerprint import installed_versions
from harness.methods import METHODS
from harness.pte.names import names_file
from harness.values import decode, encode

__all__ = [
    "FORMAT",
    "LIMIT",
    "MANIFEST",
    "NAMES",
    "VERSION",
    "Manifest",
    "MemberFacts",
    "Origin",
    "check_commit",
    "packages",
    "tapped_file",
]

FORMAT, VERSION = "voxtral-parity bundle", 1

MANIFEST = "manifest.json"

LIMIT = 1 << 20
"""Bytes of a manifest, at most; it has some two thousand."""


def tapped_file(method: str) -> str:
    """Member in which a method's program has the value of every node among its outputs."""
    return f"{method}.tapped.pte"


NAMES = (
    "plan.safetensors",
    "evidence.safetensors",
    "artifacts.safetensors",
    "references.safetensors",
    "ledger.json",
    "schemas.json",
    "control.pte",
    "model.pte",
    "model.nodes.json",
    "codec_decoder.pte",
    "codec_decoder.nodes.json",
    "taps.safetensors",
    *(
        name
        for method in METHODS
        for name in (tapped_file(method.name), names_file(Path(tapped_file(method.name))).name)
    ),
)
"""Members that a bundle may have, in this order. No other name is ever written to a disk."""

_HEX = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"|[0-9a-f]{7,64}")


@dataclass(frozen=True)
class MemberFacts:
    """One member: its size in bytes, its sha256 in hex and its CRC-32."""

    bytes: int
    sha256: str
    crc32: int


@dataclass(frozen=True)
class Origin:
    """Where a bundle comes from.

    Attributes
    ----------
    packed
        When: UTC, ISO 8601.
    commit
        Git commit that it was packed at, in hex; empty where nobody said.
    versions
        Package → version of whatever took part, voxtral-parity included.
    """

    packed: str
    commit: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """A manifest.

    Attributes
    ----------
    origin
        Where the bundle comes from.
    members
        All others, in their order in the file.
    """

    origin: Origin
    members: Mapping[str, MemberFacts]

    def to_bytes(self) -> bytes:
        """Its text."""
        told = {"format": FORMAT, "version": VERSION, **encode(self)}
        return json.dumps(told, indent=1, allow_nan=False).encode() + b"\n"

    @classmethod
    def of(cls, text: bytes) -> Manifest:
        """Of its text.

        Raises
        ------
        InputError
            It is none, or of a version that is not known here.
        """
        try:
            told = json.loads(text.decode("ascii"), object_pairs_hook=_no_twins)
            form = (told.pop("format"), told.pop("version"))
            if form[0] == FORMAT and form[1] != VERSION:
                raise InputError(
                    f"the bundle is of version {brief(form[1])}, and this voxtral-parity reads "
                    f"version {VERSION}; use the voxtral-parity that packed it, or a newer one"
                )
            if form[0] != FORMAT:
                raise ValueError(f"expected format {FORMAT!r}, got {brief(form[0])}")
            manifest: Manifest = decode(told, cls)
            _check(manifest)
            return manifest
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = f"no {error}" if isinstance(error, KeyError) else in_a_sentence(error)
            raise InputError(f"the bundle's manifest cannot be read: {reason}") from None

    def layout(self, size: int, crc: int) -> list[Member]:
        """Every member of the file, the manifest itself, of this size and CRC-32, first."""
        others = (Member(name, facts.bytes, facts.crc32) for name, facts in self.members.items())
        return [Member(MANIFEST, size, crc), *others]


def packages() -> dict[str, str]:
    """Versions of whatever takes part."""
    return installed_versions(
        "voxtral-parity", "torch", "executorch", "torchao", "mlx", "numpy", "safetensors"
    )


def check_commit(commit: str) -> str:
    """`commit`, if it is one: 7 to 64 lower-case hex digits, or nothing; else an `InputError`."""
    if not _COMMIT.fullmatch(commit):
        raise InputError(f"a commit must be 7 to 64 lower-case hex digits (got {brief(commit)})")
    return commit


def _check(manifest: Manifest) -> None:
    """Refuse, by a `ValueError`, what `pack` never writes."""
    for name, facts in manifest.members.items():
        if name not in NAMES:
            raise ValueError(f"it names a member {brief(name)}, which no bundle has")
        sound = 0 <= facts.bytes < 1 << 48 and 0 <= facts.crc32 < 1 << 32
        if not sound or not _HEX.fullmatch(facts.sha256):
            raise ValueError(f"size and checksums of {name} make no sense")
    if list(manifest.members) != [name for name in NAMES if name in manifest.members]:
        raise ValueError("its members are not in their order")
    check_commit(manifest.origin.commit)


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twin = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it names {brief(twin)} twice")
    return found
