"""What a method is, independent of any weights or framework."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from harness.arrays import Array
from harness.checkpoint import Config
from harness.errors import InputError

__all__ = ["Dimensions", "Input", "Method"]


@dataclass(frozen=True)
class Dimensions:
    """The sizes that shape the six methods' inputs and outputs.

    Attributes
    ----------
    dim, vocab_size
        Width of the decoder's embeddings and hidden states, and rows of the text embedding.
    semantic_codebook_size, padded_semantic_size
        Semantic codes without special tokens, and the logits' width.
    acoustic_dim, acoustic_levels
        Acoustic codebooks a frame, and levels of each.
    n_decoding_steps
        Euler steps of the flow-matching solver.
    downsample_factor, sampling_rate
        Samples a frame, and samples a second.
    max_seq_len, max_codec_frames
        Capacity of the KV cache (positions) and of one codec call (frames); chosen at export.
    """

    dim: int
    vocab_size: int
    semantic_codebook_size: int
    padded_semantic_size: int
    acoustic_dim: int
    acoustic_levels: int
    n_decoding_steps: int
    downsample_factor: int
    sampling_rate: int
    max_seq_len: int
    max_codec_frames: int

    @property
    def n_codebooks(self) -> int:
        """One semantic and `acoustic_dim` acoustic codebooks."""
        return 1 + self.acoustic_dim

    @classmethod
    def of(cls, config: Config, *, max_seq_len: int, max_codec_frames: int) -> Dimensions:
        """Dimensions of a checkpoint's `config` and the two export capacities."""
        names = [field.name for field in fields(cls) if hasattr(config, field.name)]
        return cls(
            dim=config.decoder.dim,
            semantic_codebook_size=config.semantic_size,
            max_seq_len=max_seq_len,
            max_codec_frames=max_codec_frames,
            **{name: getattr(config, name) for name in names},
        )


@dataclass(frozen=True)
class Input:
    """One input: its name, element type, and sizes (``"S"`` marks the dynamic axis)."""

    name: str
    dtype: str
    shape: Callable[[Dimensions], tuple[int | str, ...]]


@dataclass(frozen=True)
class Method:
    """One of the six methods, and how it is judged.

    Attributes
    ----------
    name, artifact
        The name users type, and the file that carries it.
    inputs
        In call order; ``"model"`` as dtype means the model's floating-point type.
    entry
        Its name inside that file; the method's own where none is given.
    stateful
        Whether calls share a KV cache, which is then judged too: one prefill against as many
        single steps.
    masked
        Whether outputs hold −inf where a logit is masked, which must match exactly.
    sound
        Whether outputs are a waveform, judged as floats and as the 16-bit codes of a WAV file.
    """

    name: str
    artifact: str
    inputs: tuple[Input, ...]
    entry: str = ""
    stateful: bool = False
    masked: bool = False
    sound: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "entry", self.entry or self.name)

    def check_inputs(self, inputs: Sequence[Array], sizes: Dimensions) -> None:
        """Refuse inputs that the runtime would misread or silently drop.

        Raises
        ------
        InputError
            Wrong number, rank or sizes; ids or codes outside their table; a write past the
            end of the KV cache, which the MLX runtime drops without a word.
        """
        if len(inputs) != len(self.inputs):
            raise InputError(f"{self.name} takes {len(self.inputs)} inputs (got {len(inputs)})")
        for declared, value in zip(self.inputs, inputs, strict=True):
            shape = declared.shape(sizes)
            if len(shape) != value.ndim or any(
                isinstance(want, int) and want != have
                for want, have in zip(shape, value.shape, strict=True)
            ):
                wanted = ", ".join(map(str, shape))
                raise InputError(
                    f"{self.name} input {declared.name} must have shape ({wanted}) "
                    f"(got {value.shape})"
                )
            match declared.name:
                case "token_ids":
                    _within(f"{self.name} ids", value, sizes.vocab_size)
                case "codes":
                    _check_codes(self.name, value, sizes)
                case "t_idx":  # one knot more than steps: linspace(0, 1, steps + 1)
                    _within(f"{self.name} t_idx", value, sizes.n_decoding_steps + 1)
                case "cache_position":
                    _check_positions(inputs[0].shape[1], value, sizes.max_seq_len)


def _check_codes(method: str, codes: Array, sizes: Dimensions) -> None:
    _within(f"{method} semantic codes", codes[:, :1], sizes.semantic_codebook_size + 2)
    _within(f"{method} acoustic codes", codes[:, 1:], sizes.acoustic_levels + 2)


def _check_positions(length: int, position: Array, max_seq_len: int) -> None:
    if position.shape != (length,):
        raise InputError(
            f"text_decoder cache_position must have one entry a token: expected ({length},), "
            f"got {position.shape}"
        )
    start = int(position[0]) if length else 0
    if not np.array_equal(position, np.arange(start, start + length)):
        raise InputError(
            "text_decoder cache_position must count up by one; the exported program reads only "
            f"its first entry (got {position.tolist()})"
        )
    if start < 0 or start + length > max_seq_len:
        raise InputError(
            f"text_decoder would write positions {start}..{start + length - 1} of a KV cache of "
            f"{max_seq_len}; the MLX runtime drops such writes silently: shorten the text or "
            "export with a larger --max-seq-len"
        )


def _within(what: str, values: Array, size: int) -> None:
    if values.size and not 0 <= int(values.min()) <= int(values.max()) < size:
        raise InputError(
            f"{what} must be within 0..{size - 1} (got {int(values.min())}..{int(values.max())}); "
            "the runtime would read beyond its table"
        )
