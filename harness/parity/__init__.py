"""The line: plan → evidence → artifacts → observation → verdicts.

`plan`        what is judged, resolved to facts; `request` what was asked
`record`      Plan → `evidence`: what eager did
`artifacts`   Plan → the two `.pte`, exported or given, and what they say
`observe`     Plan, Evidence, Artifacts → `observation`: what an executor did
`judge`       all of them → Verdicts, by pure functions in `judges`
`check`       the whole line, and its report
`archive`     any of these values as a file

`matrix`, `measure`, `speaking` and `runner` use the same values.
"""

from __future__ import annotations

from harness.parity.check import Checked, check, report
from harness.parity.request import Request

__all__ = ["Checked", "Request", "check", "report"]
