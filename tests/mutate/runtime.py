"""A correct program that runs wrongly: one instruction of the executor computes otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from harness.runtime.portable import interpreter
from harness.runtime.portable.blas import mx
from harness.runtime.portable.slots import Slots
from tests.mutate.bench import Bench, Fault, Trial

__all__ = ["NARROW", "PRODUCTS", "at_instruction", "instruction_faults", "operands"]

Damage = Callable[[Any, Any, Slots], Any]
"""From what an instruction made, the instruction, and the slots it read, to what it makes."""

NARROW = ("bf16", "bf16-4w8w")


def at_instruction(
    kind: str, spot: int, damage: Damage, only: Callable[[int], bool] | None = None
) -> Any:
    """A run that damages what one instruction makes, in the calls that `only` picks.

    `kind` is a node type, or ``"product"`` for a product with a weight, packed or not.
    """

    def run(bench: Bench, method: str) -> Trial:
        names = PRODUCTS if kind == "product" else (kind,)
        name = next(n for n in names if _has(bench, method, n))
        place, _, node, module = bench.node(method, name, spot)
        wrong = _decoded(bench, method)[place]
        op, calls = interpreter.OPS[name], [0]

        def damaged(n: Any, s: Slots) -> Any:
            made = op(n, s)
            if n != wrong:
                return made
            calls[0] += 1
            return made if only is not None and not only(calls[0] - 1) else damage(made, n, s)

        bench.patch.setitem(interpreter.OPS, name, damaged)
        return Trial(bench.on_path(method), node, module)

    return run


PRODUCTS = ("QuantizedMatmulNode", "AddmmNode")


def _has(bench: Bench, method: str, kind: str) -> bool:
    return any(type(node).__name__ == kind for node in bench.graph(method).nodes)


def _decoded(bench: Bench, method: str) -> Sequence[Any]:
    """The main chain as the executor decodes it."""
    from harness.pte.coverage import mlx_graphs
    from harness.pte.program import read_program
    from tests.mutate.bench import method_of

    found = method_of(method)
    program = read_program(bench.artifacts.files[found.artifact].made.path)
    (graph,) = mlx_graphs(program, program.plans[found.entry]).values()
    return graph.chains[graph.main]


# --- what an instruction can do wrong


def _gain(factor: float) -> Damage:
    return lambda y, n, s: (y.astype(mx.float32) * factor).astype(y.dtype)


def _gelu(y: Any, n: Any, s: Slots) -> Any:
    x = s.tensor(n.x).astype(mx.float32)
    return (x * (1 + mx.erf(x / 2**0.5)) / 2).astype(y.dtype)


def _truncated(y: Any, n: Any, s: Slots) -> Any:
    """Rounded towards zero where it should be to nearest."""
    x = s.tensor(n.x).astype(mx.float32)
    exact = x * mx.sigmoid(x)
    bits = exact.view(mx.uint32) & mx.array(0xFFFF0000, mx.uint32)
    return bits.view(mx.float32).astype(y.dtype)


def operands(n: Any, s: Slots) -> tuple[Any, Any]:
    """Both factors of a product, in float32."""
    if type(n).__name__ == "AddmmNode":
        return s.tensor(n.mat1).astype(mx.float32), s.tensor(n.mat2).astype(mx.float32)
    weight = mx.dequantize(
        s.tensor(n.w),
        *(s.tensor(t).astype(mx.float32) for t in (n.scales, n.biases)),
        bits=n.bits,
        group_size=n.group_size,
    )
    return s.tensor(n.x).astype(mx.float32), mx.swapaxes(weight, -1, -2)


def _accumulated(y: Any, n: Any, s: Slots) -> Any:
    """Eight partial sums that are added up in bfloat16."""
    a, b = operands(n, s)
    step = -(-a.shape[-1] // 8)
    total = None
    for start in range(0, a.shape[-1], step):
        part = (a[..., start : start + step] @ b[..., start : start + step, :]).astype(mx.bfloat16)
        total = part if total is None else total + part
    return total.astype(y.dtype)


def _short(y: Any, n: Any, s: Slots) -> Any:
    """The last term of every sum left out."""
    a, b = operands(n, s)
    return (a[..., :-1] @ b[..., :-1, :]).astype(y.dtype)


def _tf32(y: Any, n: Any, s: Slots) -> Any:
    """Factors rounded to the 10 bits of TF32, as some GPUs do unless told not to."""

    def rounded(x: Any) -> Any:
        bits = (x.view(mx.uint32) + mx.array(0x1000, mx.uint32)) & mx.array(0xFFFFE000, mx.uint32)
        return bits.view(mx.float32)

    a, b = operands(n, s)
    return (rounded(a) @ rounded(b)).astype(y.dtype)


def _sdpa(scale: float = 1.0, width: int = 0, causal: bool | None = None) -> Damage:
    """Attention again with another scale, with fewer keys, or without its mask."""

    def damaged(y: Any, n: Any, s: Slots) -> Any:
        q, k, v = (s.tensor(t).astype(mx.float32) for t in (n.q, n.k, n.v))
        mask = None if n.mask is None else s.tensor(n.mask).astype(mx.float32)
        kind = "causal" if (n.causal if causal is None else causal) else mask
        if width:
            v = mx.concatenate([v[..., :-width, :], mx.zeros_like(v[..., -width:, :])], axis=-2)
        made = mx.fast.scaled_dot_product_attention(q, k, v, scale=n.scale * scale, mask=kind)
        return made.astype(y.dtype)

    return damaged


def _rms(factor: float) -> Damage:
    def damaged(y: Any, n: Any, s: Slots) -> Any:
        x, w = s.tensor(n.x), s.tensor(n.weight)
        return mx.fast.rms_norm(x, w, n.eps * factor)

    return damaged


def _rope(y: Any, n: Any, s: Slots) -> Any:
    """Positions rounded to bfloat16: whole from 256 on, but not their angles."""
    x = s.tensor(n.x)
    offset = s.value(n.offset)
    return mx.fast.rope(
        x, n.dims, traditional=n.traditional, base=n.base * 1.1, scale=n.scale, offset=offset
    )


def _one_late(y: Any, n: Any, s: Slots) -> Any:
    """What belongs into one slot of the KV cache is written into the next."""
    target, update = s.tensor(n.dst), s.tensor(n.update)
    start = s.value(n.start)
    if start + update.shape[2] >= target.shape[2]:
        return y
    moved = mx.array(target)
    moved[:, :, start + 1 : start + 1 + update.shape[2]] = update
    return moved


def _not_written(y: Any, n: Any, s: Slots) -> Any:
    """A single step leaves the KV cache as it was: stale."""
    return s.tensor(n.dst) if s.tensor(n.update).shape[2] == 1 else y


def _nan(y: Any, n: Any, s: Slots) -> Any:
    flat = mx.array(y).reshape(-1)
    flat[flat.size // 2] = float("nan")
    return flat.reshape(y.shape)


def _noise(y: Any, n: Any, s: Slots) -> Any:
    """Noise 46 dB below the value's own power, as of a race."""
    draw = np.random.default_rng(0).standard_normal(y.shape).astype(np.float32)
    wide = y.astype(mx.float32)
    return (wide + 5e-3 * mx.sqrt(mx.mean(wide * wide)) * mx.array(draw)).astype(y.dtype)


def _half_lost(y: Any, n: Any, s: Slots) -> Any:
    """The last row is not computed."""
    return mx.concatenate([y[..., :-1, :], mx.zeros_like(y[..., -1:, :])], axis=-2)


LIST: tuple[tuple[str, str, str, int, Damage, Any], ...] = (
    *(
        (method, label, "product", spot, damage, None)
        for method in ("text_decoder", "semantic_head", "predict_velocity", "codec")
        for spot in (0, -1)
        for label, damage in (
            ("gain 0.5 % at a product", _gain(1.005)),
            ("gain −1 % at a product", _gain(0.99)),
            ("a product adds up in bfloat16", _accumulated),
            ("a product without its last term", _short),
            ("noise at −46 dB", _noise),
            ("NaN in one element", _nan),
        )
        if not (method == "semantic_head" and spot)
    ),
    *(
        (method, label, "SiluNode", spot, damage, None)
        for method in ("text_decoder", "predict_velocity", "codec")
        for spot in (0, -1)
        for label, damage in (("silu → gelu", _gelu), ("silu truncates", _truncated))
    ),
    *(
        (method, f"norm eps × {factor:,}", "RMSNormNode", 0, _rms(factor), None)
        for method in ("text_decoder", "predict_velocity", "codec")
        for factor in (10, 10_000)
    ),
    *(
        (method, label, "SdpaNode", spot, damage, None)
        for method, spot in (("text_decoder", 0), ("text_decoder", -1), ("codec", 0), ("codec", 1))
        for label, damage in (
            ("attention scale +1 %", _sdpa(1.01)),
            ("attention scale −1 %", _sdpa(0.99)),
            ("the last key's value is lost", _sdpa(width=1)),
            ("the last query is lost", _half_lost),
        )
    ),
    ("text_decoder", "attention without its mask", "SdpaNode", 0, _sdpa(causal=False), None),
    ("codec", "attention causal without ALiBi", "SdpaNode", 0, _sdpa(causal=True), None),
    ("text_decoder", "rope base +10 %", "RopeNode", 0, _rope, None),
    ("text_decoder", "rope base +10 %", "RopeNode", -1, _rope, None),
    ("text_decoder", "a cache slot late", "SliceUpdateNode", 0, _one_late, None),
    ("text_decoder", "a cache slot late", "SliceUpdateNode", -1, _one_late, None),
    ("text_decoder", "stale cache", "SliceUpdateNode", 0, _not_written, None),
    ("text_decoder", "stale cache", "SliceUpdateNode", -1, _not_written, None),
    ("codec", "convolution gain 0.5 %", "Conv1DNode", 0, _gain(1.005), None),
    ("codec", "convolution gain 0.5 %", "ConvTranspose1DNode", -1, _gain(1.005), None),
    ("codec", "convolution loses its last step", "ConvTranspose1DNode", 0, _half_lost, None),
    ("predict_velocity", "softmax gain 0.5 %", "SoftmaxNode", 0, _gain(1.005), None),
    ("audio_token_embedding", "gain 0.5 % at the sum", "SumNode", 0, _gain(1.005), None),
    ("predict_velocity", "cos gain 0.5 %", "CosNode", 0, _gain(1.005), None),
    *(
        (method, "first call wrong", "product", 0, _gain(1.01), lambda call: call == 0)
        for method in ("text_decoder", "semantic_head", "predict_velocity")
    ),
    *(
        (method, "every tenth call wrong", "product", 0, _gain(1.01), lambda call: call % 10 == 9)
        for method in ("text_decoder", "semantic_head", "predict_velocity")
    ),
)
"""Method, what is wrong, node type, which of them, how, and in which calls."""


def instruction_faults() -> Iterator[Fault]:
    """One instruction that computes something else."""
    for method, label, kind, spot, damage, only in LIST:
        where = f"{kind.removesuffix('Node')}[{spot}]"
        narrow = damage is _truncated
        yield Fault(
            f"{method} run: {label}, {where}", "runtime", method,
            partial(at_instruction(kind, spot, damage, only), method=method),
            NARROW if narrow else ("fp32", *NARROW),
        )  # fmt: skip
    for method in ("text_decoder", "predict_velocity", "codec"):
        yield Fault(
            f"{method} run: TF32 product", "runtime", method,
            partial(at_instruction("product", 0, _tf32), method=method), ("fp32",),
        )  # fmt: skip
