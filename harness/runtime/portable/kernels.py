"""Run an operator that no delegate took, through torch's operator of the same name.

A plan names operators as torch does (``aten::add.out``) and lists their arguments in the order of
torch's schema, so the schema is all that is needed. An `out` argument gets a fresh tensor of the
declared type, which is then copied to where the plan wants it: torch may grow it as the runtime
would, and an output that shares bytes with an input is written last.

torch is imported with the first kernel.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.arrays import from_torch, to_torch
from harness.errors import ExecutionError, UnavailableError, UnsupportedError
from harness.pte.dtypes import SCALAR_TYPES
from harness.pte.plan import IntList, KernelCall, Plan, TensorList, TensorValue
from harness.runtime.portable.memory import Memory
from harness.runtime.portable.prims import NUMBERS, view_shape
from harness.runtime.portable.refusals import refusal, short

__all__ = ["Kernel", "find_kernel"]

_REGISTERED_BY = {
    "aten": (),
    "dim_order_ops": ("executorch.exir.passes.dim_order_ops_registry",),
    "llama": ("executorch.extension.llm.custom_ops.custom_ops",),
    "quantized_decomposed": (
        "torch.ao.quantization.fx._decomposed",
        "executorch.exir.passes._quant_patterns_and_replacements",
    ),
}
"""Namespace → modules whose import gives torch its operators."""

_VIEW, _COPY_INDEX = "executorch_prim::et_view.default", "executorch_prim::et_copy_index.tensor"

_SAVES_NOTHING = "aten::_native_batch_norm_legit_no_training.out"
"""Its statistics are empty, as torch has them too, but not where torch only tells shapes."""

# Reads any file that a damaged or hostile program names.
_REFUSED = {"aten::from_file.out"}


@dataclass(frozen=True)
class Kernel:
    """One operator, ready to be called."""

    operator: str  # the plan's name for it
    overload: Any  # torch's operator; None for the runtime's own
    schema: Any  # torch's schema of the name in the plan, which says what its arguments are

    def run(
        self, plan: Plan, call: KernelCall, values: list[Any], memory: Memory
    ) -> tuple[int, ...]:
        """Run once; say which values were written."""
        if self.overload is not None:
            return self._torch(plan, call, values, memory)
        if self.operator == _VIEW:
            return _view(plan, call, values)
        if self.operator == _COPY_INDEX:
            return _copy_index(call, values, memory)
        *given, target = call.args
        values[target] = NUMBERS[self.operator](*(values[index] for index in given))
        return (target,)

    def _torch(
        self, plan: Plan, call: KernelCall, values: list[Any], memory: Memory
    ) -> tuple[int, ...]:
        arguments = self.schema.arguments
        if len(call.args) < len(arguments):
            raise ExecutionError(f"it takes {len(arguments)} arguments (got {len(call.args)})")
        given: dict[str, Any] = {}
        written: list[int] = []
        outs: list[int] = []
        for argument, index in zip(arguments, call.args, strict=False):
            if argument.is_out:
                outs += _targets(plan, index)
                given[argument.name] = _fresh(plan, argument, index)
                continue
            given[argument.name] = _argument(plan, index, values)
            if argument.alias_info is not None and argument.alias_info.is_write:
                written += _targets(plan, index)
        for index in written:
            if not (isinstance(values[index], np.ndarray) and values[index].flags.writeable):
                raise ExecutionError("a constant would be overwritten")
        told = [] if self.operator == _SAVES_NOTHING else _shapes(self.overload, given)
        for index, shape in zip(outs, told, strict=False):
            memory.tensor(index, shape)
        for index, tensor in zip(outs, _called(self.overload, given), strict=False):
            if tensor.dtype != _torch_dtype(plan.values[index]):
                raise ExecutionError(f"it makes {tensor.dtype}, which the plan does not expect")
            target = memory.tensor(index, tuple(tensor.shape))
            np.copyto(target, from_torch(tensor.detach()))
            values[index] = target
        if not outs and written and len(call.args) > len(arguments):
            # An operator that works in place returns what it was given.
            values[call.args[-1]] = values[written[0]]
        return tuple(outs or written)


def find_kernel(name: str) -> Kernel:
    """The operator that a plan calls `name`."""
    if name in NUMBERS or name in (_VIEW, _COPY_INDEX):
        return Kernel(name, None, None)
    unsupported = UnsupportedError(f"not supported here: op {name}")
    namespace, _, rest = name.partition("::")
    packet_name, _, overload_name = rest.partition(".")
    if namespace not in _REGISTERED_BY or name in _REFUSED:
        raise unsupported
    from harness.upstream import quiet

    with quiet():
        import torch

        broken = {module: why for module in _REGISTERED_BY[namespace] if (why := _import(module))}
    packet = getattr(getattr(torch.ops, namespace), packet_name, None)
    if packet is None or (overload_name or "default") not in packet.overloads():
        for module, why in broken.items():
            raise UnavailableError(
                f"op {name} may be in {module}, which cannot be loaded ({why}); install the "
                "executorch wheel that pyproject.toml pins"
            )
        raise unsupported
    found = getattr(packet, overload_name or "default")
    if not found._schema.is_mutable:
        raise UnsupportedError(f"not supported here: op {name} writes none of its arguments")
    # The `out` forms of `llama` want an output of the right size, which only they know.
    own_size = namespace == "llama" and "default" in packet.overloads()
    return Kernel(name, packet.default if own_size else found, found._schema)


def _import(module: str) -> str | None:
    """Import a module for what it registers; say why that fails."""
    try:
        importlib.import_module(module)
    except (ImportError, OSError, AssertionError) as error:
        return short(str(error)) or type(error).__name__
    return None


def _argument(plan: Plan, index: int, values: Sequence[Any]) -> Any:
    declared = plan.values[index]
    if isinstance(declared, IntList):
        numbers = [values[item] for item in declared.items]
        for wrong in (type(number) for number in numbers if not isinstance(number, int)):
            raise ExecutionError(f"a whole number is expected (got {wrong.__name__})")
        return numbers
    if isinstance(declared, TensorList):
        return [None if item == -1 else _tensor(values[item]) for item in declared.items]
    value = values[index]
    if isinstance(value, np.ndarray):
        return _tensor(value)
    if isinstance(declared, TensorValue):
        raise ExecutionError(f"value {index} is read before it was written")
    return list(value) if isinstance(value, tuple) else value


def _targets(plan: Plan, index: int) -> list[int]:
    declared = plan.values[index]
    if isinstance(declared, TensorList):
        return [item for item in declared.items if item != -1]
    return [index]


def _fresh(plan: Plan, argument: Any, index: int) -> Any:
    """Where torch writes an output: of the declared size, or empty where a call decides it."""
    import torch

    def one(declared: Any) -> Any:
        if not isinstance(declared, TensorValue):
            raise ExecutionError("a tensor is made where the plan has none")
        dtype = _torch_dtype(declared)
        if declared.dynamic:
            return torch.empty(0, dtype=dtype)
        order = declared.dim_order
        stored = torch.empty([declared.sizes[axis] for axis in order], dtype=dtype)
        return stored.permute([order.index(axis) for axis in range(len(order))])

    made = [one(plan.values[target]) for target in _targets(plan, index)]
    return made if "List" in str(argument.type) else made[0]


def _called(overload: Any, given: Mapping[str, Any]) -> list[Any]:
    """The tensors that an operator makes of arguments given by name."""
    import torch
    from torch.utils._pytree import tree_leaves

    taken = {argument.name: given[argument.name] for argument in overload._schema.arguments}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = overload(**taken)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # whatever torch says of arguments that a program gives it
            raise refusal(error) from error
    return [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]


def _shapes(overload: Any, given: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """Shapes of what an operator will make, as far as torch knows them without computing.

    The runtime refuses an output that does not fit before it computes; torch would allocate it.
    """
    import torch
    from torch.utils._pytree import tree_map

    def without_data(value: Any) -> Any:
        return value.to("meta") if isinstance(value, torch.Tensor) else value

    try:
        made = _called(overload, tree_map(without_data, dict(given)))
    except ExecutionError:
        return []  # it depends on the data, or is wrong: computing it says so
    return [tuple(tensor.shape) for tensor in made]


def _torch_dtype(declared: Any) -> Any:
    import torch

    return getattr(torch, SCALAR_TYPES[declared.scalar_type].name)


def _tensor(array: Any) -> Any:
    """The same bytes as a torch tensor."""
    if not isinstance(array, np.ndarray):
        raise ExecutionError("a tensor is read before it was written")
    with warnings.catch_warnings():
        # Constants are mapped read-only; what an operator writes is checked before.
        warnings.simplefilter("ignore")
        return to_torch(array)


def _view(plan: Plan, call: KernelCall, values: list[Any]) -> tuple[int, ...]:
    """Give `out` the bytes of `self` in another shape; nothing is copied."""
    source, size, out = call.args
    array, declared = values[source], plan.values[out]
    if not (isinstance(array, np.ndarray) and isinstance(declared, TensorValue)):
        raise ExecutionError("a view needs a tensor")
    if array.dtype != SCALAR_TYPES[declared.scalar_type].numpy:
        raise ExecutionError(f"a view of {array.dtype} cannot be {declared.scalar_type}")
    if not array.flags.c_contiguous:
        raise ExecutionError("a view of a tensor that is not contiguous")
    wanted = _argument(plan, size, values)
    values[out] = array.reshape(view_shape(array.size, wanted))
    return (out,)


def _copy_index(call: KernelCall, values: list[Any], memory: Memory) -> tuple[int, ...]:
    """Write one step's result behind those of the steps before, growing the collection."""
    target, source, number = call.args
    step, index = values[source], values[number]
    if not isinstance(step, np.ndarray) or not isinstance(index, int) or index < 0:
        raise ExecutionError("a loop's step has no result or no number")
    collected = memory.tensor(target, (index + 1, *step.shape))
    if step.dtype != collected.dtype:
        raise ExecutionError(f"a loop collects {collected.dtype}, its step makes {step.dtype}")
    collected[index] = step
    values[target] = collected
    return (target,)
