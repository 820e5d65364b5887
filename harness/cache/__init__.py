"""The cache: derived files, kept under what they were made from, within a bound.

`files` puts a file or a directory in place whole or not at all; `store` keeps entries by the
facts they were made from; `facts` says which facts differ; `locks` are the kernel's, gone with
the process that held them; `room` counts, evicts and clears.
"""

from __future__ import annotations

from harness.cache.facts import digest_of, source_facts
from harness.cache.files import cache_dir, file_digest, replace_directory, replace_file
from harness.cache.room import KeptEntry, bound, clear, entries, evict
from harness.cache.store import Entry, borrowed, fetch, find

__all__ = [
    "Entry",
    "KeptEntry",
    "borrowed",
    "bound",
    "cache_dir",
    "clear",
    "digest_of",
    "entries",
    "evict",
    "fetch",
    "file_digest",
    "find",
    "replace_directory",
    "replace_file",
    "source_facts",
]
