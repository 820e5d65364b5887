"""Nodes that multiply: linear layers, quantised ones, convolutions, norms."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from harness.errors import ExecutionError
from harness.pte.payload import Node, Vid
from harness.runtime.portable.blas import mx
from harness.runtime.portable.ops_index import checked_indices
from harness.runtime.portable.products import MULTIPLIES, matmul, multiplications, product, spread
from harness.runtime.portable.slots import Slots
from harness.runtime.portable.tensors import mlx_dtype

__all__ = ["OPS", "OWN_KERNELS", "packing"]

# Rows up to which MLX's packed kernel beats unpacking the weight first; measured at 3072x3072,
# 4 bits, 2 cores: 15 against 80 ms for 1 row, 62 against 110 ms for 4, 150 against 93 ms for 16.
# Its 16-bit kernel against widening the weight first is much the same: 18 ms for 1, 119 for 16.
_MOST_ROWS_PACKED = 8

_NARROW = (mx.bfloat16, mx.float16)


def _addmm(n: Node, s: Slots) -> Any:
    a, b, bias = s.tensor(n.mat1), s.tensor(n.mat2), s.optional(n.bias)
    narrow = a.dtype
    if s.fp32_weights is not None and narrow in _NARROW and narrow == b.dtype and b.ndim == 2:
        weight = s.fp32_weights.get(n, lambda: _laid_out(b))
        if weight is None and a.size > _MOST_ROWS_PACKED * a.shape[-1]:
            weight = b.astype(mx.float32)
        if weight is not None:
            return _sum(n, s, *_float32(a, weight, bias)).astype(narrow)
    return _sum(n, s, a, b, bias)


def _sum(n: Node, s: Slots, a: Any, b: Any, bias: Any) -> Any:
    if bias is None:
        # Upstream applies alpha only together with a bias.
        return matmul(a, b) if s.fp32_weights is None else product(a, b)
    made = mx.addmm(bias, a, b, alpha=n.alpha, beta=n.beta)
    return spread(made, multiplications(a, b), a, b, bias)


def _laid_out(weight: Any) -> Any:
    """A float32 copy in memory, in the order of the transposed weight that exporters store."""
    copy = mx.contiguous(mx.swapaxes(weight, -1, -2).astype(mx.float32))
    mx.eval(copy)
    return mx.swapaxes(copy, -1, -2)


def packing(n: Node) -> dict[str, Any]:
    """Bits, group and mode of a quantised weight, if MLX has kernels for them."""
    if not 2 <= n.bits <= 8 or n.group_size < 1:
        raise ExecutionError(f"{n.bits} bits in groups of {n.group_size} cannot be unpacked")
    return {"bits": n.bits, "group_size": n.group_size, "mode": n.mode}


def _own_quantized_matmul(n: Node, s: Slots) -> Any:
    """Multiply x by packed w with MLX's own kernel, as upstream's interpreter does."""
    x, w, scales, biases = s.tensor(n.x), s.tensor(n.w), s.tensor(n.scales), s.optional(n.biases)
    return mx.quantized_matmul(x, w, scales, biases, transpose=n.transpose, **packing(n))


def _float32(*tensors: Any) -> list[Any]:
    return [None if t is None else t.astype(mx.float32) for t in tensors]


def _quantized_matmul(n: Node, s: Slots) -> Any:
    """Multiply x by dequantised w, accumulating in float32 as Metal does, unless `faithful`.

    MLX's CPU kernel accumulates in the type of x: 9 % error in bfloat16 at 3072 terms.
    """
    if s.faithful or n.mode != "affine":
        return _own_quantized_matmul(n, s)
    x, w, scales, biases = s.tensor(n.x), s.tensor(n.w), s.tensor(n.scales), s.optional(n.biases)
    packed = packing(n)
    narrow = x.dtype
    x, scales, biases = _float32(x, scales, biases)

    def dense() -> Any:
        weight = mx.dequantize(w, scales, biases, **packed)
        return mx.swapaxes(weight, -1, -2) if n.transpose else weight

    def kept() -> Any:
        weight = dense()
        mx.eval(weight)
        return weight

    weight = None if s.fp32_weights is None else s.fp32_weights.get(n, kept)
    if weight is not None:
        result = product(x, weight)
    elif x.size > _MOST_ROWS_PACKED * x.shape[-1]:
        result = matmul(x, dense())
    else:
        result = mx.quantized_matmul(x, w, scales, biases, transpose=n.transpose, **packed)
    return result.astype(narrow)


def _dequantize(n: Node, s: Slots) -> Any:
    return mx.dequantize(
        s.tensor(n.w),
        s.tensor(n.scales),
        s.optional(n.biases),
        global_scale=s.optional(n.global_scale),
        dtype=None if n.dtype is None else mlx_dtype(n.dtype),
        **packing(n),
    )


def _experts(n: Node, s: Slots, left: Any, right: Any) -> dict[str, Any]:
    """Which matrices of two stacks are multiplied, their numbers checked."""
    flag = n.sorted_indices_flag
    return {
        "lhs_indices": _numbers(s.optional(n.lhs_indices), left),
        "rhs_indices": _numbers(s.optional(n.rhs_indices), right),
        "sorted_indices": bool(n.sorted_indices if flag is None else s.integer(flag)),
    }


def _numbers(indices: Any, stack: Any) -> Any:
    return None if indices is None else checked_indices(indices, prod(stack.shape[:-2]), 0)


def _own_gather_mm(n: Node, s: Slots) -> Any:
    a, b = s.tensor(n.a), s.tensor(n.b)
    return mx.gather_mm(a, b, **_experts(n, s, a, b))


def _gather_mm(n: Node, s: Slots) -> Any:
    """Products of chosen matrices; 16-bit ones are widened, which MLX's CPU kernel refuses."""
    a, b = s.tensor(n.a), s.tensor(n.b)
    if s.faithful or a.dtype not in _NARROW or a.dtype != b.dtype:
        return _own_gather_mm(n, s)
    return mx.gather_mm(*_float32(a, b), **_experts(n, s, a, b)).astype(a.dtype)


def _own_gather_qmm(n: Node, s: Slots) -> Any:
    x, w = s.tensor(n.x), s.tensor(n.w)
    options = {"transpose": n.transpose, **packing(n), **_experts(n, s, x, w)}
    return mx.gather_qmm(x, w, s.tensor(n.scales), s.optional(n.biases), **options)


def _gather_qmm(n: Node, s: Slots) -> Any:
    """`_quantized_matmul` for stacks of matrices."""
    if s.faithful or n.mode != "affine":
        return _own_gather_qmm(n, s)
    x, w, scales, biases = s.tensor(n.x), s.tensor(n.w), s.tensor(n.scales), s.optional(n.biases)
    options = {"transpose": n.transpose, **packing(n), **_experts(n, s, x, w)}
    rows, scales, biases = _float32(x, scales, biases)
    return mx.gather_qmm(rows, w, scales, biases, **options).astype(x.dtype)


def _conv(
    function: Callable[..., Any], letters: str, transposed: bool = False
) -> Callable[..., Any]:
    """A convolution whose per-axis fields end in `letters` ("" for the 1-d node)."""
    kinds = ["stride", "padding", "dilation"] + ["output_padding"] * transposed

    def op(n: Node, s: Slots) -> Any:
        options = {
            kind: tuple(getattr(n, f"{kind}_{letter}") for letter in letters)
            if letters
            else getattr(n, kind)
            for kind in kinds
        }
        if n.groups < 1:
            raise ExecutionError(f"a convolution needs at least 1 group (got {n.groups})")
        x, w = s.tensor(n.x), s.tensor(n.w)
        if _overruns(n, x, w, letters, transposed):
            parts = zip(mx.split(x, n.groups, axis=-1), mx.split(w, n.groups, axis=0), strict=True)
            return mx.concatenate([function(*part, **options) for part in parts], axis=-1)
        made = function(x, w, groups=n.groups, **options)
        # An output takes as many multiplications as a filter has weights.
        return spread(made, made.size * w.size // max(1, w.shape[0]), x, w)

    return op


def _overruns(n: Node, x: Any, w: Any, letters: str, transposed: bool) -> bool:
    """Whether MLX 0.32 would write beyond its memory on the CPU.

    A 2-D convolution in groups does where more is padded than there is. One group at a time takes
    another path.
    """
    if letters != "hw" or n.groups == 1 or x.ndim != 4 or w.ndim != 4:
        return False
    if x.shape[-1] % n.groups or w.shape[0] % n.groups:
        return False  # MLX refuses it
    for axis, letter in enumerate(letters, 1):
        size, padded = x.shape[axis], getattr(n, f"padding_{letter}")
        if transposed:
            size = 1 + (size - 1) * getattr(n, f"stride_{letter}")
            padded = getattr(n, f"dilation_{letter}") * (w.shape[axis] - 1) - padded
        if padded > size:
            return True
    return False


_conv1d = _conv(mx.conv1d, "")


def _conv1d_by_product(n: Node, s: Slots) -> Any:
    """One product of every window with the filters, where that is not MLX's own BLAS.

    Shapes: x (batch, length, c_in), w (c_out, taps, c_in).
    """
    x, w = s.tensor(n.x), s.tensor(n.w)
    usual = x.ndim == w.ndim == 3 and x.shape[2] == w.shape[2] and x.dtype == w.dtype
    usual = usual and n.groups == n.dilation == 1 <= n.stride and n.padding >= 0
    length = x.shape[1] + 2 * n.padding if usual else 0
    if not MULTIPLIES or s.fp32_weights is None or not usual or length < w.shape[1]:
        return _conv1d(n, s)
    x, w, dtype = *_float32(x, w), x.dtype
    x = mx.pad(x, [(0, 0), (n.padding, n.padding), (0, 0)])
    count = (length - w.shape[1]) // n.stride + 1
    ends = [tap + (count - 1) * n.stride + 1 for tap in range(w.shape[1])]
    taps = [x[:, tap : end : n.stride] for tap, end in enumerate(ends)]
    windows = mx.concatenate(taps, axis=2)
    flat = w.reshape(w.shape[0], -1)
    return product(windows, mx.swapaxes(flat, 0, 1)).astype(dtype)


_conv_transpose1d = _conv(mx.conv_transpose1d, "", transposed=True)


def _conv_transpose1d_by_product(n: Node, s: Slots) -> Any:
    """One product of every step with every tap, then an overlapping addition.

    MLX's CPU kernel is naive: 2,400 ms against 55 ms for 128 steps of 1024 channels, 4 taps.

    Shapes: x (batch, length, c_in), w (c_out, taps, c_in).
    """
    x, w = s.tensor(n.x), s.tensor(n.w)
    if s.fp32_weights is None or not _is_plain(n, x, w):
        return _conv_transpose1d(n, s)
    batch, length, c_in = x.shape
    c_out, taps, _ = w.shape
    blocks = -(-taps // n.stride)  # a step's taps cover this many strides of the output
    flat = mx.swapaxes(_float32(w)[0].reshape(c_out * taps, c_in), 0, 1)
    made = product(_float32(x)[0], flat)
    made = mx.swapaxes(made.reshape(batch, length, c_out, taps), 2, 3)
    made = mx.pad(made, [(0, 0), (0, 0), (0, blocks * n.stride - taps), (0, 0)])
    made = made.reshape(batch, length, blocks, n.stride * c_out)
    shifted = [
        mx.pad(made[:, :, block], [(0, 0), (block, blocks - 1 - block), (0, 0)])
        for block in range(blocks)
    ]
    whole = sum(shifted[1:], shifted[0]).reshape(batch, -1, c_out)
    end = (length - 1) * n.stride + taps - n.padding + n.output_padding
    whole = mx.pad(whole, [(0, 0), (0, max(0, end - whole.shape[1])), (0, 0)])
    return whole[:, n.padding : end].astype(x.dtype)


def _is_plain(n: Node, x: Any, w: Any) -> bool:
    """Whether the product says the same; what MLX's kernel would refuse is left to it."""
    if x.ndim != 3 or w.ndim != 3 or x.shape[2] != w.shape[2] or x.dtype != w.dtype:
        return False
    end = (x.shape[1] - 1) * n.stride + w.shape[1] + n.output_padding - n.padding
    usual = n.groups == n.dilation == 1 <= n.stride and 0 <= n.padding < min(end, w.shape[1])
    return usual and 0 <= n.output_padding < n.stride


def _rope(n: Node, s: Slots) -> Any:
    freqs = s.optional(n.freqs)
    return mx.fast.rope(
        s.tensor(n.x),
        n.dims,
        traditional=n.traditional,
        base=n.base if freqs is None else None,
        scale=n.scale,
        offset=s.value(n.offset) if isinstance(n.offset, Vid) else s.tensor(n.offset),
        freqs=freqs,
    )


OPS: dict[str, Callable[[Node, Slots], Any]] = {
    "AddmmNode": _addmm,
    "Conv1DNode": _conv1d_by_product,
    "Conv2DNode": _conv(mx.conv2d, "hw"),
    "Conv3DNode": _conv(mx.conv3d, "dhw"),
    "ConvTranspose1DNode": _conv_transpose1d_by_product,
    "ConvTranspose2DNode": _conv(mx.conv_transpose2d, "hw", transposed=True),
    "ConvTranspose3DNode": _conv(mx.conv_transpose3d, "dhw", transposed=True),
    "DequantizeNode": _dequantize,
    "GatherMmNode": _gather_mm,
    "GatherQmmNode": _gather_qmm,
    "LayerNormNode": lambda n, s: mx.fast.layer_norm(
        s.tensor(n.x), s.optional(n.weight), s.optional(n.bias), n.eps
    ),
    "QuantizedMatmulNode": _quantized_matmul,
    "RMSNormNode": lambda n, s: mx.fast.rms_norm(s.tensor(n.x), s.optional(n.weight), n.eps),
    "RopeNode": _rope,
}

OWN_KERNELS: dict[str, Callable[[Node, Slots], Any]] = {
    "GatherMmNode": _own_gather_mm,
    "GatherQmmNode": _own_gather_qmm,
    "QuantizedMatmulNode": _own_quantized_matmul,
}
"""What a GPU runs: kernels that upstream's interpreter calls, where CPUs have others here."""
