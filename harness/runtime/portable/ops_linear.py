"""Nodes that multiply: linear layers, quantised ones, convolutions, attention, norms."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from harness.errors import ExecutionError
from harness.runtime.portable.blas import mx
from harness.runtime.portable.ops_index import checked_indices
from harness.runtime.portable.payload import Node, Vid
from harness.runtime.portable.slots import Slots, mlx_dtype

__all__ = ["OPS"]

# Rows up to which MLX's packed kernel beats unpacking the weight first; measured at 3072x3072,
# 4 bits, 2 cores: 15 against 80 ms for 1 row, 62 against 110 ms for 4, 150 against 93 ms for 16.
_MOST_ROWS_PACKED = 8


def _addmm(n: Node, s: Slots) -> Any:
    a, b = s.tensor(n.mat1), s.tensor(n.mat2)
    if n.bias is None:
        # Upstream applies alpha only together with a bias.
        return mx.matmul(a, b)
    return mx.addmm(s.tensor(n.bias), a, b, alpha=n.alpha, beta=n.beta)


def _packing(n: Node) -> dict[str, Any]:
    """Bits, group and mode of a quantised weight, if MLX has kernels for them."""
    if not 2 <= n.bits <= 8 or n.group_size < 1:
        raise ExecutionError(f"{n.bits} bits in groups of {n.group_size} cannot be unpacked")
    return {"bits": n.bits, "group_size": n.group_size, "mode": n.mode}


def _wide(*tensors: Any) -> list[Any]:
    return [None if t is None else t.astype(mx.float32) for t in tensors]


def _quantized_matmul(n: Node, s: Slots) -> Any:
    """Multiply x by dequantised w, accumulating in float32 as Metal does, unless `faithful`.

    MLX's CPU kernel accumulates in the type of x: 9 % error in bfloat16 at 3072 terms.
    """
    x, w, scales, biases = s.tensor(n.x), s.tensor(n.w), s.tensor(n.scales), s.optional(n.biases)
    packing = _packing(n)
    if s.faithful or n.mode != "affine":
        return mx.quantized_matmul(x, w, scales, biases, transpose=n.transpose, **packing)
    wide, scales, biases = _wide(x, scales, biases)
    if x.size > _MOST_ROWS_PACKED * x.shape[-1]:
        weight = mx.dequantize(w, scales, biases, **packing)
        result = wide @ (mx.swapaxes(weight, -1, -2) if n.transpose else weight)
    else:
        result = mx.quantized_matmul(wide, w, scales, biases, transpose=n.transpose, **packing)
    return result.astype(x.dtype)


def _dequantize(n: Node, s: Slots) -> Any:
    return mx.dequantize(
        s.tensor(n.w),
        s.tensor(n.scales),
        s.optional(n.biases),
        global_scale=s.optional(n.global_scale),
        dtype=None if n.dtype is None else mlx_dtype(n.dtype),
        **_packing(n),
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


def _gather_mm(n: Node, s: Slots) -> Any:
    a, b = s.tensor(n.a), s.tensor(n.b)
    return mx.gather_mm(a, b, **_experts(n, s, a, b))


def _gather_qmm(n: Node, s: Slots) -> Any:
    """`_quantized_matmul` for stacks of matrices."""
    x, w, scales, biases = s.tensor(n.x), s.tensor(n.w), s.tensor(n.scales), s.optional(n.biases)
    options = {"transpose": n.transpose, **_packing(n), **_experts(n, s, x, w)}
    if s.faithful or n.mode != "affine":
        return mx.gather_qmm(x, w, scales, biases, **options)
    wide, scales, biases = _wide(x, scales, biases)
    return mx.gather_qmm(wide, w, scales, biases, **options).astype(x.dtype)


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
        return function(s.tensor(n.x), s.tensor(n.w), groups=n.groups, **options)

    return op


def _sdpa(n: Node, s: Slots) -> Any:
    q, k, v = s.tensor(n.q), s.tensor(n.k), s.tensor(n.v)
    mask = s.optional(n.mask)
    if n.causal and mask is not None:
        raise ExecutionError("attention has both a causal mode and a mask, which native refuses")
    if mask is not None and mask.dtype not in (mx.bool_, q.dtype):
        mask = mask.astype(q.dtype)
    return mx.fast.scaled_dot_product_attention(
        q, k, v, scale=n.scale, mask="causal" if n.causal else mask
    )


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


def _rms_norm(n: Node, s: Slots) -> Any:
    return mx.fast.rms_norm(s.tensor(n.x), s.optional(n.weight), n.eps)


def _layer_norm(n: Node, s: Slots) -> Any:
    return mx.fast.layer_norm(s.tensor(n.x), s.optional(n.weight), s.optional(n.bias), n.eps)


OPS: dict[str, Callable[[Node, Slots], Any]] = {
    "AddmmNode": _addmm,
    "Conv1DNode": _conv(mx.conv1d, ""),
    "Conv2DNode": _conv(mx.conv2d, "hw"),
    "Conv3DNode": _conv(mx.conv3d, "dhw"),
    "ConvTranspose1DNode": _conv(mx.conv_transpose1d, "", transposed=True),
    "ConvTranspose2DNode": _conv(mx.conv_transpose2d, "hw", transposed=True),
    "ConvTranspose3DNode": _conv(mx.conv_transpose3d, "dhw", transposed=True),
    "DequantizeNode": _dequantize,
    "GatherMmNode": _gather_mm,
    "GatherQmmNode": _gather_qmm,
    "LayerNormNode": _layer_norm,
    "QuantizedMatmulNode": _quantized_matmul,
    "RMSNormNode": _rms_norm,
    "RopeNode": _rope,
    "SdpaNode": _sdpa,
}
