"""From a failing method to the first wrong node, its owner, its proof and a minimal repro.

`graph`    the exported graph, node by node in float64
`exact`    where a program stops meaning what its graph, or its model, means
`local`    which steps of an executor do not compute what they mean
`finding`  what was found, in words
`repro`    the smallest script, and upstream test case, that still fails
`find`     all of it for one method
"""
