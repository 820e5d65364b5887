"""Upstream's quantisation flags, under upstream's names and with its meanings."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

__all__ = ["Quantization"]


@dataclass(frozen=True)
class Quantization:
    """Which weights are quantised, and how.

    Attributes
    ----------
    qlinear, qlinear_group_size, qlinear_packing_format
        Linear layers of decoder and flow head: ``"4w"``, ``"8w"``, ``"8da4w"`` or ``"8da8w"``.
    decoder_qlinear_scope
        Which of the decoder's: ``"all"``, ``"attention"``, ``"feed_forward"``, ``"none"``.
    qembedding, qembedding_group_size
        Both embeddings: ``"4w"`` or ``"8w"``.
    qlinear_codec, qlinear_codec_group_size
        Linear layers of the codec: ``"4w"`` or ``"8w"``.
    """

    qlinear: str | None = None
    qlinear_group_size: int | None = None
    qlinear_packing_format: str | None = None
    decoder_qlinear_scope: str = "all"
    qembedding: str | None = None
    qembedding_group_size: int | None = None
    qlinear_codec: str | None = None
    qlinear_codec_group_size: int | None = None

    @property
    def facts(self) -> tuple[tuple[str, str | int], ...]:
        """The flags that are set, by name; empty where nothing is quantised."""
        if not (self.qlinear or self.qembedding or self.qlinear_codec):
            return ()
        return tuple((name, value) for name, value in asdict(self).items() if value is not None)

    @property
    def of_model(self) -> Quantization:
        """Without what concerns the codec."""
        return replace(self, qlinear_codec=None, qlinear_codec_group_size=None)

    @property
    def of_codec(self) -> Quantization:
        """Only what concerns the codec."""
        return Quantization(
            qlinear_codec=self.qlinear_codec,
            qlinear_codec_group_size=self.qlinear_codec_group_size,
        )
