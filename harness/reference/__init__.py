"""References to judge by.

`eager`   upstream's model behind the executor's shape
`oracle`  the same model in float64
`semantics`  what public implementations dispute, and `disputed`, a codec that follows another
"""
