"""The main job: an export's every method, proved against the eager model.

`evidence`  what eager PyTorch did: the recorded speech and the edge cases, with their outputs
`judge`     replays the evidence on an executor and turns what comes back into verdicts
`run`       checkpoint → evidence → artifacts → executor → verdicts → report
`everything`  every verdict that a run asks for
`whole`     what an executor says by itself; `runner`, what upstream's C++ runner says
`kept_sound`  the codec's waveform against its golden
`triangulate`  XNNPACK's third opinion; `matrix`, all of it for every precision
"""

from harness.parity.kept_sound import KeptSound
from harness.parity.request import Request
from harness.parity.run import Parity

__all__ = ["KeptSound", "Parity", "Request"]
