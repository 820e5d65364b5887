"""Upstream's own op suite, run with the portable executor in place of upstream's C++ runner.

The executorch wheel ships the MLX delegate's test cases but not the program that runs them. Each
case exports a module with upstream's stock exporter, says what delegation it expects, and
compares what the runtime made with eager PyTorch at its own tolerance. All of that stays
upstream's code; only the run in the middle is ours, so what is judged is the interpreter.

`cases`     a case's name, and choosing by name; imports nothing heavy
`suites`    upstream's modules, opened without what they need only by accident
`trial`     one case: upstream's checks around a run of ours
`workers`   processes that try cases; a hang or a crash is a failed case
`programs`  lowered programs, kept in the cache, an entry a class
`run`       all of it together
`expected`  how many cases must be judged
`report`    what came out, for people and as JSON
"""
