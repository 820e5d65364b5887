"""Tiny models of transformers, exported by its own exporter, and judged.

`architecture` one class, and the sizes that all share
`catalog`      which architectures
`building`     a model and inputs, the same bytes everywhere
`exporting`    transformers' exporter, stock or with the corrections → `.pte`
`judging`      one program → an outcome
`curing`       the corrections that a program needs
`sweep`        all of them in processes, and their JSON
`page`         Markdown
"""
