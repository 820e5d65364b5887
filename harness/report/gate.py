"""The gate of CI: green only if every result that was asked for is there, of this run, and green.

The job that packs bundles writes down what is expected: which bundle, by its digest, on which
executor, of which commit. The gate holds the results against that and against what every job
ended with. Whatever is missing, empty, damaged, of another bundle or commit, or older than the
bundle is an unjudged verdict, so the gate is red without it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.compare import Status, Verdict
from harness.errors import HarnessError, InputError, in_a_sentence
from harness.files import read_file, replace_file
from harness.report.jsonfile import from_json
from harness.report.model import Report
from harness.values import decode, encode

__all__ = ["RESULT", "Expectation", "Expected", "judge_jobs", "judge_results", "read_expectation"]

_SCHEMA = "1"

_SKEW = datetime.timedelta(minutes=5)
"""By how much the clocks of two machines may differ."""

_SHARED = ("exact", "tensor", "waveform", "pcm", "codes", "delegation")
"""Kinds of verdict that every executor's result has."""

RESULT = "result.json"
"""Name of a result's file: the report of ``bundle run --json``."""

SUBJECT = "gate"


@dataclass(frozen=True)
class Expected:
    """One result that must be there.

    Attributes
    ----------
    bundle, sha256
        Name of the bundle's file, and its digest in hex.
    executor
        What must have run it.
    methods
        Those which it holds.
    """

    bundle: str
    sha256: str
    executor: str
    methods: tuple[str, ...]

    @property
    def label(self) -> str:
        """For a verdict."""
        return f"{self.bundle} on {self.executor}"


@dataclass(frozen=True)
class Expectation:
    """What one run of CI must bring.

    Attributes
    ----------
    commit
        The one that is judged.
    packed
        When the bundles were packed: UTC, ISO 8601.
    results
        One for each bundle and executor.
    """

    commit: str
    packed: str
    results: tuple[Expected, ...]
    schema: str = _SCHEMA

    def write(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        with replace_file(path) as scratch:
            scratch.write_text(json.dumps(encode(self), indent=1) + "\n", encoding="utf-8")


def read_expectation(path: Path) -> Expectation:
    """Read what `Expectation.write` wrote; raises `InputError` for anything else."""
    text = read_file(path, "expectation").decode("utf-8", "replace")
    try:
        found: Expectation = decode(json.loads(text), Expectation)
        if found.schema != _SCHEMA:
            raise ValueError(f"expected schema {_SCHEMA!r}, got {found.schema!r:.40}")
        _time(found.packed)
        if not found.results:
            raise ValueError("it expects no result")
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} does not say which results are expected: {in_a_sentence(error)}; "
            "`voxtral-parity gate expect` writes it"
        ) from None
    return found


def judge_jobs(
    needs: Mapping[str, Mapping[str, object]], advisory: Iterable[str], off: Iterable[str]
) -> tuple[Verdict, ...]:
    """One verdict a job, by what it ended with.

    Parameters
    ----------
    needs
        GitHub's context ``needs``: for each job at least its ``result``.
    advisory, off
        Jobs whose end does not count, and jobs that a person has switched off.
    """
    found = []
    unknown = (set(advisory) | set(off)) - set(needs)
    if unknown:
        raise InputError(f"no job is called {sorted(unknown)[0]} (needed: {', '.join(needs)})")
    for name, job in needs.items():
        result = str(job.get("result", "missing"))
        case = f"job {name}"
        if name in off and result == "skipped":
            status, said = Status.PASS, "switched off by a variable of the repository"
        elif result == "success":
            status, said = Status.PASS, "success"
        elif name in advisory:
            status, said = Status.PASS, f"{result}; it is advisory"
        elif result == "failure":
            status, said = Status.FAIL, "the job failed; its own log says why"
        else:
            status = Status.UNJUDGED
            said = f"the job ended as {result}; run it again, or see what it waits for"
        found.append(Verdict(SUBJECT, case, "job", status, said, elements=1))
    return tuple(found)


def judge_results(
    expectation: Expectation,
    commit: str,
    directory: Path,
    now: datetime.datetime,
    version: str,
) -> tuple[Verdict, ...]:
    """One verdict for each expected result, and one for each file that is none of these.

    Parameters
    ----------
    expectation
        What must be there.
    commit
        The commit that the gate judges.
    directory
        Where the results are: files called `RESULT`, at any depth.
    now
        In UTC.
    version
        Of voxtral-parity; results of another one do not count.
    """
    if expectation.commit != commit:
        said = f"the bundles are of commit {expectation.commit:.40}, the gate of {commit:.40}"
        return (_unjudged("bundles", f"{said}; pack them again"),)
    found, reports = [], {}
    for path in sorted(directory.rglob(RESULT)):
        name = path.relative_to(directory).as_posix()
        try:
            reports[name] = from_json(read_file(path, "report").decode("utf-8", "replace"))
        except HarnessError as error:
            found.append(_unjudged(name, in_a_sentence(error)))
    wanted = {(item.sha256, item.executor): item for item in expectation.results}
    of: dict[Expected, dict[str, Report]] = {item: {} for item in expectation.results}
    for name, report in reports.items():
        digest = report.bundle.sha256 if report.bundle else ""
        item = wanted.get((digest, report.executor.executor))
        if item is not None and not report.executor.virtual:
            of[item][name] = report
        elif digest not in {item.sha256 for item in expectation.results}:
            told = f"bundle {digest:.12}…" if digest else "no bundle"
            said = f"a result of {told}, which this run did not pack; it says nothing of this run"
            found.append(_unjudged(name, said))
    for item, results in of.items():
        others = [r for o, r in of.items() if o.sha256 == item.sha256 and o != item]
        beside = [report for result in others for report in result.values()]
        found.append(_judge(expectation, item, results, beside, (now, version)))
    return tuple(found)


def _judge(
    expectation: Expectation,
    item: Expected,
    results: Mapping[str, Report],
    beside: Sequence[Report],
    at: tuple[datetime.datetime, str],
) -> Verdict:
    """One expected result; `beside` are those of other executors on the same bundle."""
    if len(results) != 1:
        told = f"{len(results)} results, expected one: {', '.join(results)}" if results else (
            "no result; the job that runs it did not upload one"
        )  # fmt: skip
        return _unjudged(item.label, told)
    ((name, report),) = results.items()
    reason = _void(expectation, item, report, at)
    if reason is None:
        missing = [case for other in beside for case in _cases(other) - _cases(report)]
        if missing:
            named = " · ".join(sorted(missing)[0][:2])
            reason = f"it lacks {len(missing)} verdicts that another executor has, {named} first"
    if reason is not None:
        return _unjudged(item.label, f"{name}: {reason}")
    worst = [verdict for verdict in report.verdicts if verdict.status is not Status.PASS]
    if not worst:
        said = f"{len(report.verdicts)} verdicts passed on {report.executor.device}"
        return Verdict(
            SUBJECT, item.label, "result", Status.PASS, said, elements=len(report.verdicts)
        )
    failed = [verdict for verdict in worst if verdict.status is Status.FAIL]
    first = (failed or worst)[0]
    kind = "failed" if failed else "could not be judged"
    return Verdict(
        SUBJECT,
        item.label,
        "result",
        Status.FAIL if failed else Status.UNJUDGED,
        f"{len(failed or worst)} of {len(report.verdicts)} verdicts {kind}, first "
        f"{first.subject} · {first.case}: {first.summary}",
        notes=(f"{name} has the whole report.",),
    )


def _void(
    expectation: Expectation, item: Expected, report: Report, here: tuple[datetime.datetime, str]
) -> str | None:
    """Why a result does not count; None if it does."""
    now, version = here
    assert report.bundle is not None
    if report.bundle.commit != expectation.commit:
        return f"it is of commit {report.bundle.commit or 'none':.40}"
    packed = _time(expectation.packed)
    made = ("made", report.tool_version, report.started)
    ran = ("observed", report.bundle.observed_by, report.bundle.observed)
    for what, by, at in (made, ran):  # a judgement of today may be of what ran long ago
        try:
            then = _time(at)
        except ValueError:
            return f"it does not say when it was {what} (got {at!r:.40})"
        if by != version:
            return f"it was {what} by voxtral-parity {by or 'unknown':.40}, this is {version}"
        if then < packed - _SKEW:
            return f"it was {what} at {at}, before the bundle ({expectation.packed})"
        if then > now + _SKEW:
            return f"it was {what} at {at}, which is not yet"
    if not any(verdict.kind == "control" for verdict in report.verdicts):
        return "it has no control, so nothing proves that the delegate ran"
    for method in item.methods:
        mine = {verdict.kind for verdict in report.verdicts if verdict.subject == method}
        if not mine & {"tensor", "waveform"} or "exact" not in mine:
            return f"it does not judge {method}'s outputs"
    return None


def _cases(report: Report) -> set[tuple[str, str, str]]:
    return {(v.subject, v.case, v.kind) for v in report.verdicts if v.kind in _SHARED}


def _time(text: str) -> datetime.datetime:
    found = datetime.datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"expected a time in UTC, got {text!r:.40}")
    return found


def _unjudged(case: str, reason: str) -> Verdict:
    return Verdict(SUBJECT, case, "result", Status.UNJUDGED, reason)
