"""The cache: derived files, kept under what they were made from, within a bound.

`store` keeps entries by the facts they were made from; `sources` collects the facts that many
share; `facts` says which differ; `locks` are the kernel's, gone with the process that held them;
`quota` counts, evicts and clears; `memo` remembers what was found in a large file.
"""

from __future__ import annotations

from harness.cache.facts import digest_of
from harness.cache.memo import remembered
from harness.cache.quota import bound, clear, entries, evict
from harness.cache.sources import closure, maker
from harness.cache.store import Entry, Recipe, borrowed, fetch, find, hold, read_or_make

__all__ = [
    "Entry",
    "Recipe",
    "borrowed",
    "bound",
    "clear",
    "closure",
    "digest_of",
    "entries",
    "evict",
    "fetch",
    "find",
    "hold",
    "maker",
    "read_or_make",
    "remembered",
]
