"""voxtral-parity: prove MLX-exported ExecuTorch programs of Voxtral TTS equal to eager PyTorch.

The rooms, in the direction data flows::

    checkpoint → methods → (reference | export → runtime) → compare → report

`compare`, `golden` and `report` import neither torch nor executorch; `cli` is the only
module that knows all the others.
"""
