"""Lowering in less time sees the same operators as stock, and leaves torch as it was."""

from __future__ import annotations

import collections.abc

import pytest
import torch
import torch._export.utils as utils
import torch.export.exported_program as programs

from harness.export.patching import listed_once


def test_what_is_listed_once_is_what_stock_lists() -> None:
    stock = programs._collect_all_valid_cia_ops
    before = stock()
    with listed_once():
        assert programs._collect_all_valid_cia_ops() == before
        with torch.library._scoped_library("parity_test", "DEF") as library:
            library.define("late(Tensor x) -> Tensor")
            library.impl("late", lambda x: x + 1, "CompositeImplicitAutograd")
            found = programs._collect_all_valid_cia_ops()
            assert {op.name() for op in found - before} == {"parity_test::late"}
            assert found == stock()
    assert programs._collect_all_valid_cia_ops is stock
    assert torch._ops.Callable is collections.abc.Callable


def test_another_torch_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = programs._collect_all_valid_cia_ops
    monkeypatch.delattr(utils, "_materialize_cpp_cia_ops")
    with listed_once():
        assert programs._collect_all_valid_cia_ops is stock


def test_a_torch_that_spells_its_annotations_otherwise_is_listed_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stock = programs._collect_all_valid_cia_ops
    monkeypatch.delattr(torch._ops, "Callable")
    with listed_once():
        assert programs._collect_all_valid_cia_ops is not stock
    assert not hasattr(torch._ops, "Callable")
