"""Bundles: what one machine packs, another one runs, and a third one judges.

`layout`     the bytes of a zip file of stored members; `manifest` the first of these
`container`  a bundle as a file: written, and read back checked
`contents`   what a bundle holds, as values
`packing`    record, export, and write it all
`observing`  run a bundle; what became of it as a file
`judging`    judge that, with numpy alone
`golden_dir`, `bpte`   the same cases for C++ programs and phones
"""

from __future__ import annotations

from harness.bundle.container import bundle_digest, read_manifest

__all__ = ["bundle_digest", "read_manifest"]
