"""Imported once by the process that workers are forked from, so that each starts at once."""

from __future__ import annotations

import contextlib

from harness.errors import HarnessError
from harness.runtime.portable import blas as _blas  # noqa: F401 - before anything imports MLX
from harness.runtime.portable import executor as _executor  # noqa: F401

# What is missing is said by the first worker that needs it.
with contextlib.suppress(HarnessError):
    from harness.conformance.suites import open_utils

    open_utils()
