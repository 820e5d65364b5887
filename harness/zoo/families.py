"""Programs of a few operators each, of the forms that upstream's passes rewrite."""

from __future__ import annotations

import itertools

from harness.zoo.program import Program, Values

__all__ = ["FAMILIES", "families"]


def casts() -> list[Program]:
    """Two casts in a row."""
    made = []
    types = ("float32", "bfloat16", "int64", "int32", "bool")
    for source, inner, outer in itertools.product(("float32", "int64"), types, types):
        if inner in (source, outer):
            continue
        x = Values(source, (2, 3), -3, 4)
        made.append(
            Program(
                "casts",
                f"{source} → {inner} → {outer}",
                f"a.to(torch.{inner}).to(torch.{outer})",
                (x.text(),),
            )
        )
    made.append(
        Program("casts", "bool().float()", "a.bool().float()", (Values("int64", (5,)).text(),))
    )
    drawn = Values("float32", (2, 3), -3, 4).text()
    for inner in ("bfloat16", "float16"):
        back = f"a.to(torch.{inner}).to(torch.float32)"
        made += [
            Program("casts", f"through {inner}, reshaped", f"{back}.reshape(3, 2)", (drawn,)),
            Program("casts", f"through {inner}, turned", f"-{back}.T", (drawn,)),
        ]
    return made


def norms() -> list[Program]:
    """What resembles an RMS norm."""
    x, other = Values("float32", (2, 3, 4)).text(), Values("float32", (2, 3, 4)).text()
    made = []
    for dims, weight in itertools.product(
        ("-1", "1", "(1, 2)", "0"), ((4,), (3, 1), (1,), (2, 3, 4))
    ):
        w = Values("float32", weight, 0, 2).text()
        call = f"self.p * (a * torch.rsqrt(a.pow(2).mean({dims}, keepdim=True) + 1e-5))"
        made.append(Program("norms", f"mean({dims}), weight {weight}", call, (x,), (w,)))
    w = Values("float32", (4,), 0, 2).text()
    for pattern, call in (
        ("square of another", "self.p * (a * torch.rsqrt(b.pow(2).mean(-1, keepdim=True) + 1e-5))"),
        ("great eps", "self.p * (a * torch.rsqrt(a.pow(2).mean(-1, keepdim=True) + 0.5))"),
        ("third power", "self.p * (a * torch.rsqrt(a.pow(4).mean(-1, keepdim=True) + 0.5))"),
        ("without keepdim", "self.p * (a * torch.rsqrt(a.pow(2).mean(-1)[..., None] + 1e-5))"),
    ):
        inputs = (x, other) if "b." in call else (x,)
        made.append(Program("norms", pattern, call, inputs, (w,)))
    return made + _norms_without_eps()


def _norms_without_eps() -> list[Program]:
    """The norm that torch itself has, with its own eps, on numbers that are not great beside it."""
    made = []
    for dtype, shape, weight in itertools.product(
        ("float32", "bfloat16"), ((2, 8), (2, 3, 8)), (True, False)
    ):
        x = f"({Values(dtype, shape).text()}) * 0.01"
        w = Values(dtype, (8,), 0, 2).text()
        given = ", self.p" if weight else ""
        made.append(
            Program(
                "norms",
                f"eps of None, {dtype}, rank {len(shape)}{', weight' if weight else ''}",
                f"torch.nn.functional.rms_norm(a, (8,){given})",
                (x,),
                (w,) if weight else (),
            )
        )
    return made


def shared() -> list[Program]:
    """One parameter used twice."""
    image, square = Values("float32", (1, 3, 8)).text(), Values("float32", (3, 3, 3)).text()
    x, matrix = Values("float32", (3, 3)).text(), Values("float32", (3, 3)).text()
    outside, linear = "torch.nn.functional.elu", "torch.nn.functional.linear"
    first = f"{outside}({linear}(a, self.p))"
    return [
        Program(
            "shared", "conv1d and conv_transpose1d",
            "torch.conv1d(a, self.p) + torch.conv_transpose1d(a, self.p)[..., 2:-2]",
            (image,), (square,),
        ),
        Program(
            "shared", "two linears", "torch.nn.functional.linear("
            "torch.nn.functional.linear(a, self.p), self.p)", (x,), (matrix,),
        ),
        Program("shared", "weight and its transpose", "(a @ self.p) @ self.p.t()", (x,), (matrix,)),
        Program(
            "shared", "linear and embedding",
            "torch.nn.functional.linear(self.p[b], self.p) + a", (x, "torch.tensor([0, 2, 1])"),
            (matrix,),
        ),
        Program("shared", "across a partition", f"{outside}(a @ self.p) @ self.p", (x,), (matrix,)),
        Program(
            "shared", "within and outside", f"(a @ self.p) + {outside}(self.p)", (x,), (matrix,)
        ),
        Program(
            "shared", "twice across a partition", f"{linear}({first}, self.p) + a @ self.p",
            (x,), (matrix,),
        ),
        Program(
            "shared", "in two delegates, twice in one", f"({first} @ self.p) * self.p + a @ self.p",
            (x,), (matrix,),
        ),
    ]  # fmt: skip


def arguments() -> list[Program]:
    """Inputs that are no tensors: what they are is traced."""
    x = Values("float32", (2, 3)).text()
    return [
        Program("arguments", pattern, call, (x, given))
        for pattern, call, given in (
            ("None", "a + 1 if b is None else a + b", "None"),
            ("a bool", "a + 1 if b else a - 1", "True"),
            ("a whole number", "a + b", "3"),
            ("a fraction", "a * b", "2.5"),
        )
    ]


def indices() -> list[Program]:
    """Advanced indices, adjacent and apart, of several ranks."""
    cube = Values("float32", (3, 4, 5, 2)).text()
    square, line = Values("float32", (3, 4)).text(), Values("float32", (5,)).text()
    one, two = "torch.tensor([0, 2])", "torch.tensor([1, 1])"
    flat, grid = "torch.tensor([2, 0, 1])", "torch.tensor([[0, 1], [2, 0]])"
    made = [
        Program("indices", pattern, call, (cube, one, two))
        for pattern, call in (
            ("at the front", "a[b, c]"),
            ("adjacent", "a[:, b, c]"),
            ("adjacent at the end", "a[:, :, b, c]"),
            ("apart", "a[b, :, c]"),
            ("broadcast", "a[:, b[:, None], c]"),
            ("negative", "a[:, b - 2, c]"),
            ("three", "a[b, c, b]"),
        )
    ]
    for pattern, x, index in (
        ("1-D of 1-D", line, flat), ("1-D of 2-D", square, flat), ("2-D of 2-D", square, grid),
        ("2-D of 1-D", line, grid), ("0-D of 2-D", square, "torch.tensor(1)"),
    ):  # fmt: skip
        made.append(Program("indices", pattern, "a[b]", (x, index)))
    return made


def scalars() -> list[Program]:
    """Python scalars of several types beside one another, None and bool as keyword arguments."""
    x, whole = Values("float32", (2, 3)).text(), Values("int64", (2, 3), 0, 5).text()
    mask, half = Values("bool", (3,)).text(), Values("bfloat16", (2, 3)).text()
    return [
        Program("scalars", pattern, call, inputs)
        for pattern, call, inputs in (
            ("2 and 2.0", "(a + 2, b + 2)", (x, whole)),
            ("1.0 and 1", "(a * 1.0, b * 1, b // 1)", (x, whole)),
            ("fraction of an integer", "a * 0.5", (whole,)),
            ("integer to a fraction's power", "a ** 0.5", (whole,)),
            ("whole division", "(a // 2) * 2", (whole,)),
            ("remainder of negatives", "(a - 3) % 2", (whole,)),
            ("full of bool", "torch.full((3,), True) & a", (mask,)),
            ("a fraction added to whole numbers", "(a + 2.5, 0.5 - a)", (whole,)),
            ("a fraction beside whole numbers", "(a * 0.1, a / 4)", (whole,)),
            ("a whole number beside truth values", "(a + 2, a * 3)", (mask,)),
            ("a great whole number", "torch.full((3,), 16777217) + a", (mask,)),
            ("full of whole numbers", "torch.full((2, 3), 7) // 2 + a", (whole,)),
            ("a fraction beside bfloat16", "(a * 0.1 + 0.3) / 0.7 - 0.1", (half,)),
            ("arange of fractions", "torch.arange(0, 1, 0.25) + a[:1, :1].sum()", (x,)),
            ("where of scalars", "torch.where(a > 0, 1.5, 0)", (x,)),
            ("argmax with a None", "torch.ops.aten.argmax.default(a, None, True)", (x,)),
            ("sum of a type", "a.sum(-1, dtype=torch.float32)", (whole,)),
            ("masked_fill", "a.masked_fill(b, float('-inf'))", ("torch.rand((2, 3))", mask)),
            ("row written", "torch.index_fill(a, 1, torch.tensor([0]), float('-inf'))", (x,)),
        )
    ]


FAMILIES = {
    "casts": casts, "norms": norms, "shared": shared, "arguments": arguments, "indices": indices,
    "scalars": scalars,
}  # fmt: skip


def families() -> list[Program]:
    """Every program of every family."""
    return [program for make in FAMILIES.values() for program in make()]
