"""Eager model → `.pte`.

`modules`      `text_decoder` as a module whose graph MLX can lower whole; the rest are upstream's
`codec`        the codec's two forms: native convolutions, or upstream's unfold
`corrections`  upstream lowering bugs, mended in one place
`programs`     modules → torch.export programs, and upstream's metadata methods
`lower`        programs → ExecuTorch, delegated to MLX
`artifacts`    the two files, exported once and cached
"""
