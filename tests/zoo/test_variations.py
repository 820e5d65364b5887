"""Programs are made from OpInfo and from the schema, the same each time."""

from __future__ import annotations

from harness.zoo.program import Example, Program, Values
from harness.zoo.samples import claimed, samples
from harness.zoo.variations import programs


def test_patterns_cover_arguments_types_ranks_and_sizes() -> None:
    patterns = {program.pattern for program in programs("aten.sum.dim_IntList", 60)}
    assert {
        "keepdim=True",
        "dim=[-1]",
        "int64",
        "bfloat16",
        "rank 0",
        "rank 4",
        "empty",
    } <= patterns
    patterns = {program.pattern for program in programs("aten.add.Tensor", 60)}
    assert {
        "broadcast",
        "float32 with int64",
        "int64, alpha=2.5",
        "bool with int64",
    } - patterns == {
        "int64, alpha=2.5"  # eager refuses it
    }
    assert "int64, other=2.5" in {p.pattern for p in programs("aten.lt.Scalar", 60)}


def test_the_first_programs_are_of_different_patterns() -> None:
    made = programs("aten.argmax.default", 12)
    assert len({program.pattern for program in made}) == len(made) == 12
    assert made == programs("aten.argmax.default", 12)


def test_where_values_are_equal_no_places_are_asked_for() -> None:
    for program in programs("aten.topk.default", 60):
        assert "randint" not in program.inputs[0]
        assert "sorted=False" not in program.call
        if "int64" in program.inputs[0]:
            (values,) = program.tensors()
            assert len(values.unique()) == values.numel()


def test_calls_of_other_functions_are_heard() -> None:
    indexed = samples("aten.index.Tensor")
    assert any(isinstance(one.arguments["indices"], list) for one in indexed)
    assert samples("aten._softmax.default")


def test_most_claimed_operators_have_programs() -> None:
    aten = [name for name, own in claimed().items() if own]
    assert len(aten) > 200
    assert "aten.sort.default" in aten
    assert not all(claimed().values())  # torch has no semantics for the others


def test_an_example_is_written_as_a_call() -> None:
    example = Example(
        "aten.clamp.default", {"self": Values("int64", (4,), -3, 3), "min": 0.5, "max": None}
    )
    program = Program.of(example, "min=0.5")
    assert program is not None
    assert program.call == "torch.ops.aten.clamp.default(a, 0.5, None)"
    assert program.inputs == ("torch.randint(-3, 4, (4,))",)


def test_an_operator_in_place_changes_a_copy() -> None:
    program = Program.of(Example("aten.abs_.default", {"self": Values("float32", (2,))}), "plain")
    assert program is not None
    assert program.call == "torch.ops.aten.abs_.default(a.clone())"


def test_drawn_values_are_of_their_type_and_range() -> None:
    for dtype in ("float32", "bfloat16", "int32", "bool"):
        program = Program("", "", "a", (Values(dtype, (50,), 1, 3).text(),))
        (x,) = program.tensors()
        assert str(x.dtype) == f"torch.{dtype}"
        assert dtype == "bool" or (x.min() >= 1 and x.max() <= 3)
