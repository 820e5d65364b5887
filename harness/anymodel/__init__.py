"""Judge any torch module that ExecuTorch lowers to MLX, as Voxtral's methods are judged.

`model`       what is judged: a module, its calls, what does not matter
`flat`        a module as a function of tensors alone
`keywords`    the order in which a given file takes them
`tracing`     the precision asked for, and `torch.export`
`twin`        the module in float64
`recording`   what the module does with the calls
`lowering`    the program → `.pte`, cached
`observing`   what the program does
`judging`     verdicts
`counts`      those on integers
`explaining`  the wrong node, its owner, a repro
`judged`      all of it for one model
"""

from harness.anymodel.judged import Judged, Options, judge_model, write_repros
from harness.anymodel.model import Call, Ignored, Model, as_model

__all__ = [
    "Call",
    "Ignored",
    "Judged",
    "Model",
    "Options",
    "as_model",
    "judge_model",
    "write_repros",
]
