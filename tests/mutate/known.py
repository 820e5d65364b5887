"""Which faults change nothing, and why; which are faults and stay green, and what would see them.

Each entry is a pattern of names, a reason, and the precisions it holds in (none: all). A fault of
the first table must stay green, one of the second may not turn red unnoticed.
"""

from __future__ import annotations

import re

__all__ = ["EQUIVALENT", "SURVIVORS", "equivalent", "survivor"]

Known = tuple[tuple[str, str, tuple[str, ...]], ...]

_NARROW = ("bf16", "bf16-4w8w")

EQUIVALENT: Known = (
    (r".* Addmm alpha", "MLX's runtime applies alpha only together with a bias; there is none", ()),
    (r".* ARange type", "positions below 2^31 are the same numbers in int32 and int64", ()),
    (r"text_decoder Take axis", "positions have one axis, which is number 0 and number −1", ()),
    (r"predict_velocity Take axis", "t_idx has one axis, which is number 0 and number −1",
     ("fp32", "bf16-4w8w")),
    (r"semantic_head (Take|Slice) .*", "no instruction reads what this one makes", ()),
    (r"semantic_head ExpandDims axis−1", "one element has the same order with either axis new", ()),
    (r"semantic_head AsType type",
     "logits that were rounded to bfloat16 are exact in it, and the output is cast all the same",
     _NARROW),
    (r"predict_velocity ExpandDims axis−1", "time is one number: any new axis has size 1",
     ("fp32", "bf16-4w8w")),
    (r"predict_velocity ExpandDims axis[+]1", "time is one number: any new axis has size 1",
     ("fp32",)),
    (r"predict_velocity Transpose perm", "two axes of size 1 change places", ("fp32",)),
    (r"predict_velocity Concatenate order",
     "attention without positions does not see in which order the tokens behind the first stand",
     ("bf16",)),
    (r"predict_velocity AsType type",
     "the scale 1/8 is exact in both types; attention is then computed in the wider one",
     _NARROW),
    (r".* Softmax precise", "it changes how a sum is rounded, not what is summed", ()),
    (r"codec GreaterEqual → >", "code 2 becomes 0 on both sides: 2 − 2, and what specials are", ()),
    (r"codec Slice step 2", "every second element of one element is that element", ("fp32",)),
    (r"codec Squeeze dims", "both leading axes have size 1: either may go", ()),
    (r"codec Clip no maximum", "positions to be padded end at the last frame", ()),
    (r"codec AsType type",
     "small whole numbers, and powers of two times these, are exact in bfloat16", ()),
    (r"codec Full type", "minus infinity is the same number in both types", ()),
    (r"codec Full v", "the window's mask rules out all that the causal one does", ("fp32",)),
    (r"codec BitwiseOr a twice", "what lies in the future is ruled out by the causal mask before",
     ()),
    (r"codec ConvTranspose1D output padding 1", "the convolution is cut on the right afterwards",
     ()),
    (r"codec literal _lifted_tensor_constant1[12]",
     "equal constants lie in the file once: both ends of the reflection move, and cancel", ()),
    (r"codec literal _scalar_1e-05_.*", "no usage of a code is so small that it would be raised",
     ()),
    (r"codec literal _scalar_39\.0_.*", "positions to be padded never exceed the last frame", ()),
    (r"predict_velocity run: a product without its last term, product\[0\]",
     "the slowest of the time frequencies is 1e-4: its sine is lost in bfloat16", _NARROW),
    (r"text_decoder run: state never reset",
     "a speech begins at position 0, and no query sees a slot that was not written since", ()),
    (r"speech: codec window padded with zeros",
     "the codec is causal, and what comes of the padding behind the last frame is cut off", ()),
    (r".* literal .*_biases_dummy", "the init chain writes over it before the first call", ()),
)  # fmt: skip

SURVIVORS: Known = (
    (r"predict_velocity run: softmax gain 0\.5 %, Softmax\[0\]",
     "54 elements a call are too few for a mean: errors would have to be pooled over calls",
     ("bf16-4w8w",)),
    (r"predict_velocity module: time in bfloat16",
     "it is rounding alone, and within eager's: types would have to be compared node by node",
     _NARROW),
)  # fmt: skip


def equivalent(name: str, precision: str) -> str:
    """Why a fault is none in a precision; empty where it is one."""
    return _reason(EQUIVALENT, name, precision)


def survivor(name: str, precision: str) -> str:
    """What it would take to see a fault that stays green; empty where it is seen."""
    return _reason(SURVIVORS, name, precision)


def _reason(table: Known, name: str, precision: str) -> str:
    for pattern, reason, precisions in table:
        if re.fullmatch(pattern, name) and (not precisions or precision in precisions):
            return reason
    return ""
