"""`voxtral-parity cache`: look at the cache, and clear it."""

from __future__ import annotations

import datetime
from collections import defaultdict
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

from harness.cache import quota
from harness.cli.console import stdout
from harness.cli.options import flag
from harness.errors import HarnessError, InputError

__all__ = ["app"]

app = typer.Typer(help="Derived files kept for reuse: look, and clear.")


@app.callback(invoke_without_command=True)
def show(context: typer.Context) -> None:
    """List what the cache holds."""
    if context.invoked_subcommand is not None:
        return
    kept = quota.entries()
    groups = defaultdict(list)
    for entry in kept:
        brief = entry.record.brief if entry.record else "damaged, will not be used"
        groups[entry.place.kind, brief].append(entry)
    table = Table("kind", "name", "size", "last used", "made from")
    table.columns[2].justify = "right"
    for (kind, brief), group in sorted(groups.items()):
        names = {entry.name for entry in group}
        name = group[0].name if len(names) == 1 else f"{len(group)} entries"
        last = datetime.datetime.fromtimestamp(max(entry.used for entry in group))
        used = "in use" if any(entry.in_use for entry in group) else f"{last:%Y-%m-%d %H:%M}"
        size = decimal(sum(entry.bytes for entry in group))
        table.add_row(kind, escape(name), size, used, escape(brief))
    console = stdout()
    if kept:
        console.print(table)
    total = sum(entry.bytes for entry in kept)
    count = "1 entry" if len(kept) == 1 else f"{len(kept)} entries"
    held = f"{count}, {decimal(total)} of {decimal(quota.bound())} ($VOXTRAL_PARITY_CACHE_BYTES)"
    console.print(f"{held}: {quota.root()}", soft_wrap=True, markup=False)


@app.command()
def clear(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="artifacts, checkpoints, eager, …")
    ] = None,
    everything: Annotated[bool, flag("--all", "Every kind.")] = False,
) -> None:
    """Delete entries of one kind, or all. Exit code 2 if some had to stay, being in use."""
    kinds = sorted({entry.place.kind for entry in quota.entries()})
    if (kind is None) != everything:
        raise InputError(f"name one kind to clear, or --all (kinds here: {_listed(kinds)})")
    if kind is not None and kind not in kinds:
        raise InputError(f"kind must be one of {_listed(kinds)} (got {kind!r})")
    deleted, kept = quota.clear(kind)
    freed = sum(entry.bytes for entry in deleted)
    typer.echo(f"deleted {len(deleted)}, {decimal(freed)}")
    if kept:
        names = ", ".join(sorted({entry.name for entry in kept}))
        raise HarnessError(
            f"{len(kept)} stayed, since another process uses them: {names}; "
            "clear again when it ends"
        )


def _listed(kinds: list[str]) -> str:
    return ", ".join(kinds) or "none: the cache is empty"
