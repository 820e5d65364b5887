"""Products, convolutions, attention and norms against plain numpy and torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from harness.errors import ExecutionError
from harness.runtime.portable.blas import mx

Run = Callable[..., Any]


def normal(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def close(got: Any, expected: Any) -> None:
    """Within a few roundings of float32 sums of at most 64 terms."""
    np.testing.assert_allclose(
        np.array(got.astype(mx.float32)), np.asarray(expected), rtol=1e-5, atol=1e-5
    )


def test_addmm_scales_only_with_a_bias(run_node: Run) -> None:
    a, b, bias = normal(2, 3), normal(3, 4), normal(4)
    given = {"mat1": a, "mat2": b, "alpha": 2.0, "beta": 3.0}
    close(run_node("AddmmNode", bias=bias, **given), 2 * a @ b + 3 * bias)
    close(run_node("AddmmNode", **given), a @ b)


@pytest.mark.parametrize(
    ("name", "rank", "groups"),
    [("Conv1DNode", 1, 1), ("Conv1DNode", 1, 2), ("Conv2DNode", 2, 2), ("Conv3DNode", 3, 1)],
)
def test_convolution(run_node: Run, name: str, rank: int, groups: int) -> None:
    x, w = normal(1, *(7, 6, 5)[:rank], 4), normal(6, *(3, 2, 3)[:rank], 4 // groups)
    letters = {1: [""], 2: ["_h", "_w"], 3: ["_d", "_h", "_w"]}[rank]
    numbers = {"stride": (2, 1, 2), "padding": (1, 2, 0), "dilation": (1, 2, 1)}
    fields = {k + c: v[i] for k, v in numbers.items() for i, c in enumerate(letters)}
    got = run_node(name, x=x, w=w, groups=groups, **fields)
    function = (F.conv1d, F.conv2d, F.conv3d)[rank - 1]
    first = (torch.tensor(t).movedim(-1, 1) for t in (x, w))
    options = {k: v[:rank] for k, v in numbers.items()}
    close(got, function(*first, groups=groups, **options).movedim(1, -1))


@pytest.mark.parametrize(
    ("name", "rank"),
    [("ConvTranspose1DNode", 1), ("ConvTranspose2DNode", 2), ("ConvTranspose3DNode", 3)],
)
def test_transposed_convolution(run_node: Run, name: str, rank: int) -> None:
    # MLX keeps the weight as (out, *kernel, in), torch as (in, out, *kernel).
    x, w = normal(1, *(4, 3, 3)[:rank], 4), normal(5, *(4, 3, 2)[:rank], 4)
    letters = {1: [""], 2: ["_h", "_w"], 3: ["_d", "_h", "_w"]}[rank]
    numbers = {"stride": (2, 2, 3), "padding": (1, 0, 1), "output_padding": (1, 0, 2)}
    fields = {k + c: v[i] for k, v in numbers.items() for i, c in enumerate(letters)}
    unit = {f"dilation{c}": 1 for c in letters}
    got = run_node(name, x=x, w=w, groups=1, **fields, **unit)
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[rank - 1]
    weight = torch.tensor(w).movedim(-1, 0)
    options = {k: v[:rank] for k, v in numbers.items()}
    close(got, function(torch.tensor(x).movedim(-1, 1), weight, **options).movedim(1, -1))


SMALL = """
from types import SimpleNamespace
import numpy as np, torch
from torch.nn import functional as F
from harness.runtime.portable.blas import mx
from harness.runtime.portable.interpreter import OPS
mx.set_default_device(mx.cpu)
numbers = dict(stride=1, padding={padding}, dilation=1, output_padding=0)
fields = {{f"{{kind}}_{{axis}}": number for kind, number in numbers.items() for axis in "hw"}}
x, w = (np.random.default_rng(3).normal(size=size).astype(np.float32) for size in {sizes})
node = SimpleNamespace(x=mx.array(x), w=mx.array(w), groups=8, **fields)
first = (torch.tensor(t).movedim(-1, 1) for t in (x, w))
meant = F.{function}(*first, padding={padding}, groups=8).movedim(1, -1)
for _ in range(150):
    made = OPS["{name}"](node, SimpleNamespace(tensor=lambda t: t, fp32_weights=None))
    np.testing.assert_allclose(np.array(made), meant, rtol=1e-5, atol=1e-5)
    others = [np.ones(size) for size in range(1, 200, 7)]
"""


@pytest.mark.parametrize(
    ("name", "function", "sizes", "padding"),
    [
        ("Conv2DNode", "conv2d", ((1, 2, 2, 8), (8, 7, 7, 1)), 3),
        ("ConvTranspose2DNode", "conv_transpose2d", ((1, 1, 1, 8), (8, 5, 5, 1)), 2),
    ],
)
def test_more_padding_than_image_leaves_memory_alone(
    name: str, function: str, sizes: tuple[Any, ...], padding: int
) -> None:
    """MLX 0.32.2 writes beyond its memory: the process dies, or numbers change elsewhere."""
    script = SMALL.format(name=name, function=function, sizes=sizes, padding=padding)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_convolution_without_groups_is_refused(run_node: Run) -> None:
    with pytest.raises(ExecutionError, match="at least 1 group"):
        run_node("Conv1DNode", x=normal(1, 7, 4), w=normal(6, 3, 4), groups=0)


def packed(rows: int, columns: int) -> dict[str, Any]:
    w, scales, biases = mx.quantize(mx.array(normal(rows, columns)), group_size=32, bits=4)
    return {
        "w": w,
        "scales": scales,
        "biases": biases,
        "group_size": 32,
        "bits": 4,
        "mode": "affine",
    }


@pytest.mark.parametrize("count", [1, 8, 9, 20])
def test_quantised_product_is_the_dequantised_product(run_node: Run, count: int) -> None:
    weight, x = packed(16, 64), normal(count, 64)
    dense = np.array(run_node("DequantizeNode", **weight))
    close(run_node("QuantizedMatmulNode", x=x, **weight), x @ dense.T)


def test_quantised_product_untransposed(run_node: Run) -> None:
    weight, x = packed(64, 32), normal(12, 64)
    dense = np.array(run_node("DequantizeNode", **weight))
    close(run_node("QuantizedMatmulNode", x=x, transpose=False, **weight), x @ dense)


@pytest.mark.parametrize("count", [1, 12])
def test_a_bfloat16_product_accumulates_in_float32(run_node: Run, count: int) -> None:
    weight = packed(8, 2048)
    for name in ("scales", "biases"):
        weight[name] = weight[name].astype(mx.bfloat16)
    x = mx.array(normal(count, 2048)).astype(mx.bfloat16)
    wide = {k: v.astype(mx.float32) if k in ("scales", "biases") else v for k, v in weight.items()}
    exact = np.array(x.astype(mx.float32)) @ np.array(run_node("DequantizeNode", **wide)).T
    scale = np.abs(exact).max()

    def error(faithful: bool) -> float:
        got = run_node("QuantizedMatmulNode", x=x, faithful=faithful, **weight)
        assert got.dtype == mx.bfloat16
        return float(np.abs(np.array(got.astype(mx.float32)) - exact).max() / scale)

    assert error(faithful=False) <= 2**-8  # one rounding of the result
    assert error(faithful=True) > 2**-8


@pytest.mark.parametrize("name", ["QuantizedMatmulNode", "DequantizeNode"])
def test_unknown_packing_is_refused(run_node: Run, name: str) -> None:
    with pytest.raises(ExecutionError, match="0 bits in groups of 32"):
        run_node(name, x=normal(1, 64), **{**packed(16, 64), "bits": 0})


def test_gather_mm_chooses_matrices(run_node: Run) -> None:
    a, b, chosen = normal(3, 1, 4), normal(5, 4, 6), np.array([4, 0, 2], np.uint32)
    close(run_node("GatherMmNode", a=a, b=b, rhs_indices=chosen), a @ b[chosen])
    with pytest.raises(ExecutionError, match="indices 0 to 5 leave axis 0 of size 5"):
        run_node("GatherMmNode", a=a, b=b, rhs_indices=np.array([0, 1, 5], np.uint32))


def test_gather_mm_widens_16_bits_unless_faithful(run_node: Run) -> None:
    a, b = (mx.array(normal(*shape)).astype(mx.bfloat16) for shape in ((2, 1, 64), (5, 64, 6)))
    node = {"a": a, "b": b, "rhs_indices": np.array([4, 0], np.uint32)}
    got = run_node("GatherMmNode", **node)
    exact = np.array(a.astype(mx.float32)) @ np.array(b.astype(mx.float32))[[4, 0]]
    assert got.dtype == mx.bfloat16
    rounding = np.abs(np.array(got.astype(mx.float32)) - exact) / np.abs(exact)
    assert rounding.max() < 2**-8  # the result's own, none of the sum's
    with pytest.raises(ExecutionError, match="only supports float32"):
        run_node("GatherMmNode", **node, faithful=True)


def test_gather_qmm_chooses_packed_matrices(run_node: Run) -> None:
    w, scales, biases = mx.quantize(mx.array(normal(3, 8, 64)), group_size=32, bits=4)
    packing = {"group_size": 32, "bits": 4, "mode": "affine"}
    dense = np.array(mx.dequantize(w, scales, biases, **packing))
    x, chosen = normal(2, 1, 64), np.array([2, 0], np.uint32)
    got = run_node(
        "GatherQmmNode", x=x, w=w, scales=scales, biases=biases, rhs_indices=chosen, **packing
    )
    close(got, x @ dense[chosen].transpose(0, 2, 1))


def test_attention_repeats_groups_and_aligns_the_last_query(run_node: Run) -> None:
    q, k, v = normal(1, 4, 3, 8), normal(1, 2, 5, 8, seed=4), normal(1, 2, 5, 8, seed=5)
    mask = torch.ones(3, 5, dtype=torch.bool).tril(2)
    wide = (torch.tensor(t).repeat_interleave(2, 1) for t in (k, v))
    expected = F.scaled_dot_product_attention(torch.tensor(q), *wide, attn_mask=mask, scale=0.3)
    close(run_node("SdpaNode", q=q, k=k, v=v, scale=0.3, causal=True), expected)
    close(run_node("SdpaNode", q=q, k=k, v=v, scale=0.3, mask=mask.numpy()), expected)
    with pytest.raises(ExecutionError, match="both a causal mode and a mask"):
        run_node("SdpaNode", q=q, k=k, v=v, scale=0.3, mask=mask.numpy(), causal=True)


@pytest.mark.parametrize("traditional", [True, False])
def test_rotary_positions(run_node: Run, dynamic: Any, traditional: bool) -> None:
    x = normal(1, 2, 3, 8)
    angles = np.outer(np.arange(3) + 7, 10000.0 ** (-np.arange(0, 8, 2) / 8))
    turn = np.exp(1j * angles)
    if traditional:
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * turn
        expected = np.stack([turned.real, turned.imag], axis=-1).reshape(x.shape)
    else:
        turned = (x[..., :4] + 1j * x[..., 4:]) * turn
        expected = np.concatenate([turned.real, turned.imag], axis=-1)
    given = {"x": x, "dims": 8, "traditional": traditional, "base": 10000.0}
    close(run_node("RopeNode", offset=dynamic(7), **given), expected)
    close(run_node("RopeNode", offset=np.array(7), **given), expected)
    freqs = (10000.0 ** (np.arange(0, 8, 2) / 8)).astype(np.float32)
    close(run_node("RopeNode", offset=dynamic(7), freqs=freqs, **given), expected)


def test_norms(run_node: Run) -> None:
    x, w, b = normal(2, 3, 8), normal(8), normal(8, seed=9)
    t = [torch.tensor(a) for a in (x, w, b)]
    close(run_node("RMSNormNode", x=x, weight=w, eps=1e-5), F.rms_norm(t[0], (8,), t[1], 1e-5))
    close(run_node("RMSNormNode", x=x, eps=1e-2), F.rms_norm(t[0], (8,), None, 1e-2))
    close(
        run_node("LayerNormNode", x=x, weight=w, bias=b, eps=1e-5),
        F.layer_norm(t[0], (8,), *t[1:], 1e-5),
    )
