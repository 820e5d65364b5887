"""ExecuTorch's own runtime, in a child process.

`executor`  NativeExecutor: the Executor protocol, as seen by the rest of the harness
`machine`   whether this machine's runtime has the MLX backend, and what the machine is
`child`     starts, times, ends and explains the death of the child process
`channel`   the messages between the two: a JSON header and raw array bytes
`worker`    what runs in the child; the only module here that imports torch and ExecuTorch
"""

from harness.runtime.native.executor import NativeExecutor
from harness.runtime.native.machine import available, why_not

__all__ = ["NativeExecutor", "available", "why_not"]
