"""Keep upstream's known chatter off stderr, and nothing else."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["without_upstream_chatter"]

# What executorch 1.5.1's eager operators log for no fault: `llama.custom_sdpa` on every call,
# before it allocates the ordinary way (a synthesis would print thousands), and the probing of
# the processor on the first one.
_CHATTER = (b"No temp allocator provided", b"[cpuinfo_utils.cpp:")

# Upstream's KV cache uses a name that torch 2.13 is about to drop.
_WARNING = "_check_is_size will be removed"


@contextmanager
def without_upstream_chatter() -> Iterator[None]:
    """Hold back what is written to stderr's descriptor, and pass on all but the known lines."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_WARNING, category=FutureWarning)
        try:
            saved = os.dup(2)
        except OSError:  # no stderr, nothing to keep clean
            yield
            return
        with tempfile.TemporaryFile() as held:
            os.dup2(held.fileno(), 2)
            try:
                yield
            finally:
                os.dup2(saved, 2)
                os.close(saved)
                held.seek(0)
                for line in held:
                    if not any(known in line for known in _CHATTER):
                        os.write(2, line)
