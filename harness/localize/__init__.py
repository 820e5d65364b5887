"""From a failing method to the first wrong node, its owner, its proof and a minimal repro.

`graph`    the exported graph, node by node in float64
`exact`    where a program stops meaning what its graph, or its model, means
`modules`  the same of a model's modules
`steps`    what an export's names say of a step
`taps`     the steps of an executor that shows nothing but outputs
`tapped`   the part of that which needs no torch
`watching` the same executor, watched as one that shows its steps
`repro`    the smallest script, and upstream test case, that still fails
`find`     all of it for one method
`explain`  the same in the verdicts of a red run
"""
