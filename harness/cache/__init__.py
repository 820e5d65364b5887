"""The cache: derived files, kept under what they were made from, within a bound.

`store` keeps entries by the facts they were made from; `facts` says which facts differ; `locks`
are the kernel's, gone with the process that held them; `quota` counts, evicts and clears.
"""

from __future__ import annotations

from harness.cache.facts import digest_of, source_facts
from harness.cache.quota import KeptEntry, bound, clear, entries, evict
from harness.cache.store import Entry, borrowed, fetch, find

__all__ = [
    "Entry",
    "KeptEntry",
    "borrowed",
    "bound",
    "clear",
    "digest_of",
    "entries",
    "evict",
    "fetch",
    "find",
    "source_facts",
]
