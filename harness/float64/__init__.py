"""What each MLX node type means in real numbers: float64, numpy alone.

`slots`        numbered tensors and values, floating point held in float64
`elementwise`, `shape`, `linear`   one function a node type
`semantics`    all of them by node type, and which types have none
`delegate`     a delegate run wholly so, as the exact link does
`rules`        how far an executed node may lie from its meaning
`local`        every node that an executor ran, on the inputs it had: the local link
"""
