"""What upstream's lowering to MLX makes of every operator that it claims."""

from harness.zoo.program import Example, Program, Values
from harness.zoo.sweep import Request, Sweep, merged, read_sweep, run

__all__ = ["Example", "Program", "Request", "Sweep", "Values", "merged", "read_sweep", "run"]
