"""The six methods go to the executor that has their artifact, each loaded when first needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.fingerprint import Fingerprint
from harness.methods import METHODS
from harness.runtime.pair import ArtifactPair

PATHS = {"model.pte": Path("m/model.pte"), "codec_decoder.pte": Path("c/codec_decoder.pte")}


class Recorder:
    """An executor that notes what it is asked."""

    def __init__(self, log: list[tuple[Any, ...]]) -> None:
        self.log = log
        self.path: Path | None = None

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint("recorder", "cpu", {})

    def load(self, path: Path) -> None:
        self.path = path
        self.log.append(("load", path))

    def call(self, method: str, inputs: Sequence[Any], *, state: str = "default") -> list[Any]:
        self.log.append(("call", self.path, method, state))
        return [np.zeros(1)]

    def reset(self, state: str = "default") -> None:
        self.log.append(("reset", self.path, state))

    def close(self) -> None:
        self.log.append(("close", self.path))


@pytest.fixture
def log() -> list[tuple[Any, ...]]:
    return []


@pytest.fixture
def pair(log: list[tuple[Any, ...]]) -> ArtifactPair:
    return ArtifactPair(PATHS, lambda: Recorder(log))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_a_method_goes_to_its_artifact_under_its_entry(
    pair: ArtifactPair, log: list[tuple[Any, ...]], method: Any
) -> None:
    pair.call(method.name, [], state="one")
    path = PATHS[method.artifact]
    assert log == [("load", path), ("call", path, method.entry, "one")]


def test_an_artifact_is_loaded_once(pair: ArtifactPair, log: list[tuple[Any, ...]]) -> None:
    for method in METHODS:
        pair.call(method.name, [])
    assert [entry[1] for entry in log if entry[0] == "load"] == list(PATHS.values())


def test_a_reset_reaches_the_artifact_with_a_state_only(
    pair: ArtifactPair, log: list[tuple[Any, ...]]
) -> None:
    pair.reset("one")
    assert log == [("load", PATHS["model.pte"]), ("reset", PATHS["model.pte"], "one")]


def test_leaving_it_closes_what_was_opened(pair: ArtifactPair, log: list[tuple[Any, ...]]) -> None:
    with pair:
        pair.call("codec", [])
    assert log[-1] == ("close", PATHS["codec_decoder.pte"])


def test_a_fingerprint_leaves_no_executor_open(
    pair: ArtifactPair, log: list[tuple[Any, ...]]
) -> None:
    assert pair.fingerprint.executor == "recorder"
    assert log == [("close", None)]
