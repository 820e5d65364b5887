"""A sweep as a page of Markdown, and as a few lines."""

from __future__ import annotations

from collections.abc import Iterator

from harness.zoo.architectures.architecture import KINDS
from harness.zoo.architectures.sweep import Result, Sweep
from harness.zoo.spread import LOWERINGS
from harness.zoo.trial import Outcome, Verdict

__all__ = ["page", "summary"]

_SHORT = {Verdict.RIGHT: "whole", Verdict.OUTSIDE: "partly", Verdict.WRONG: "**wrong**"}

_HEAD = """# Architectures of transformers

Tiny models of transformers, with weights that numpy's Philox drew, exported by transformers' own
exporter (`ExecutorchConfig(backend="mlx")`), lowered as upstream does (`stock`) and with this
harness's corrections (`corrected`), and judged as any model is ([any-model.md](any-model.md)): the
exported graph beside the module, the program in float64 beside the module in float64, each step of
the portable executor beside its meaning, and each output, caches included, beside eager.

A program is *whole*: right, in one MLX delegate; *partly* delegated: right, with operators on
ExecuTorch's CPU kernels; or **wrong**, with the first wrong node: what *means something else* was
lowered wrongly; what *does not compute what it means* is MLX's kernel, here on a CPU. What was
made *cannot run*: the program itself refuses, as in upstream's runtime, or cannot be loaded.
*Lacks a kernel*: an operator is left to ExecuTorch's CPU kernels, and the runtime in the wheel does
not have that kernel, so that it cannot load the program, in which nothing else was found wrong.
*Cannot be lowered*: the lowering to MLX raises an error, and one without MLX does not. *Cannot be
exported*: transformers or `torch.export` raises an error, or no backend could lower it. *Not
judged*: the harness cannot say. The operator sweep ([zoo.md](zoo.md)) has the same words, but says
*right* for whole and *outside the delegate* for partly.

*Cured by* names, where more comes of the corrected lowering than of stock's, the corrections that
alone do as much, found by trying: none of them can be left out. What each mends is in
[any-model.md](any-model.md).

`nox -s zoo` makes this page and docs/zoo-architectures.json, and says what changed. Positions of
padding are not compared: with every key masked, attention is undefined there. Sliding caches are
kept whole, as the exporter keeps them.
"""


def page(sweep: Sweep) -> str:
    """The whole page."""
    return "\n".join(_lines(sweep)) + "\n"


def summary(sweep: Sweep) -> Iterator[str]:
    """How many programs came out how."""
    for (precision, lowering), counts in sweep.counts().items():
        told = ", ".join(f"{n} {_name(Verdict(v))}" for v, n in counts.most_common())
        yield f"{precision}, {lowering}: {told}"


def _lines(sweep: Sweep) -> Iterator[str]:
    names = {result.program.target for result in sweep.results}
    versions = ", ".join(f"{name} {version}" for name, version in sweep.versions.items())
    yield _HEAD
    yield f"{len(names)} architectures, {len(sweep.results)} programs, {sweep.date}, {versions}.\n"
    counts = sweep.counts()
    columns = " | ".join(", ".join(column) for column in counts)
    yield f"| | {columns} |\n|---|{'---:|' * len(counts)}"
    for verdict in Verdict:
        cells = " | ".join(str(counter[verdict]) for counter in counts.values())
        yield f"| {_name(verdict)} | {cells} |"
    precisions = list(dict.fromkeys(result.program.precision for result in sweep.results))
    for kind in KINDS:
        own = [result for result in sweep.results if result.program.kind == kind]
        if own:
            yield f"\n## {kind.capitalize()}\n"
            yield from _table(own, precisions)
    yield "\n## What is not whole, and why\n"
    yield "| architecture | phase | precision, lowering | outcome |\n|---|---|---|---|"
    yield from _reasons(sweep)


def _table(results: list[Result], precisions: list[str]) -> Iterator[str]:
    columns = " | ".join(f"{p}, {lowering}" for p in precisions for lowering in LOWERINGS)
    yield f"| architecture | phase | {columns} | cured by |"
    yield f"|---|---|{'---|' * 2 * len(precisions)}---|"
    rows: dict[tuple[str, str], dict[str, Result]] = {}
    for result in results:
        program = result.program
        rows.setdefault((program.target, program.phase), {})[program.precision] = result
    for (target, phase), found in rows.items():
        cells = [
            _name(getattr(found[precision], lowering).verdict) if precision in found else ""
            for precision in precisions
            for lowering in LOWERINGS
        ]
        yield f"| {target} | {phase} | {' | '.join(cells)} | {_cures(found)} |"


def _cures(found: dict[str, Result]) -> str:
    """What cures a program; by precision where these differ."""
    told = {
        precision: ", ".join(result.cure) or "not found"
        for precision, result in found.items()
        if result.cured
    }
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{precision}: {names}" for precision, names in told.items())


def _reasons(sweep: Sweep) -> Iterator[str]:
    """One line for each architecture, phase and outcome, with where it is so."""
    groups: dict[tuple[str, str, Outcome], list[str]] = {}
    for result in sweep.results:
        program = result.program
        for lowering in LOWERINGS:
            outcome = getattr(result, lowering)
            if outcome.verdict is not Verdict.RIGHT:
                key = (program.target, program.phase, outcome)
                groups.setdefault(key, []).append(f"{program.precision} {lowering}")
    for (target, phase, outcome), places in groups.items():
        detail = outcome.detail.replace("|", "\\|").replace("<", "&lt;")
        yield f"| {target} | {phase} | {', '.join(places)} | {_name(outcome.verdict)}: {detail} |"


def _name(verdict: Verdict) -> str:
    return _SHORT.get(verdict, str(verdict))
