"""Delegation is read from the file: what runs where, and which nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.pte.coverage import delegation


def test_a_delegated_method_lists_its_nodes(exported: Callable[[str], Any]) -> None:
    (method,) = delegation(exported("linear").path)
    assert method.method == "forward"
    assert method.delegates == {"MLXBackend": 1}
    assert method.kernel_calls == ()
    assert method.nodes == 3
    assert method.node_counts == {"AddmmNode": 1, "GeluNode": 1, "TransposeNode": 1}


def test_undelegated_ops_are_listed(exported: Callable[[str], Any]) -> None:
    (method,) = delegation(exported("undelegated").path)
    assert method.delegates == {}
    assert method.nodes == 0
    assert "aten::gelu.out" in method.kernel_calls


def test_quantised_nodes_are_counted(exported: Callable[[str], Any]) -> None:
    (method,) = delegation(exported("quantized").path)
    assert method.node_counts["QuantizedMatmulNode"] == 1
    assert method.node_counts["DequantizeNode"] == 1


def test_constant_methods_have_no_delegate(exported: Callable[[str], Any]) -> None:
    methods = delegation(exported("several").path)
    assert [m.method for m in methods if not m.delegates] == [
        "sample_rate",
        "voice",
        "streaming",
        "guidance",
    ]
