"""Upstream's eager models of one checkpoint, loaded when they are first asked for.

torch is imported then, so that a run whose evidence and artifacts are cached needs none.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness.checkpoint import Checkpoint
from harness.memory import give_back_freed_memory
from harness.methods.precision import FP32, Precision
from harness.reference.semantics import EXECUTORCH, Semantics
from harness.upstream import quiet

if TYPE_CHECKING:
    from harness.reference.eager import EagerModel

__all__ = ["Models"]


class Models:
    """The models that evidence is recorded with, and that get exported.

    Parameters
    ----------
    checkpoint
        Which weights.
    precision
        Floating-point type, and how weights are quantised.
    max_seq_len
        Positions of the KV cache.
    semantics
        What `eager` does where implementations differ; what is exported stays ExecuTorch's.
    fresh
        Quantise again what the cache has.
    progress
        Called with one line a step.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        precision: Precision,
        max_seq_len: int,
        *,
        semantics: Semantics = EXECUTORCH,
        fresh: bool = False,
        progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.checkpoint, self.precision, self.semantics = checkpoint, precision, semantics
        self._max_seq_len, self._fresh, self._progress = max_seq_len, fresh, progress

    @cached_property
    def model(self) -> Any:
        """Upstream's ``VoxtralTTSModel`` in the precision asked for: what gets exported."""
        model = self._load(self.precision.float_type)
        if self.precision.quantized:
            from harness.reference.quantize import quantize_in_place

            quantize_in_place(
                model,
                self.precision,
                self.checkpoint.digest,
                self._progress,
                fresh=self._fresh,
            )
        return model

    @cached_property
    def mapped(self) -> Any:
        """The model in fp32 that takes little memory: it runs, and its codec can be exported."""
        return self._load(FP32.float_type, mapped=True)

    @property
    def eager_model(self) -> Any:
        """The model of this precision that runs; in fp32, the one that takes little memory."""
        return self.mapped if self.precision == FP32 else self.model

    @cached_property
    def eager(self) -> EagerModel:
        """The reference: the model of this precision behind the executors' shape."""
        from harness.reference.eager import EagerModel

        return EagerModel(self.eager_model, self.semantics)

    @cached_property
    def eager_fp32(self) -> EagerModel:
        """The model in fp32 behind the executors' shape."""
        from harness.reference.eager import EagerModel

        return EagerModel(self.mapped, self.semantics)

    @cached_property
    def exact(self) -> EagerModel:
        """The model of this precision in float64, its weights widened exactly."""
        from harness.reference.oracle import exact_twin

        return exact_twin(self.eager_model, self.semantics)

    def release(self) -> None:
        """Give the models' memory back; who asks for one again loads it again."""
        for name in ("model", "mapped", "eager", "eager_fp32", "exact"):
            vars(self).pop(name, None)
        gc.collect()
        give_back_freed_memory()

    def to_export(self, *, codec: bool) -> Any:
        """The model that an artifact is exported from; of the codec in fp32, the mapped one."""
        return self.mapped if codec and self.precision == FP32 else self.model

    def _load(self, float_type: str, *, mapped: bool = False) -> Any:
        self._progress("loading the eager model")
        with quiet():
            from harness.checkpoint.loading import load_model

            return load_model(
                self.checkpoint, max_seq_len=self._max_seq_len, dtype=float_type, mapped=mapped
            )
