"""Name the wrong nodes in the verdicts of a red run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import closing

from harness.budget import COMMITTED, Budget
from harness.compare import Verdict
from harness.errors import HarnessError
from harness.localize.find import Line, localize_exact, localize_local
from harness.localize.repro import with_repros
from harness.localize.steps import link_of
from harness.localize.taps import localize_tapped
from harness.methods import METHODS, Method
from harness.parity.check import Checked
from harness.parity.request import Request
from harness.reference.models import Models
from harness.report.finding import Localized, named
from harness.runtime.protocol import Watchable
from harness.runtime.select import choose

__all__ = ["explained", "localize"]

Progress = Callable[[str], None]

_METHODS = {method.name: method for method in METHODS}


def localize(
    request: Request,
    line: Line,
    method: Method,
    label: str | None = None,
    *,
    links: tuple[str, ...] = ("exact", "local"),
) -> tuple[Localized, ...]:
    """What is wrong in a method, by the links named; nothing where they hold.

    Parameters
    ----------
    request
        Names the executor.
    line, method, label
        See `harness.localize.find`.
    links
        Which to look along.
    """
    found = [localize_exact(line, method, label)] if "exact" in links else []
    if "local" in links:
        with closing(choose(request.executor, request.require, request.regime)) as executor:
            shows = isinstance(executor, Watchable) or line.plan.lowering != "mlx"
            if shows:
                name = executor.fingerprint.executor
                line.progress(f"loading {method.artifact} on the {name} executor")
                executor.load(line.artifacts.paths[method.artifact])
            find = localize_local if shows else localize_tapped
            found.append(find(line, method, executor, label))
    return tuple(one for one in found if one is not None)


def explained(
    request: Request,
    checked: Checked,
    models: Models,
    progress: Progress = lambda text: None,
    budget: Budget = COMMITTED,
    *,
    repros: bool = False,
) -> Checked:
    """The same run; verdicts on a link that broke say at which node, and whose fault it is.

    So does the first verdict on a method that refuses to run, and on outputs of ExecuTorch's own
    runtime, which shows no values: there taps see which node it is.

    Parameters
    ----------
    request, checked, models
        The run.
    progress, budget
        As of the run.
    repros
        Whether each wrong operator gets a minimal script, which takes some exports.
    """
    line = Line(checked.plan, checked.evidence, checked.artifacts, models, budget, progress)
    verdicts, findings = [], list[Localized]()
    seen: set[tuple[str, str]] = set()
    shows = checked.observation.executor.executor != "native"
    for verdict in checked.verdicts:
        link = link_of(verdict, checked.verdicts, shows=shows)
        broken = link and (verdict.subject, link) not in seen and verdict.subject in _METHODS
        seen.add((verdict.subject, link))
        told, found = _explained(request, line, verdict, link) if broken else (verdict, ())
        verdicts.append(told)
        findings += [with_repros(line, one) for one in found] if repros else found
    return dataclasses.replace(checked, verdicts=tuple(verdicts), findings=tuple(findings))


def _explained(
    request: Request, line: Line, verdict: Verdict, link: str
) -> tuple[Verdict, tuple[Localized, ...]]:
    method = _METHODS[verdict.subject]
    try:
        found = localize(request, line, method, links=(link,))
    except HarnessError as error:  # the verdict stands, whoever can say more or not
        note = f"The node could not be found: {error}"
        return dataclasses.replace(verdict, notes=(*verdict.notes, note)), ()
    return named(verdict, found), found
