"""Precisions by name and by their parts."""

from __future__ import annotations

import pytest

from harness.errors import InputError
from harness.methods.precision import PRECISIONS, Precision, parse_precision


def test_what_ships_is_bf16_with_4_bit_linears_and_8_bit_embeddings() -> None:
    shipped = parse_precision("bf16-4w8w")

    assert (shipped.float_type, shipped.quantized) == ("bfloat16", True)
    assert (shipped.qlinear, shipped.qlinear_group_size) == ("4w", 32)
    assert (shipped.qembedding, shipped.qembedding_group_size) == ("8w", 128)
    assert shipped.decoder_qlinear_scope == "all"


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_named_precision_keeps_its_name(name: str) -> None:
    assert parse_precision(name).name == name


def test_parts_that_make_a_named_precision_are_that_precision() -> None:
    parts = parse_precision("bf16", qlinear="4w", qembedding="8w", qembedding_group_size=128)

    assert parts == PRECISIONS["bf16-4w8w"]


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"qlinear": "8w"}, "bf16-linear8wrow"),
        ({"qlinear": "4w", "qlinear_group_size": 64}, "bf16-linear4wg64"),
        (
            {"qlinear": "4w", "decoder_qlinear_scope": "attention", "qembedding": "4w"},
            "bf16-linear4wg32-decoder_attention-embedding4wg32",
        ),
    ],
)
def test_other_parts_spell_themselves_out(options: dict, name: str) -> None:
    assert parse_precision("bf16", **options).name == name


def test_an_option_replaces_the_named_precisions_own() -> None:
    changed = parse_precision("bf16-4w8w", qlinear="8w")

    assert (changed.qlinear, changed.qlinear_group_size) == ("8w", 0)
    assert (changed.qembedding, changed.qembedding_group_size) == ("8w", 128)


@pytest.mark.parametrize(
    ("precision", "allowance"),
    [
        (Precision("fp32"), "fp32"),
        (Precision("bf16"), "bf16"),
        (Precision("bf16", qembedding="4w"), "bf16-4w8w"),
        (Precision("fp32", qlinear="8w"), "fp32-4w8w"),
    ],
)
def test_rounding_picks_the_allowance(precision: Precision, allowance: str) -> None:
    assert precision.allowance == allowance


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bf17", {}, r"precision must be one of fp32, bf16, bf16-4w8w \(got 'bf17'\)"),
        ("bf16", {"qlinear": "8da4w"}, r"qlinear must be one of 4w, 8w \(got '8da4w'\)"),
        ("bf16", {"qlinear": "4w", "qlinear_group_size": -32}, r"must be 0 or more \(got -32\)"),
        ("bf16", {"qlinear_group_size": 32}, "qlinear-group-size needs qlinear"),
        ("bf16", {"decoder_qlinear_scope": "none"}, "decoder-qlinear-scope needs qlinear"),
        (
            "bf16-4w8w",
            {"decoder_qlinear_scope": "mlp"},
            r"must be one of all, attention, feed_forward, none \(got 'mlp'\)",
        ),
    ],
)
def test_what_is_no_precision_is_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_precision(name, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"qlinear": "4w", "qlinear_group_size": 16}, r"qlinear.*a multiple of 32.*\(got 16\)"),
        ({"qlinear": "8w", "qlinear_group_size": 48}, r"qlinear.*a multiple of 32.*\(got 48\)"),
        ({"qembedding": "4w", "qembedding_group_size": 8}, r"qembedding.*of 16.*\(got 8\)"),
    ],
)
def test_groups_without_a_kernel_are_refused_for_mlx_alone(options: dict, message: str) -> None:
    precision = parse_precision("bf16", **options)

    with pytest.raises(InputError, match=message):
        precision.check_for_mlx()


@pytest.mark.parametrize("group", [0, 32, 64, 96, 128, 256])
def test_groups_that_mlx_can_cut_are_its_own(group: int) -> None:
    Precision("bf16", qlinear="4w", qlinear_group_size=group).check_for_mlx()
