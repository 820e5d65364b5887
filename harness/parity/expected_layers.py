"""What a precision quantises, and the bytes that it comes to: arithmetic on `params.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from harness.checkpoint import Checkpoint
from harness.checkpoint.shapes import tensor_shapes
from harness.methods import Dimensions, Method
from harness.methods.precision import PER_AXIS, Precision

__all__ = ["FLOW", "ExpectedLayer", "constant_bytes", "expected_layers"]

_MLX_GROUPS = (128, 64, 32, 16)
"""Groups that MLX's kernels take; a longer one is cut into the longest of these that divides it."""


@dataclass(frozen=True)
class ExpectedLayer:
    """A layer that the precision asks to quantise.

    Attributes
    ----------
    tensor, fqn
        The checkpoint's name of its weight, and the path of the layer in upstream's model.
    kind
        ``"linear"`` or ``"embedding"``.
    rows, columns
        Of the weight.
    width, group_size
        As asked for; see `Precision`.
    """

    tensor: str
    fqn: str
    kind: str
    rows: int
    columns: int
    width: str
    group_size: int

    @property
    def bits(self) -> int:
        """Bits of a weight."""
        return int(self.width.removesuffix("w"))

    @property
    def mlx_group(self) -> int | None:
        """Group in the delegate; None where MLX has no kernel, so that the layer is skipped."""
        group = self.columns if self.group_size == PER_AXIS else self.group_size
        least = 32 if self.kind == "linear" else 16
        if self.columns % group:
            return None
        return next((g for g in _MLX_GROUPS if g >= least and group % g == 0), None)


def expected_layers(
    method: Method, checkpoint: Checkpoint, precision: Precision
) -> tuple[ExpectedLayer, ...]:
    """Layers of `method` that `precision` asks to quantise, those to skip included."""
    return tuple(_expected(method.name, tensor_shapes(checkpoint.params), precision))


_EMBEDDINGS = {
    "token_embedding": ("mm_audio_embeddings.tok_embeddings.weight", "decoder.tok_embeddings"),
    "audio_token_embedding": (
        "mm_audio_embeddings.audio_codebook_embeddings.embeddings.weight",
        "audio_token_embedding.embeddings",
    ),
}

FLOW = "acoustic_transformer."
"""The checkpoint's name of the flow head."""


def _expected(
    method: str, shapes: Mapping[str, tuple[int, ...]], precision: Precision
) -> Iterator[ExpectedLayer]:
    if method in _EMBEDDINGS and precision.qembedding is not None:
        tensor, fqn = _EMBEDDINGS[method]
        assert precision.qembedding_group_size is not None
        rows, columns = shapes[tensor]
        yield ExpectedLayer(
            tensor,
            fqn,
            "embedding",
            rows,
            columns,
            precision.qembedding,
            precision.qembedding_group_size,
        )
    if precision.qlinear is None:
        return
    assert precision.qlinear_group_size is not None
    for tensor in _tensors(method, shapes):
        if len(shapes[tensor]) != 2 or method in _EMBEDDINGS or method == "codec":
            continue
        fqn = tensor.removesuffix(".weight").replace(FLOW, "flow_head.")
        if method == "text_decoder":
            scope = precision.decoder_qlinear_scope
            if scope != "all" and f".{scope}." not in tensor:
                continue
            fqn = f"decoder.{fqn}"
        rows, columns = shapes[tensor]
        yield ExpectedLayer(
            tensor, fqn, "linear", rows, columns, precision.qlinear, precision.qlinear_group_size
        )


def _tensors(method: str, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Names of the checkpoint's tensors that `method` computes with."""
    head = f"{FLOW}semantic_codebook_output."
    for name in shapes:
        owner = {
            "text_decoder": name.startswith("layers.") or name == "norm.weight",
            "semantic_head": name.startswith(head),
            "predict_velocity": name.startswith(FLOW) and not name.startswith(head),
            "codec": name.startswith("audio_tokenizer."),
        }
        if owner.get(method) or _EMBEDDINGS.get(method, ("",))[0] == name:
            yield name


def constant_bytes(
    method: str,
    checkpoint: Checkpoint,
    sizes: Dimensions,
    precision: Precision,
    layers: Sequence[ExpectedLayer],
) -> int:
    """Bytes of the floating-point and packed constants of `method`."""
    itemsize = 4 if precision.base == "fp32" else 2
    shapes = tensor_shapes(checkpoint.params)
    packed = {layer.tensor: layer for layer in layers if layer.mlx_group is not None}
    count = 0
    for name in _tensors(method, shapes):
        if name in packed:
            layer = packed[name]
            weights = layer.rows * layer.columns
            assert layer.mlx_group is not None
            count += weights * layer.bits // 8 + weights // layer.mlx_group * itemsize
        elif not name.endswith("weight.original0"):  # the loader folds weight norm
            count += prod(shapes[name]) * itemsize
    if method == "predict_velocity":  # made at load time, in fp32 whatever the model's type
        count += 4 * (sizes.n_decoding_steps + 1) + 4 * (checkpoint.config.flow.dim // 2)
    if method == "codec":
        codec = checkpoint.config.codec
        count += 4 * codec.stage.n_heads * sum(codec.lengths)  # ALiBi slopes, likewise
    return count
