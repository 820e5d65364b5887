"""What upstream's lowering to MLX makes of every operator that it claims."""

from harness.zoo.bugs import Bug, bugs, bugs_of
from harness.zoo.program import Example, Program, Values
from harness.zoo.sweep import Request, Sweep, merged, read_sweep, run

__all__ = [
    "Bug",
    "Example",
    "Program",
    "Request",
    "Sweep",
    "Values",
    "bugs",
    "bugs_of",
    "merged",
    "read_sweep",
    "run",
]
