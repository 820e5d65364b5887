"""The two artifacts behind one face: the six methods under their own names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.arrays import Array
from harness.methods import METHODS
from harness.runtime.protocol import Executor

__all__ = ["ArtifactPair"]


class ArtifactPair:
    """Runs any of the six methods on the executor that has its artifact loaded.

    Parameters
    ----------
    executor
        Gives the executor of an artifact, by the artifact's name; asked when first needed.
    """

    def __init__(self, executor: Callable[[str], Executor]) -> None:
        self._executor = executor
        self._methods = {method.name: method for method in METHODS}

    def call(self, method: str, inputs: Sequence[Array], *, state: str = "default") -> list[Array]:
        """Run `method` once; see `Executor.call`."""
        found = self._methods[method]
        return self._executor(found.artifact).call(found.entry, inputs, state=state)

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to zero, in the artifacts that have some."""
        for artifact in {method.artifact for method in self._methods.values() if method.stateful}:
            self._executor(artifact).reset(state)
