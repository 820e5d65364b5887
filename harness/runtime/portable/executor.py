"""The portable executor: a `.pte` and its MLX delegates, interpreted on the CPU of any machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from harness.arrays import Array
from harness.errors import InputError, one_of
from harness.fingerprint import Fingerprint
from harness.pte.coverage import called_graphs
from harness.pte.names import StepNames, read_names
from harness.pte.payload import MLXGraph
from harness.pte.plan import Plan
from harness.pte.program import Program, read_program
from harness.runtime.portable.blas import BLAS, mx
from harness.runtime.portable.delegate import MLXDelegate
from harness.runtime.portable.fp32_weights import Fp32Weights, choose_weights
from harness.runtime.portable.kv_cache import CacheConfig, SequenceCache
from harness.runtime.portable.local import Watch
from harness.runtime.portable.method import Method, Observer, State, refuse_other_backends
from harness.runtime.portable.probe import Probe
from harness.runtime.protocol import StepError, TensorSpec, input_specs

__all__ = ["PortableExecutor"]


class PortableExecutor:
    """Runs `.pte` files exported for ExecuTorch's MLX backend, over `mlx.core` on the CPU.

    Implements `harness.runtime.protocol.Executor`. It refuses what upstream's runtime refuses,
    and also what that runtime would answer with garbage or silence.

    Parameters
    ----------
    faithful
        Give the bits that upstream's interpreter gives on the CPU. By default 16-bit quantised
        products accumulate in float32, as they do on Metal.
    fast
        Take routes that give MLX's answers within rounding, but sooner: float32 copies of
        16-bit and packed weights, transposed convolutions as products. None: unless
        ``VOXTRAL_PARITY_FAST=0`` is set. `faithful` excludes it.
    fp32_bytes
        Memory that the copies of one program's weights may take; those beyond it are widened or
        unpacked at each use.
    """

    def __init__(
        self, *, faithful: bool = False, fast: bool | None = None, fp32_bytes: int = 2 << 30
    ) -> None:
        if fast and faithful:
            raise InputError("an executor is fast or faithful, not both")
        if fast is None:
            fast = not faithful and os.environ.get("VOXTRAL_PARITY_FAST") != "0"
        self._faithful = faithful
        self._fast = fast
        self._fp32_bytes = fp32_bytes
        self._cache_config: CacheConfig | None = None
        self._program: Program | None = None
        self._forget()

    def _forget(self) -> None:
        self._graphs: dict[str, dict[int, MLXGraph]] = {}
        self._fp32_weights: dict[str, dict[int, Fp32Weights]] = {}
        self._methods: dict[str, Method] = {}
        self._watches: dict[str, Watch] = {}
        self._names: Mapping[str, StepNames] | None = None
        self._states: dict[str, dict[str, State]] = {}
        self._caches: dict[str, SequenceCache] = {}

    @property
    def fingerprint(self) -> Fingerprint:
        """Which executor this is."""
        accumulation = "MLX's CPU type" if self._faithful else "float32"
        return Fingerprint(
            executor="portable",
            device=f"cpu ({platform.system()} {platform.machine()})",
            versions={name: importlib.metadata.version(name) for name in ("executorch", "mlx")},
            notes=(
                BLAS,
                f"16-bit quantised matmul accumulates in {accumulation}",
                "fast routes on" if self._fast else "MLX's own kernels only",
            ),
            regime="cpu-bf16-accumulate" if self._faithful else "cpu",
        )

    def load(self, path: Path, data: Sequence[Path] = ()) -> None:
        """Open a `.pte`, replacing any program loaded before and forgetting all states.

        The file is mapped; a method's weights are read when it is first called.
        `data` are the `.ptd` files of weights that were exported apart from the program.
        """
        self.close()
        program = read_program(path, data)
        try:
            self._graphs = {
                plan.name: called_graphs(program, plan) for plan in program.plans.values()
            }
        except BaseException:
            program.close()
            raise
        self._program = program
        if self._fast:
            every = (graph for graphs in self._graphs.values() for graph in graphs.values())
            copies = iter(choose_weights(every, self._fp32_bytes))
            self._fp32_weights = {
                name: {index: next(copies) for index in graphs}
                for name, graphs in self._graphs.items()
            }

    def methods(self) -> tuple[str, ...]:
        """Names of the methods in the loaded program, constant methods included."""
        return tuple(self._loaded().plans)

    def inputs(self, method: str) -> tuple[TensorSpec, ...]:
        """Declared inputs of `method`, in call order; a number is an input of shape ()."""
        return input_specs(self._plan(method))

    def call(
        self,
        method: str,
        inputs: Sequence[Array],
        *,
        state: str = "default",
        observer: Observer | None = None,
        unaccelerated: Collection[int] = (),
    ) -> list[Array]:
        """Run `method` once and return its outputs.

        A constant method returns its number as a 0-d array, its text as a 0-d array of str. Every
        step is shown to `observer`; see `Method.call`, and the protocol for errors.
        """
        ready = self.prepare(method)
        kept = self._states.setdefault(state, {})
        if method not in kept:
            kept[method] = ready.fresh()
        with mx.stream(mx.cpu):
            cache = self._cache(state)
            for delegate in ready.delegates.values():
                if isinstance(delegate, MLXDelegate):
                    delegate.cache = cache
            return ready.call(inputs, kept[method], observer, unaccelerated)

    def probe(self, method: str) -> Probe:
        """Look inside a method: its steps, what they make, what changes if one makes another."""
        ready = self.prepare(method)
        if self._names is None:
            try:
                self._names = read_names(self._loaded())
            except InputError:  # of another export: steps are known by number
                self._names = {}
        return Probe(partial(self.call, method), ready, self._names.get(method, StepNames()))

    def watch(
        self,
        method: str,
        inputs: Sequence[Array],
        *,
        state: str = "default",
        repair: Collection[int] = (),
    ) -> tuple[list[Array], list[StepError]]:
        """Run `method` once, and judge each step that it ran on the inputs which that step had.

        Steps whose numbers are in `repair` go on with what they mean, rounded, instead.
        """
        if method not in self._watches:
            self._watches[method] = Watch(self.probe(method).steps)
        watch = self._watches[method]
        watch.repair = repair
        outputs = self.call(method, inputs, state=state, observer=watch)
        watch.returned(self._plan(method), outputs)
        return outputs, watch.taken()

    def prepare(self, method: str) -> Method:
        """Read a method's weights now; its first call does so otherwise."""
        plan = self._plan(method)
        if method not in self._methods:
            with mx.stream(mx.cpu):
                self._methods[method] = Method.load(self._loaded(), plan, self._delegates(plan))
        return self._methods[method]

    def _delegates(self, plan: Plan) -> dict[int, MLXDelegate]:
        """A plan's delegates, their weights read in and their init chains run."""
        graphs, copies = self._graphs[plan.name], self._fp32_weights.get(plan.name, {})
        refuse_other_backends(plan, graphs)
        where = f"method {plan.name!r}"
        return {
            index: MLXDelegate.load(self._loaded(), graph, where, self._faithful, copies.get(index))
            for index, graph in graphs.items()
        }

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to its first contents."""
        self._states.pop(state, None)
        self._caches.pop(state, None)

    def install_cache(self, config: CacheConfig | None) -> None:
        """Give every state an empty off-graph KV cache of these sizes; None takes it away.

        Programs with ``update_and_attend`` nodes need one. All methods of a state share it, and
        it stays installed when another program is loaded, empty again.
        """
        self._cache_config = config
        self._caches = {}

    def close(self) -> None:
        """Release the program and its states."""
        if self._program is not None:
            self._program.close()
        self._program = None
        self._forget()

    def _loaded(self) -> Program:
        if self._program is None:
            raise InputError("no program is loaded; call load with a .pte first")
        return self._program

    def _cache(self, state: str) -> SequenceCache | None:
        if self._cache_config is not None and state not in self._caches:
            self._caches[state] = SequenceCache(self._cache_config)
        return self._caches.get(state)

    def _plan(self, method: str) -> Plan:
        plans = self._loaded().plans
        one_of("method", method, plans)
        return plans[method]
