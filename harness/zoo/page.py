"""A sweep as a page of Markdown, and as a few lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.zoo.bugs import bugs
from harness.zoo.sweep import Sweep
from harness.zoo.trial import Result, Verdict

__all__ = ["page", "summary"]

_MOST_WORDS = 150

_HEAD = """# The operator sweep

Small programs of every operator that ExecuTorch's MLX partitioner claims, each lowered as upstream
does (`stock`) and with this harness's corrections (`corrected`), judged in float64 beside torch's
float64 and on the portable executor beside eager, to the bit where a program only casts and moves,
and by each instruction's own meaning. `nox -s zoo` makes this page and
`docs/zoo.json`; `nox -s zoo -- --ops sort,topk` judges some of it, and `--against docs/zoo.json`
says what changed. `voxtral-parity repro --all DIR` writes a report of each bug.

Calls come from torch's OpInfo database and are varied by the operator's schema: types, ranks,
sizes of 1 and 0, broadcasting, negative axes, and each argument with values that are not its
default. Families are forms of several operators that upstream's passes rewrite (`casts`, `norms`)
or whose data are shared.

A program is *right*, or *wrong*, or the file that was made of it *cannot run*: the program itself
refuses, as in upstream's runtime, or cannot be loaded. No correction mends `div` with
`rounding_mode="trunc"` of a bfloat16 tensor by a float32 number: ExecuTorch, not MLX, rounds the
number to bfloat16 before. `add.Scalar` and `sub.Scalar` of bfloat16 are wrong in float64 alone:
torch's own CPU kernel rounds the number, too, so that no report is written. *Cannot be lowered*:
upstream's lowering raises an error. *Outside the delegate*: right, but an operator is left to
ExecuTorch's CPU kernels. *Lacks a kernel*: so it is, and the runtime in the wheel does not have
that kernel, so that it cannot load the program; with torch's operator in its place the program is
right. *Cannot be exported*: `torch.export` raises an error, or no backend could lower it. *Not
judged*: there is no float64 reference, or the executor is at fault. The corrected lowering is not
made again where stock is right and no correction handles one of the operators.
"""


def page(sweep: Sweep) -> str:
    """The whole page."""
    return "\n".join(_lines(sweep)) + "\n"


def summary(sweep: Sweep) -> Iterator[str]:
    """How many programs came out how."""
    for lowering, counts in sweep.counts().items():
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
        yield f"{lowering}: {told}"
    yield f"{len(bugs(sweep))} distinct bugs of the stock lowering"


def _lines(sweep: Sweep) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in sweep.versions.items())
    yield _HEAD
    yield f"{len(sweep.results)} programs, {sweep.date}, {versions}.\n"
    yield "| verdict | stock | corrected |\n|---|---:|---:|"
    counts = sweep.counts()
    for verdict in Verdict:
        yield f"| {verdict} | {counts['stock'][verdict]} | {counts['corrected'][verdict]} |"
    yield "\n## Worse with the corrections\n"
    worse = [r for r in sweep.results if r.corrected.wrong and not r.stock.wrong]
    yield from _table(worse) if worse else ["None."]
    yield "\n## Distinct bugs of the stock lowering\n"
    yield "| bug | programs | example | stock | cured by |\n|---|---:|---|---|---|"
    for bug in bugs(sweep):
        first = bug.first
        cells = (bug.name, str(len(bug.results)), _call(first), _outcome(first.stock), first.cure)
        yield _row(cells)
    yield "\n## Programs that are not right everywhere\n"
    yield "Where several programs of a pattern end alike, one is shown with their number."
    yield ""
    shown = [r for r in sweep.results if r.stock.wrong or r.corrected.wrong]
    yield from _table(shown)
    yield "\n## Outside the delegate, not exported, or not judged\n"
    yield "| operator | programs | verdict | patterns |\n|---|---:|---|---|"
    yield from _others(sweep)
    yield "\n## Right in both lowerings\n"
    right = Counter(
        r.program.target
        for r in sweep.results
        if r.stock.verdict == r.corrected.verdict == Verdict.RIGHT
    )
    yield ", ".join(f"{target} {count}" for target, count in right.items()) + "."
    yield "\n## Claimed, but no program was made\n"
    yield "Operators without semantics in torch, without sample inputs, or without a tensor:\n"
    yield ", ".join(f"`{name}`" for name in sweep.unswept) + "."


def _table(results: list[Result]) -> Iterator[str]:
    yield "| operator | pattern | call | stock | corrected |\n|---|---|---|---|---|"
    groups: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        outcomes = (str(result.stock.verdict), str(result.corrected.verdict))
        key = (result.program.target, result.program.pattern, *outcomes)
        groups.setdefault(key, []).append(result)
    for (target, pattern, *_), group in groups.items():
        first = group[0]
        times = f" ×{len(group)}" if len(group) > 1 else ""
        corrected = _outcome(first.corrected)
        yield _row((target, pattern + times, _call(first), _outcome(first.stock), corrected))


def _others(sweep: Sweep) -> Iterator[str]:
    kinds = (Verdict.OUTSIDE, Verdict.LACKS_KERNEL, Verdict.NOT_EXPORTED, Verdict.NOT_JUDGED)
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in sweep.results:
        for outcome in {result.stock, result.corrected}:
            if outcome.verdict in kinds and not (result.stock.wrong or result.corrected.wrong):
                groups.setdefault((result.program.target, outcome.verdict), []).append(result)
    for (target, verdict), group in groups.items():
        patterns = "; ".join(dict.fromkeys(result.program.pattern for result in group))
        yield _row((target, str(len(group)), verdict, patterns))


def _outcome(outcome: object) -> str:
    verdict, detail = getattr(outcome, "verdict", ""), getattr(outcome, "detail", "")
    return f"{verdict}: {detail}" if detail else str(verdict)


def _call(result: Result) -> str:
    program = result.program
    inputs = ", ".join(f"{n} = {t}" for n, t in zip("abcdefgh", program.inputs, strict=False))
    weights = "".join(f", {n} = {t}" for n, t in zip("pqrstu", program.weights, strict=False))
    return f"`{program.call.replace('torch.ops.', '')}`, {inputs}{weights}"


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(_cell, cells)) + " |"


def _cell(text: str) -> str:
    text = " ".join(text.replace("torch.", "").split())
    text = text if len(text) <= _MOST_WORDS else f"{text[:_MOST_WORDS]} …"
    return text.replace("|", "\\|") + ("`" if text.count("`") % 2 else "")
