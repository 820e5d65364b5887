"""The pytest plugin, and all that a user of it imports.

    from harness.plugin import Call, Ignored, Model, corrected

A test asks for the fixture `parity`, which needs no import::

    def test_mlp(parity):
        parity(Mlp(), (torch.randn(2, 8),))

`options`   what users type after ``pytest``
`hooks`     what pytest calls
`fixtures`  `parity`, `golden_tensor`, `golden_audio`
`session`   what one run of pytest keeps
`voxtral`   Voxtral's six methods, judged like any model
`goldens`   reviewed statistics beside a test file

Nothing but pytest is imported until a test asks for a fixture.
"""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["Call", "Ignored", "Model", "corrected", "corrections", "judge_model"]

_HOME = {
    "Call": "harness.anymodel.model",
    "Ignored": "harness.anymodel.model",
    "Model": "harness.anymodel.model",
    "judge_model": "harness.anymodel",
    "corrected": "harness.export.corrections",
    "corrections": "harness.export.corrections",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
