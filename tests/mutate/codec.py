"""A wrong codec: patched while it is exported, and right again where eager runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from executorch.examples.models.voxtral_tts import model as upstream

from harness.export import codec
from harness.export.programs import PROGRAMS
from tests.mutate.bench import Bench, Fault, Trial
from tests.mutate.modules import Install, Tensor

__all__ = ["codec_faults", "slopes_by"]

_LAST = 16
"""Window of the last stage: its attention layer is the only one that has it."""


def _whole(change: Callable[[Any, Tensor, Callable[[Tensor], Tensor]], Tensor]) -> Install:
    """Change what goes in or comes out."""

    def install(bench: Bench) -> None:
        before = codec.CodecDecoder.forward
        bench.patch.setattr(
            codec.CodecDecoder,
            "forward",
            lambda self, codes: change(self, codes, partial(before, self)),
        )

    return install


def _patch_outer(self: Any, codes: Tensor, decode: Any) -> Tensor:
    y = decode(codes)
    return y.reshape(1, -1, 240).transpose(1, 2).reshape(y.shape)


def _each(kind: Callable[[Any], bool], change: Callable[[Any], None]) -> Install:
    """Change every module of the exported copy that `kind` picks."""

    def install(bench: Bench) -> None:
        init = codec.CodecDecoder.__init__

        def changed(self: Any, model: Any, form: str = "conv") -> None:
            init(self, model, form)
            for module in self.modules():
                if kind(module):
                    change(module)

        bench.patch.setattr(codec.CodecDecoder, "__init__", changed)

    return install


def _attends(window: int | None = None) -> Callable[[Any], bool]:
    def kind(module: Any) -> bool:
        fits = window is None or getattr(module, "sliding_window", None) == window
        return isinstance(module, upstream.CodecAttention) and fits

    return kind


def _slopes(change: Callable[[Tensor], Tensor]) -> Callable[[Any], None]:
    def changed(module: Any) -> None:
        module.register_buffer("alibi_slopes", change(module.alibi_slopes), persistent=False)

    return changed


def slopes_by(power: int) -> Callable[[Any], None]:
    """ALiBi slopes off by a power of their ratio."""
    return _slopes(lambda s: s * (s[1] / s[0]) ** power)


def _window(step: int) -> Callable[[Any], None]:
    def changed(module: Any) -> None:
        module.sliding_window += step

    return changed


def _per_head(module: Any) -> None:
    """Query and key norms over each head instead of over all of them."""
    for norm in (module.q_norm, module.k_norm):

        def forward(x: Tensor, norm: Any = norm) -> Tensor:
            heads = x.unflatten(-1, (module.n_heads, -1))
            normed = F.rms_norm(heads, (heads.shape[-1],), None, norm.eps).flatten(-2)
            return normed * norm.weight

        norm.forward = forward


def _scores(factor: float) -> Callable[[Any], None]:
    def changed(module: Any) -> None:
        forward = module.q_norm.forward
        module.q_norm.forward = lambda x: forward(x) * factor

    return changed


def _gated(gate: Callable[[Tensor], Tensor]) -> Callable[[Any], None]:
    def changed(block: Any) -> None:
        own = block.feed_forward
        own.forward = lambda x: own.w2(gate(own.w1(x)) * own.w3(x))

    return changed


def _block(window: int) -> Callable[[Any], bool]:
    def kind(module: Any) -> bool:
        attention = getattr(module, "attention", None)
        return (
            isinstance(module, upstream.CodecTransformerBlock)
            and attention.sliding_window == window
        )

    return kind


def _unscaled(block: Any) -> None:
    block.use_layer_scale = False


def _eps(name: str) -> Callable[[Any], None]:
    def changed(module: Any) -> None:
        getattr(module, name).eps *= 10

    return changed


def _convolves(first: bool) -> Callable[[Any], bool]:
    mode = "replicate" if first else "reflect"
    return lambda m: isinstance(m, codec._CausalConv1d) and m.pad_mode == mode


def _padded(mode: str) -> Callable[[Any], None]:
    def changed(module: Any) -> None:
        module.pad_mode = mode

    return changed


def _trimmed_left(module: Any) -> None:
    module.trim_ratio = 0.0


def _acoustic(decode: Callable[..., Tensor]) -> Install:
    def install(bench: Bench) -> None:
        bench.patch.setattr(upstream.AcousticCodebook, "decode", decode)

    return install


def _bin_centres(self: Any, codes: Tensor, dtype: Any = torch.float32) -> Tensor:
    return (codes.to(dtype) * 2 + 1) / self.n_levels - 1


def _of_22(self: Any, codes: Tensor, dtype: Any = torch.float32) -> Tensor:
    return (codes.to(dtype) * 2) / self.n_levels - 1


def _semantic(change: Callable[[Any, Tensor], Tensor]) -> Install:
    def install(bench: Bench) -> None:
        bench.patch.setattr(
            upstream.SemanticCodebook, "decode",
            lambda self, codes: change(self, codes.squeeze(1)).transpose(1, 2),
        )  # fmt: skip

    return install


def _pinned(bench: Bench) -> None:
    """The quantiser decodes in float32 while the codec is bfloat16."""
    before = upstream.AudioCodebook.decode

    def decode(self: Any, codes: Tensor, dtype: Any = torch.float32) -> Tensor:
        return before(self, codes, torch.float32) * 1.0

    bench.patch.setattr(upstream.AudioCodebook, "decode", decode)


_FFN = "codec_decoder.decoder_blocks.7.layers.0.feed_forward"
_ATTENTION = "codec_decoder.decoder_blocks.7.layers.0.attention"

LIST: tuple[tuple[str, str, Install], ...] = (
    ("patch outer, time inner", "codec_decoder", _whole(_patch_outer)),
    ("special offset kept", "codec_decoder",
     _whole(lambda self, codes, decode: decode((codes + 1).clamp(max=22)))),
    ("ALiBi slopes a power up", "", _each(_attends(), slopes_by(1))),
    ("ALiBi slopes a power down", "", _each(_attends(), slopes_by(-1))),
    ("ALiBi slopes of one layer a power up", _ATTENTION, _each(_attends(_LAST), slopes_by(1))),
    ("ALiBi slopes of one layer a power down", _ATTENTION, _each(_attends(_LAST), slopes_by(-1))),
    ("last stage without ALiBi", _ATTENTION, _each(_attends(_LAST), _slopes(lambda s: s * 0))),
    ("last stage with ALiBi of the wrong sign", _ATTENTION,
     _each(_attends(_LAST), _slopes(lambda s: -s))),
    ("last stage with ALiBi of reversed heads", _ATTENTION,
     _each(_attends(_LAST), _slopes(lambda s: s.flip(0)))),
    ("window of one layer one shorter: ≤ for <", _ATTENTION, _each(_attends(_LAST), _window(-1))),
    ("window of one layer one longer", _ATTENTION, _each(_attends(_LAST), _window(1))),
    ("windows one shorter", "", _each(_attends(), _window(-1))),
    ("query norm per head in one layer", f"{_ATTENTION}.q_norm",
     _each(_attends(_LAST), _per_head)),
    ("attention scale +1 % in one layer", f"{_ATTENTION}.q_norm",
     _each(_attends(_LAST), _scores(1.01))),
    ("query norm's eps × 10 in one layer", f"{_ATTENTION}.q_norm",
     _each(_attends(_LAST), _eps("q_norm"))),
    ("silu → gelu in one layer", _FFN, _each(_block(_LAST), _gated(F.gelu))),
    ("silu → relu in one layer", _FFN, _each(_block(_LAST), _gated(F.relu))),
    ("one layer without its scales", "codec_decoder.decoder_blocks.7.layers.0",
     _each(_block(_LAST), _unscaled)),
    ("one norm's eps × 10", "codec_decoder.decoder_blocks.7.layers.0.attention_norm",
     _each(_block(_LAST), _eps("attention_norm"))),
    ("first convolution padded with zeros", "codec_decoder.decoder_blocks.0",
     _each(_convolves(True), _padded("constant"))),
    ("last convolution padded by replication", "codec_decoder.output_proj",
     _each(_convolves(False), _padded("replicate"))),
    ("transposed convolutions trimmed on the left", "",
     _each(lambda m: isinstance(m, codec._CausalConvTranspose1d), _trimmed_left)),
    ("acoustic bin centres", "codec_decoder", _acoustic(_bin_centres)),
    ("acoustic levels of n instead of n − 1", "codec_decoder", _acoustic(_of_22)),
    ("semantic sum not divided by its usage", "codec_decoder",
     _semantic(lambda self, codes: F.embedding(codes, self.embedding_sum))),
    ("semantic codes one late", "codec_decoder",
     _semantic(lambda self, codes: F.embedding((codes + 1) % 512, self.embedding))),
    ("clipped at 0.6", "", _whole(lambda self, codes, decode: decode(codes).clamp(-0.6, 0.6))),
    ("gain 1e-4 too low", "", _whole(lambda self, codes, decode: decode(codes) * 0.9999)),
    ("gain 0.5 % too high", "", _whole(lambda self, codes, decode: decode(codes) * 1.005)),
    ("samples of a patch reversed", "",
     _whole(lambda self, codes, decode: decode(codes).unflatten(2, (-1, 240)).flip(3).flatten(2))),
)  # fmt: skip

_HISTORICAL = (
    "patch outer, time inner", "special offset kept", "ALiBi slopes a power up",
    "ALiBi slopes a power down",
)  # fmt: skip


def codec_faults() -> Iterator[Fault]:
    """Every wrong module of the codec, and the stock lowering that made noise of it."""
    for label, module, install in LIST:
        yield Fault(
            f"codec module: {label}",
            "historical" if label in _HISTORICAL else "module",
            "codec",
            partial(_run, install=install, module=module),
        )
    yield Fault(
        "codec module: quantiser pinned to float32", "historical", "codec",
        partial(_run, install=_pinned, module="codec_decoder"), ("bf16", "bf16-4w8w"),
    )  # fmt: skip
    yield Fault("codec lowering: adjacent indices", "historical", "codec", _adjacent)


def _run(bench: Bench, install: Install, module: str) -> Trial:
    _ = bench.model
    install(bench)
    return Trial(bench.on_export("codec"), module=module)


def _adjacent(bench: Bench) -> Trial:
    """Upstream's form of the codec under the stock lowering of adjacent advanced indices."""
    program = PROGRAMS["codec"](bench.model, bench.line.sizes, form="unfold")
    path = bench.lowered("codec", program, without=["adjacent-indices"])
    return Trial(tuple(v for v in bench.on_path("codec", path) if v.subject == "codec"))
