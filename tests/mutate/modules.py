"""A wrong module: patched while one method is exported, and right again where eager runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from executorch.examples.models.voxtral_tts import export_voxtral_tts

from harness.export import modules
from tests.mutate.bench import Bench, Fault, Trial

__all__ = ["module_faults"]

Install = Callable[[Bench], None]
Tensor = torch.Tensor


def _after(path: str, change: Callable[[Tensor], Tensor]) -> Install:
    """Change what one module of the eager model gives."""

    def install(bench: Bench) -> None:
        module = bench.model.get_submodule(path)
        forward = module.forward
        bench.patch.setattr(module, "forward", lambda *x: change(forward(*x)), raising=False)

    return install


def _attribute(path: str, name: str, change: Callable[[Any], Any]) -> Install:
    """Change an attribute of one module of the eager model."""

    def install(bench: Bench) -> None:
        module = bench.model.get_submodule(path)
        bench.patch.setattr(module, name, change(getattr(module, name)))

    return install


def _buffer(path: str, name: str, change: Callable[[Tensor], Tensor]) -> Install:
    """Change a table of one module of the eager model."""

    def install(bench: Bench) -> None:
        module = bench.model.get_submodule(path)
        bench.patch.setitem(module._buffers, name, change(getattr(module, name)))

    return install


def _feed_forward(path: str, gate: Callable[[Tensor], Tensor], swapped: bool = False) -> Install:
    def install(bench: Bench) -> None:
        own = bench.model.get_submodule(path)
        one, other = (own.w3, own.w1) if swapped else (own.w1, own.w3)
        bench.patch.setattr(
            own, "forward", lambda x: own.w2(gate(one(x)) * other(x)), raising=False
        )

    return install


def _wrapper(kind: str, forward: Callable[[Any, Callable[..., Tensor]], Callable[..., Tensor]]):  # type: ignore[no-untyped-def]
    """Put another `forward` on one of upstream's export wrappers."""

    def install(bench: Bench) -> None:
        cls = getattr(export_voxtral_tts, kind)
        before = cls.forward
        bench.patch.setattr(
            cls, "forward", lambda self, *x: forward(self, partial(before, self))(*x)
        )

    return install


# --- text_decoder


def _attention(name: str, change: Callable[..., Any], layer: int | None = None) -> Install:
    """Put something before or around a step of the decoder's attention, in one layer or in all."""

    def install(bench: Bench) -> None:
        before = getattr(modules._Attention, name)
        layers = bench.model.decoder.layers
        only = None if layer is None else layers[layer].attention.wq

        def changed(self: Any, *given: Any) -> Any:
            if only is not None and self.wq is not only:
                return before(self, *given)
            return change(partial(before, self), self, *given)

        bench.patch.setattr(modules._Attention, name, changed)

    return install


def _rope(traditional: bool = True, base: float = 1.0) -> Callable[..., Any]:
    def rope(before: Any, self: Any, x: Tensor, start: int) -> Tensor:
        return torch.ops.mlx.rope(
            x, self.head_dim, start, traditional, self.rope_theta * base, 1.0, None
        )

    return rope


def _only_keys(before: Any, self: Any, x: Tensor, start: int) -> Tensor:
    return before(x, start + 1 if x.shape[1] == self.n_kv_heads else start)


def _uncausal(before: Any, self: Any, q: Tensor, k: Tensor, v: Tensor, start: int) -> Tensor:
    return torch.ops.mlx.custom_sdpa(q, k, v, start, None, 0.0, False, None)


def _heads_tiled(before: Any, self: Any, q: Tensor, k: Tensor, v: Tensor, start: int) -> Tensor:
    """Query heads meet the key heads in turn instead of group by group."""
    groups = self.n_heads // self.n_kv_heads
    order = [i * self.n_kv_heads + j for j in range(self.n_kv_heads) for i in range(groups)]
    back = [order.index(i) for i in range(self.n_heads)]
    y = before(torch.cat([q[:, i : i + 1] for i in order], 1), k, v, start)
    return torch.cat([y[:, i : i + 1] for i in back], 1)


DECODER: tuple[tuple[str, str, Install], ...] = (
    ("rope of split halves", "layers.0.attention", _attention("_rope", _rope(traditional=False))),
    ("rope base +10 % in one layer", "layers.1.attention",
     _attention("_rope", _rope(base=1.1), 1)),
    ("keys one position late", "layers.0.attention", _attention("_rope", _only_keys)),
    ("no causal mask", "layers.0.attention", _attention("_attend", _uncausal)),
    ("keys and values swapped", "layers.0.attention",
     _attention("_attend", lambda f, self, q, k, v, start: f(q, v, k, start))),
    ("attention scale +1 % in one layer", "layers.0.attention",
     _attention("_attend", lambda f, self, q, k, v, start: f(q * 1.01, k, v, start), 0)),
    ("query heads in another order", "layers.0.attention", _attention("_attend", _heads_tiled)),
    ("gain 0.5 % at one linear", "layers.1.attention.wo",
     _after("decoder.layers.1.attention.wo", lambda y: y * 1.005)),
    ("gain 0.5 % at one linear", "layers.0.feed_forward.w1",
     _after("decoder.layers.0.feed_forward.w1", lambda y: y * 1.005)),
    ("silu → gelu in one layer", "layers.1.feed_forward",
     _feed_forward("decoder.layers.1.feed_forward", F.gelu)),
    ("w1 and w3 swapped in one layer", "layers.0.feed_forward",
     _feed_forward("decoder.layers.0.feed_forward", F.silu, swapped=True)),
    ("last norm's eps × 10", "norm", _attribute("decoder.norm", "eps", lambda e: 10 * e)),
    ("one norm's eps × 10", "layers.0.ffn_norm",
     _attribute("decoder.layers.0.ffn_norm", "eps", lambda e: 10 * e)),
    ("one norm without weight", "layers.1.attention_norm",
     _attribute("decoder.layers.1.attention_norm", "forward",
                lambda f: lambda x: F.rms_norm(x, (x.shape[-1],), None, 1e-5))),
    ("last norm missing", "norm", _attribute("decoder.norm", "forward", lambda f: lambda x: x * 1)),
)  # fmt: skip

# --- the other methods of model.pte


def _logits(change: Callable[[Any, Tensor], Tensor]) -> Install:
    """Make the semantic logits otherwise."""
    return _wrapper(
        "SemanticHeadExport",
        lambda self, f: lambda hidden: change(self.flow_head, hidden),
    )


def _masked(end: int | None, empty: bool = True, scale: float = 1.0) -> Callable[..., Tensor]:
    def logits(head: Any, hidden: Tensor) -> Tensor:
        logit = head.semantic_codebook_output(hidden).float() * scale
        if empty:
            logit[:, 0] = float("-inf")
        if end is not None:
            logit[:, 2 + head.config.semantic_codebook_size + end :] = float("-inf")
        return logit

    return logits


def _end_masked(head: Any, hidden: Tensor) -> Tensor:
    logit = head.semantic_logits(hidden)
    logit[:, 1] = float("-inf")
    return logit


def _time(change: Callable[[Tensor, Tensor], Tensor]) -> Install:
    """Another time embedding, made of time (1, 1) and the frequencies."""

    def install(bench: Bench) -> None:
        own = bench.model.flow_head.time_embedding
        bench.patch.setattr(own, "forward", lambda t: change(t, own.inv_freq), raising=False)

    return install


def _waves(t: Tensor, frequencies: Tensor, cos_first: bool = True) -> Tensor:
    angle = t * frequencies
    both = (angle.cos(), angle.sin()) if cos_first else (angle.sin(), angle.cos())
    return torch.cat(both, dim=-1)


def _flow_attention(change: Callable[..., tuple[Tensor, ...]], layer: str = "0") -> Install:
    """Another attention in one layer of the flow head."""

    def install(bench: Bench) -> None:
        own = bench.model.flow_head.layers[layer].attention

        def forward(x: Tensor) -> Tensor:
            size = (1, x.shape[1], -1, own.head_dim)
            q, k, v = own.wq(x).view(size), own.wk(x).view(size), own.wv(x).view(size)
            q, k, v, scale, mask = change(q, k, v, own)
            q, k, v = (t.transpose(1, 2) for t in (q, k, v))
            scores = (q * scale) @ k.transpose(-2, -1)
            scores = scores if mask is None else scores + mask.to(scores.dtype)
            y = scores.softmax(-1) @ v
            return own.wo(y.transpose(1, 2).contiguous().view(1, x.shape[1], -1))

        bench.patch.setattr(own, "forward", forward, raising=False)

    return install


def _attended(scale: float = 1.0, tiled: bool = False, causal: bool = False) -> Callable[..., Any]:
    def change(q: Tensor, k: Tensor, v: Tensor, own: Any) -> tuple[Any, ...]:
        if tiled:
            k, v = (t.repeat(1, 1, own.repeats, 1) for t in (k, v))
        else:
            k, v = (t.repeat_interleave(own.repeats, 2) for t in (k, v))
        mask = torch.full((3, 3), float("-inf")).triu(1) if causal else None
        return q, k, v, own.head_dim**-0.5 * scale, mask

    return change


def _velocity(change: Callable[..., tuple[Tensor, ...]]) -> Install:
    """Give the velocity other inputs."""
    return _wrapper("PredictVelocityExport", lambda self, f: lambda x, t, h: f(*change(x, t, h)))


HEADS: tuple[tuple[str, str, str, Install], ...] = (
    ("semantic_head", "END is masked", "", _logits(_end_masked)),
    ("semantic_head", "EMPTY is not masked", "", _logits(_masked(0, empty=False))),
    ("semantic_head", "padding is not masked", "", _logits(_masked(None))),
    ("semantic_head", "padding is masked one late", "", _logits(_masked(1))),
    ("semantic_head", "padding is masked one early", "", _logits(_masked(-1))),
    ("semantic_head", "gain 0.5 %", "", _logits(_masked(0, scale=1.005))),
    ("predict_velocity", "no time embedding", "", _velocity(lambda x, t, h: (x, t * 0, h))),
    ("predict_velocity", "time runs backwards", "", _velocity(lambda x, t, h: (x, 7 - t, h))),
    ("predict_velocity", "the hidden state is scaled by 1.005", "",
     _velocity(lambda x, t, h: (x, t, h * 1.005))),
    ("predict_velocity", "sin before cos", "flow_head.time_embedding",
     _time(partial(_waves, cos_first=False))),
    ("predict_velocity", "time frequencies × 1.005", "flow_head.time_embedding",
     _time(lambda t, f: _waves(t, f * 1.005))),
    ("predict_velocity", "time in bfloat16", "flow_head.time_embedding",
     _time(lambda t, f: _waves(t.bfloat16(), f.bfloat16()).to(t.dtype))),
    ("predict_velocity", "timesteps of n instead of n + 1", "flow_head",
     _buffer("flow_head", "_timesteps", lambda t: torch.linspace(0, 1, len(t) + 1)[:-1])),
    ("predict_velocity", "attention scale +1 % in one layer", "flow_head.layers.0.attention",
     _flow_attention(_attended(1.01))),
    ("predict_velocity", "key heads in another order", "flow_head.layers.1.attention",
     _flow_attention(_attended(tiled=True), "1")),
    ("predict_velocity", "causal attention", "flow_head.layers.0.attention",
     _flow_attention(_attended(causal=True))),
    ("predict_velocity", "gain 0.5 % at one linear", "flow_head.layers.1.attention.wo",
     _after("flow_head.layers.1.attention.wo", lambda y: y * 1.005)),
    ("predict_velocity", "silu → gelu in one layer", "flow_head.layers.0.feed_forward",
     _feed_forward("flow_head.layers.0.feed_forward", F.gelu)),
    ("predict_velocity", "one norm's eps × 10", "flow_head.layers.1.ffn_norm",
     _attribute("flow_head.layers.1.ffn_norm", "eps", lambda e: 10 * e)),
    ("predict_velocity", "last norm's eps × 10", "flow_head.norm",
     _attribute("flow_head.norm", "eps", lambda e: 10 * e)),
    ("predict_velocity", "one norm without weight", "flow_head.layers.0.attention_norm",
     _attribute("flow_head.layers.0.attention_norm", "forward",
                lambda f: lambda x: F.rms_norm(x, (x.shape[-1],), None, 1e-5))),
    ("audio_token_embedding", "offsets of codebooks that are one short", "audio_token_embedding",
     _buffer("audio_token_embedding", "offsets", lambda o: o - torch.arange(len(o)))),
    ("audio_token_embedding", "the mean of the rows", "audio_token_embedding",
     _after("audio_token_embedding", lambda y: y / 37)),
    ("audio_token_embedding", "gain 0.5 %", "audio_token_embedding",
     _after("audio_token_embedding", lambda y: y * 1.005)),
    ("token_embedding", "scaled by the root of its width", "tok_embeddings",
     _after("decoder.tok_embeddings", lambda y: y * 16)),
    ("token_embedding", "gain 0.5 %", "tok_embeddings",
     _after("decoder.tok_embeddings", lambda y: y * 1.005)),
)  # fmt: skip


def module_faults() -> Iterator[Fault]:
    """Every wrong module of the five methods of `model.pte`."""
    for label, module, install in DECODER:
        kind = "historical" if label in _HISTORICAL else "module"
        yield Fault(
            f"text_decoder module: {label}, {module}", kind, "text_decoder",
            partial(_run, method="text_decoder", install=install, module=module),
        )  # fmt: skip
    for method, label, module, install in HEADS:
        yield Fault(
            f"{method} module: {label}", "module", method,
            partial(_run, method=method, install=install, module=module),
        )  # fmt: skip


_HISTORICAL = ("rope of split halves", "no causal mask")


def _run(bench: Bench, method: str, install: Install, module: str) -> Trial:
    install(bench)
    return Trial(bench.on_export(method), module=module)
