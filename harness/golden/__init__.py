"""Reviewed statistics of what the codec said, and the codes it said it from.

The files live at the repository's top level as
``golden/<checkpoint>/<method>/<precision>/<regime>.json``; nothing but `bless` writes them.

`store`   a golden and its file: read, list, find those that nothing uses
`judge`   compare a run with its golden
`bless`   make a run the golden, with a reason, while parity with eager is green
`pins`    what eager, and what programs, were seen to compute; `pin` is one case of it
`waiting`, `beside`
          what a run would be blessed as, waiting, and shown beside what is kept
`anchor`  figures that others published of the real weights
"""

from harness.golden.bless import bless
from harness.golden.judge import judge, missing
from harness.golden.store import Golden, GoldenKey, as_codes, default_root, is_name, read

__all__ = [
    "Golden",
    "GoldenKey",
    "as_codes",
    "bless",
    "default_root",
    "is_name",
    "judge",
    "missing",
    "read",
]
