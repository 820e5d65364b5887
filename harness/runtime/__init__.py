"""Executors: run the methods of a `.pte` behind one protocol.

`protocol`  the Executor protocol and the tensor description both sides share
`portable`  the `.pte` and its MLX delegate, interpreted over `mlx.core` (any machine)
`native`    ExecuTorch's own runtime, in a child process (MLX on Apple Silicon)
"""
