"""The codec as a module MLX can lower, in one of two forms.

``conv``    `F.conv1d` and `F.conv_transpose1d`, which the delegate runs natively (the default)
``unfold``  upstream's own matrix form: unfold + matmul, and matmul + overlap-add

Upstream writes the convolutions as unfold and fold for another backend; `F.fold` becomes an
`index_put` that MLX does not take, so the overlap-add of the second form is padding and adding.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness.checkpoint.loading import around_the_same_weights
from harness.errors import one_of

__all__ = ["CODEC_FORMS", "CodecDecoder"]

CODEC_FORMS = ("conv", "unfold")


class CodecDecoder(nn.Module):
    """Codes (1, n_codebooks, T) → waveform (1, 1, T·downsample_factor), full scale ±1."""

    def __init__(self, model: Any, form: str = "conv") -> None:
        super().__init__()
        one_of("codec form", form, CODEC_FORMS)
        self.codec_decoder = around_the_same_weights(model.codec_decoder)
        # Upstream's loader keeps the codebook's quotient beside its two factors and never reads
        # it; the file would carry it, 8 MB of the published model's.
        self.codec_decoder.quantizer.semantic_codebook._buffers.pop("_embedding", None)
        blocks = self.codec_decoder.decoder_blocks
        for index, block in enumerate(blocks):
            if isinstance(getattr(block, "conv", None), nn.Conv1d | nn.ConvTranspose1d):
                blocks[index] = _convolution(block, form)
        self.codec_decoder.output_proj = _convolution(self.codec_decoder.output_proj, form)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """Decode one window of codes."""
        return self.codec_decoder(codes)


def _convolution(block: Any, form: str) -> nn.Module:
    if isinstance(block.conv, nn.ConvTranspose1d):
        return _CausalConvTranspose1d(block, form)
    return block if form == "unfold" else _CausalConv1d(block)


class _CausalConv1d(nn.Module):
    """Upstream's ``CodecCausalConv1d`` with a native convolution."""

    def __init__(self, block: Any) -> None:
        super().__init__()
        self.conv = block.conv
        self.pad_mode = block.pad_mode
        self.stride = block._stride
        self.kernel = block._effective_kernel_size
        self.padding = block._padding_total

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        from executorch.examples.models.voxtral_tts.model import _pad1d

        frames = (x.shape[-1] - self.kernel + self.padding) / self.stride + 1
        whole = (math.ceil(frames) - 1) * self.stride + (self.kernel - self.padding)
        x = _pad1d(x, (self.padding, whole - x.shape[-1]), mode=self.pad_mode)
        return F.conv1d(
            x, self.conv.weight, self.conv.bias, stride=self.stride, dilation=self.conv.dilation
        )


class _CausalConvTranspose1d(nn.Module):
    """Upstream's ``CodecCausalConvTranspose1d`` without `F.fold`."""

    def __init__(self, block: Any, form: str) -> None:
        super().__init__()
        self.conv = block.conv
        self.trim_ratio = block.trim_ratio
        self.form = form

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        if self.form == "conv":
            y = F.conv_transpose1d(x, self.conv.weight, self.conv.bias, stride=stride)
        else:
            y = _overlap_add(x, self.conv.weight, stride)
            if self.conv.bias is not None:
                y = y + self.conv.bias[None, :, None]
        trim = kernel - stride
        right = math.ceil(trim * self.trim_ratio)
        return y[..., trim - right : y.shape[-1] - right]


def _overlap_add(x: torch.Tensor, weight: torch.Tensor, stride: int) -> torch.Tensor:
    """Transposed convolution as matmul, then one padded addition a group of `stride` taps.

    `x` (1, c_in, length) and `weight` (c_in, c_out, kernel) give (1, c_out, (length - 1)·stride
    + kernel).
    """
    _, c_in, length = x.shape
    _, c_out, kernel = weight.shape
    groups = -(-kernel // stride)
    weight = F.pad(weight, (0, groups * stride - kernel))
    taps = x.transpose(1, 2) @ weight.reshape(c_in, c_out * groups * stride)
    taps = taps.view(1, length, c_out, groups, stride).permute(0, 2, 3, 1, 4)
    size = (length - 1) * stride + kernel
    shifted = [
        F.pad(taps[:, :, g].reshape(1, c_out, -1), (g * stride, (groups - 1 - g) * stride))
        for g in range(groups)
    ]
    return sum(shifted[1:], shifted[0])[..., :size]
