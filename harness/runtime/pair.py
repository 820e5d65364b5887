"""The two artifacts behind one face: the six methods under their own names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from functools import cached_property
from pathlib import Path

from harness.arrays import Array
from harness.fingerprint import Fingerprint
from harness.methods import METHODS
from harness.runtime.protocol import Executor

__all__ = ["ArtifactPair"]


class ArtifactPair(AbstractContextManager["ArtifactPair"]):
    """Runs any of the six methods on an executor that has its artifact loaded.

    A context manager: leaving it releases the executors, child processes and all.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],  # where the artifacts are, by name
        make: Callable[[], Executor],  # called once for each artifact, when that is first needed
        progress: Callable[[str], None] = lambda text: None,  # given one line a file
    ) -> None:
        self._paths, self._make, self._progress = paths, make, progress
        self._methods = {method.name: method for method in METHODS}
        self._loaded: dict[str, Executor] = {}

    def __exit__(self, *error: object) -> None:
        self.close()

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """Which executor runs them."""
        for executor in self._loaded.values():
            return executor.fingerprint
        with closing(self._make()) as executor:
            return executor.fingerprint

    @cached_property
    def measured(self) -> Fingerprint:
        """`fingerprint` with the regime of the executor's arithmetic, measured once."""
        if self._loaded:
            regime = next(iter(self._loaded.values())).regime()
        else:
            with closing(self._make()) as executor:
                regime = executor.regime()
        if regime is None:
            return self.fingerprint
        return dataclasses.replace(self.fingerprint, regime=regime.name, measured=regime)

    def executor(self, artifact: str) -> Executor:
        """The executor that has `artifact` loaded."""
        if artifact not in self._loaded:
            executor = self._make()
            self._progress(f"loading {artifact} on the {executor.fingerprint.executor} executor")
            executor.load(self._paths[artifact])
            self._loaded[artifact] = executor
        return self._loaded[artifact]

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` once; see `Executor.call`."""
        found = self._methods[method]
        return self.executor(found.artifact).call(found.entry, inputs, state=state)

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to zero, in the artifacts that have some."""
        for artifact in {method.artifact for method in self._methods.values() if method.stateful}:
            self.executor(artifact).reset(state)

    def close(self) -> None:
        """Release the executors."""
        for executor in self._loaded.values():
            executor.close()
        self._loaded.clear()
