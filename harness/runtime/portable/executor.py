"""The portable executor: a `.pte` and its MLX delegates, interpreted on any machine."""

from __future__ import annotations

import dataclasses
import os
import platform
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from harness.arrays import Array
from harness.errors import HarnessError, InputError
from harness.fingerprint import Fingerprint, Regime, installed_versions
from harness.pte.canaries import Canary, canaries, explain
from harness.pte.coverage import called_graphs
from harness.pte.names import StepNames, read_names
from harness.pte.payload import MLXGraph
from harness.pte.plan import Plan
from harness.pte.program import read_program
from harness.runtime.native.machine import switches, virtual_machine
from harness.runtime.portable import gpu as gpu_device
from harness.runtime.portable.blas import BLAS, mx
from harness.runtime.portable.canaries import run as run_canary
from harness.runtime.portable.delegate import MLXDelegate
from harness.runtime.portable.emulation import emulated
from harness.runtime.portable.fp32_weights import Fp32Weights, choose_weights
from harness.runtime.portable.interpreter import Op
from harness.runtime.portable.kv_cache import CacheConfig, SequenceCache
from harness.runtime.portable.local import Given, Watch
from harness.runtime.portable.method import Location, Method, Observer, refuse_other_backends
from harness.runtime.portable.opened import Opened
from harness.runtime.portable.ops_linear import OWN_KERNELS
from harness.runtime.portable.probe import Probe, Step
from harness.runtime.portable.products import sized_threads
from harness.runtime.protocol import StepError

__all__ = ["PortableExecutor", "Product"]

Product = tuple[str, Location]
"""A product of a program: the method, and where in it."""


class PortableExecutor(Opened):
    """Runs `.pte` files exported for ExecuTorch's MLX backend, over `mlx.core`.

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
        ``VOXTRAL_PARITY_FAST=0`` is set, or another mode is asked for.
    fp32_bytes
        Memory that the copies of one program's weights may take; those beyond it are widened or
        unpacked at each use.
    gpu
        Run on MLX's GPU, with the kernels that upstream's interpreter calls there.
    regime
        Form products as a GPU of this regime would, one of `harness.budget.regimes.EMULATED`.
    """

    def __init__(
        self,
        *,
        faithful: bool = False,
        fast: bool | None = None,
        fp32_bytes: int = 2 << 30,
        gpu: bool = False,
        regime: str | None = None,
    ) -> None:
        modes = [bool(fast), faithful, gpu, regime is not None]
        if sum(modes) > 1:
            raise InputError("an executor is one of fast, faithful, on a GPU and emulating one")
        if fast is None:
            fast = not any(modes) and os.environ.get("VOXTRAL_PARITY_FAST") != "0"
        self._emulated = regime
        self._measured: Regime | None = None
        self._gpu = gpu
        self._device = mx.gpu if gpu else mx.cpu
        self._ops: Mapping[str, Op] = OWN_KERNELS if gpu else emulated(regime) if regime else {}
        self._faithful = faithful
        self._fast = fast
        self._fp32_bytes = fp32_bytes
        self._cache_config: CacheConfig | None = None
        super().__init__()

    def _forget(self) -> None:
        super()._forget()
        self._graphs: dict[str, dict[int, MLXGraph]] = {}
        self._fp32_weights: dict[str, dict[int, Fp32Weights]] = {}
        self._watches: dict[str, Watch] = {}
        self._names: Mapping[str, StepNames] | None = None
        self._caches: dict[str, SequenceCache] = {}

    @property
    def fingerprint(self) -> Fingerprint:
        """Which executor this is."""
        accumulation = "MLX's CPU type" if self._faithful else "float32"
        versions = installed_versions("executorch", "mlx")
        if self._gpu:
            device = f"{gpu_device.device_name()} ({platform.system()} {platform.machine()})"
            notes = (*switches(), "MLX's own kernels only")
            virtual = virtual_machine()
            return Fingerprint("portable:gpu", device, versions, notes, virtual=virtual)
        emulates = (f"products as a GPU in {self._emulated} would form them (emulated)",)
        return Fingerprint(
            executor="portable",
            device=f"cpu ({platform.system()} {platform.machine()})",
            versions=versions,
            notes=(
                BLAS,
                *(emulates if self._emulated else ()),
                f"16-bit quantised matmul accumulates in {accumulation}",
                "fast routes on" if self._fast else "MLX's own kernels only",
            ),
        )

    def regime(self) -> Regime:
        """How exactly it multiplies, as canaries showed when this was first asked."""
        if self._measured is None:
            self._measured = self._measure()
        return self._measured

    def _measure(self) -> Regime:
        with mx.stream(self._device):
            found = explain((canary, self._canary(canary)) for canary in canaries(large=self._gpu))
        if self._emulated is None:
            return found
        return dataclasses.replace(found, name=f"emulated-{self._emulated}")

    def _canary(self, canary: Canary) -> Array | str:
        try:
            return run_canary(canary, faithful=self._faithful, fast=self._fast, ops=self._ops)
        except HarnessError as error:  # a GPU without bfloat16, for one
            return f"it cannot be run: {error}"

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
        kept = self._state(state, method, ready)
        threads = sized_threads() if self._fast else nullcontext()
        with mx.stream(self._device), threads:
            cache = self._cache(state)
            for delegate in ready.delegates.values():
                if isinstance(delegate, MLXDelegate):
                    delegate.cache = cache
            return ready.call(inputs, kept, observer, unaccelerated)

    def probe(self, method: str) -> Probe:
        """Look inside a method: its steps, what they make, what changes if one makes another."""
        ready = self.prepare(method)
        if self._names is None:
            self._names = read_names(self._loaded())
        return Probe(partial(self.call, method), ready, self._names.get(method, StepNames()))

    def products(self) -> dict[Product, str]:
        """The products of the loaded program that are formed otherwise, each with its name."""
        return {
            (method, step.location): str(step)
            for method, graphs in self._graphs.items()
            if graphs
            for step in self.probe(method).steps
            if step.op in self._ops
        }

    def emulate(self, at: Collection[Product] | None) -> None:
        """Form only these products otherwise from now on; None: all of them."""
        for method in (name for name, graphs in self._graphs.items() if graphs):
            ready = self.prepare(method)
            calls: Any = ready.plan.instructions
            for index, delegate in ready.delegates.items():
                assert isinstance(delegate, MLXDelegate)
                nodes = None if at is None else {
                    (place.chain, place.node)
                    for name, place in at
                    if name == method and calls[place.instruction].delegate == index
                }  # fmt: skip
                delegate.replace_ops(self._ops, nodes)

    def watch(
        self,
        method: str,
        inputs: Sequence[Array],
        *,
        state: str = "default",
        repair: Collection[int] = (),
        given: Given | None = None,
    ) -> tuple[list[Array], list[StepError]]:
        """Run `method` once, and judge each step that it ran on the inputs which that step had.

        Steps whose numbers are in `repair` go on with what they mean, rounded, instead. Values
        that are `given` by another runtime take the place of what is made here, and are judged.
        """
        if given is not None:
            watch = Watch(self._steps(method), given.regime)
            watch.given = given.values
        elif method in self._watches:
            watch = self._watches[method]
        else:
            watch = self._watches[method] = Watch(self._steps(method), self.regime())
        watch.repair = repair
        outputs = self.call(method, inputs, state=state, observer=watch)
        watch.returned(self._plan(method), outputs)
        return outputs, watch.taken()

    def _steps(self, method: str) -> tuple[Step, ...]:
        try:
            return self.probe(method).steps
        except InputError:  # the names are of another export: steps are known by number
            return Probe(partial(self.call, method), self.prepare(method), StepNames()).steps

    def prepare(self, method: str) -> Method:
        """Read a method's weights now; its first call does so otherwise."""
        plan = self._plan(method)
        if method not in self._methods:
            with mx.stream(self._device):
                self._methods[method] = Method.load(self._loaded(), plan, self._delegates(plan))
        return self._methods[method]

    def _delegates(self, plan: Plan) -> dict[int, MLXDelegate]:
        """A plan's delegates, their weights read in and their init chains run."""
        graphs, copies = self._graphs[plan.name], self._fp32_weights.get(plan.name, {})
        refuse_other_backends(plan, graphs)
        where = f"method {plan.name!r}"
        delegates = {
            index: MLXDelegate.load(self._loaded(), graph, where, self._faithful, copies.get(index))
            for index, graph in graphs.items()
        }
        for delegate in delegates.values():
            delegate.replace_ops(self._ops)
        return delegates

    def reset(self, state: str = "default") -> None:
        """Set every mutable buffer of `state` back to its first contents."""
        super().reset(state)
        self._caches.pop(state, None)

    def install_cache(self, config: CacheConfig | None) -> None:
        """Give every state an empty off-graph KV cache of these sizes; None takes it away.

        Programs with ``update_and_attend`` nodes need one. All methods of a state share it, and
        it stays installed when another program is loaded, empty again.
        """
        self._cache_config = config
        self._caches = {}

    def _cache(self, state: str) -> SequenceCache | None:
        if self._cache_config is not None and state not in self._caches:
            self._caches[state] = SequenceCache(self._cache_config)
        return self._caches.get(state)
