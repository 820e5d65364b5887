"""The second road to a `.pte`: upstream's own lowering to XNNPACK and to the portable kernels.

ExecuTorch's real runtime runs these files on every machine, which makes them a third opinion
beside eager and MLX. Its programs are those that go to MLX, but for two. `text_decoder` in its
MLX form is written in ``torch.ops.mlx``, for which that runtime has no kernels, so it is
upstream's own module with ``llama.update_cache`` and ``llama.custom_sdpa``. `codec` in bf16 takes
its convolutions as the matrix products that upstream writes, because ExecuTorch's convolution
kernel adds up in bf16.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from harness.checkpoint.loading import around_the_same_weights
from harness.errors import InputError
from harness.export.graph_nodes import without_sources
from harness.export.programs import PROGRAMS
from harness.export.quantization import DYNAMIC, KernelQuantization
from harness.files import replace_file
from harness.methods import Dimensions
from harness.methods.precision import Precision
from harness.upstream import quiet

__all__ = [
    "KERNEL_PROGRAMS",
    "dequantized_copy",
    "lower_to_kernels",
    "quantized_by_upstream",
]


def _text_decoder(model: Any, sizes: Dimensions) -> ExportedProgram:
    from executorch.examples.models.voxtral_tts.export_voxtral_tts import TextDecoderExport

    return PROGRAMS["text_decoder"](model, sizes, module=TextDecoderExport)


def _codec(model: Any, sizes: Dimensions, form: str = "conv") -> ExportedProgram:
    # In bf16, `aten::convolution.out` keeps its running sum in bf16 too: over 7 taps of 64 and 256
    # channels, 2.5 % and 4.9 % of the RMS are noise, where eager (and mm.out) leave 0.17 %.
    if form == "conv" and next(model.parameters()).dtype == torch.bfloat16:
        form = "unfold"
    return PROGRAMS["codec"](model, sizes, form=form)


KERNEL_PROGRAMS: dict[str, Callable[..., ExportedProgram]] = {
    **PROGRAMS,
    "text_decoder": _text_decoder,
    "codec": _codec,
}
"""For each method, what traces it for XNNPACK and the portable kernels."""


def lower_to_kernels(
    programs: Mapping[str, ExportedProgram], metadata: Mapping[str, int], path: Path, backend: str
) -> None:
    """Lower `programs` as upstream's exporter does and write them to `path`, whole or not at all.

    `programs` and constant methods (`metadata`) are by name; `backend` is ``"xnnpack"`` or
    ``"portable"``.
    """
    hidden = without_sources(programs.values())
    with hidden, quiet(), contextlib.redirect_stdout(io.StringIO()):
        from executorch.examples.models.voxtral_tts.export_voxtral_tts import lower_to_executorch

        program = lower_to_executorch(dict(programs), dict(metadata), backend=backend)
    with replace_file(path) as scratch, scratch.open("wb") as file:
        program.write_to_file(file)


def quantized_by_upstream(model: Any, precision: Precision, extra: KernelQuantization) -> Any:
    """`model` quantised by upstream's own functions; `model` itself stays as it is.

    Weights that are not quantised are shared with `model`.

    Raises
    ------
    InputError
        torchao refuses the options for one of the layers.
    """
    twin = around_the_same_weights(model)
    qlinear = precision.qlinear
    if qlinear and extra.dynamic:
        qlinear = DYNAMIC + qlinear
    with quiet(), contextlib.redirect_stdout(io.StringIO()):
        from executorch.examples.models.voxtral_tts import export_voxtral_tts as upstream
        from executorch.extension.llm.export.quantize import quantize_model_

        try:
            upstream.apply_model_quantization(
                twin,
                qlinear=qlinear,
                qlinear_group_size=precision.qlinear_group_size,
                qlinear_packing_format=extra.packing_format,
                qembedding=precision.qembedding,
                qembedding_group_size=precision.qembedding_group_size,
                decoder_qlinear_scope=precision.decoder_qlinear_scope,
            )
            if extra.codec:
                quantize_model_(
                    twin.codec_decoder,
                    qlinear_config=extra.codec,
                    qlinear_group_size=extra.codec_group_size,
                )
        except (AssertionError, ValueError, RuntimeError) as error:
            raise InputError(f"torchao cannot quantise the model as asked: {error}") from error
    return twin


def dequantized_copy(model: Any) -> Any:
    """`model` with the values of its quantised weights as plain floating point.

    The runtime has no kernel for torchao's weight-only quantisation (lowering ends with
    ``Missing out variants: torchao::dequantize_affine``), but the same values in floating point
    compute the same. A model without quantised weights is returned as it is.
    """
    from torchao.utils import TorchAOBaseTensor

    twin = around_the_same_weights(model)
    found = [
        (module, name, weight)
        for module in twin.modules()
        for name, weight in module.named_parameters(recurse=False)
        if isinstance(weight, TorchAOBaseTensor)
    ]
    for module, name, weight in found:
        plain = torch.nn.Parameter(weight.dequantize(), requires_grad=False)
        setattr(module, name, plain)
    return twin if found else model
