"""``voxtral-parity export``: the flags of upstream's ``export_voxtral_tts.py``, and MLX."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli.console import progress

__all__ = ["export"]

_Text = str | None
_Whole = int | None


def _option(name: str, metavar: str, text: str) -> object:
    return typer.Option(name, metavar=metavar, help=text)


def export(
    checkpoint: Annotated[
        str,
        typer.Option("--model-path", "--checkpoint", metavar="DIR|PRESET", help="Which weights."),
    ] = "tiny",
    backend: Annotated[str, _option("--backend", "B", "mlx, xnnpack or portable.")] = "mlx",
    dtype: Annotated[_Text, _option("--dtype", "T", "fp32, the default, or bf16.")] = None,
    precision: Annotated[
        _Text, _option("--precision", "P", "fp32, bf16 or bf16-4w8w: --dtype and all --q….")
    ] = None,
    output_dir: Annotated[
        Path, typer.Option("--output-dir", metavar="DIR", help="Where the files go.")
    ] = Path("voxtral_tts_exports"),
    export_target: Annotated[
        str, _option("--export-target", "WHICH", "all, model or codec.")
    ] = "all",
    max_seq_len: Annotated[
        _Whole, typer.Option(min=1, help="Positions of the KV cache; a checkpoint's: 4096.")
    ] = None,
    max_codec_frames: Annotated[
        _Whole, typer.Option(min=1, help="Frames of one codec call; a checkpoint's: 256.")
    ] = None,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Tell the runner to decode in chunks.")
    ] = False,
    qlinear: Annotated[
        _Text, _option("--qlinear", "Q", "4w, 8w; not for MLX: 8da4w, 8da8w.")
    ] = None,
    qlinear_group_size: Annotated[
        _Whole, typer.Option(min=0, help="Weights that share a scale.")
    ] = None,
    qlinear_packing_format: Annotated[
        _Text, _option("--qlinear-packing-format", "F", "torchao's packing of 4w.")
    ] = None,
    decoder_qlinear_scope: Annotated[
        _Text, _option("--decoder-qlinear-scope", "S", "all, attention, feed_forward or none.")
    ] = None,
    qlinear_codec: Annotated[
        _Text, _option("--qlinear-codec", "Q", "4w or 8w; not for MLX.")
    ] = None,
    qlinear_codec_group_size: Annotated[
        _Whole, typer.Option(min=0, help="The same for the codec.")
    ] = None,
    qembedding: Annotated[
        _Text, _option("--qembedding", "Q", "4w or 8w; XNNPACK leaves it out.")
    ] = None,
    qembedding_group_size: Annotated[
        _Whole, typer.Option(min=0, help="The same for embeddings.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Export even if cached.")] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Export again in another process; exit 1 if it differs."),
    ] = False,
) -> None:
    """Write model.pte and codec_decoder.pte for upstream's runner."""
    from harness.export.command import parse_flags, write_artifacts
    from harness.files import check_directory

    check_directory(output_dir)
    flags = parse_flags(
        backend=backend,
        dtype=dtype,
        precision=precision,
        target=export_target,
        streaming=streaming,
        qlinear=qlinear,
        qlinear_group_size=qlinear_group_size,
        qlinear_packing_format=qlinear_packing_format,
        decoder_qlinear_scope=decoder_qlinear_scope,
        qembedding=qembedding,
        qembedding_group_size=qembedding_group_size,
        qlinear_codec=qlinear_codec,
        qlinear_codec_group_size=qlinear_codec_group_size,
    )
    from harness.checkpoint import open_checkpoint
    from harness.parity.plan import resolve
    from harness.parity.request import Request

    request = Request(
        checkpoint=checkpoint, max_seq_len=max_seq_len, max_codec_frames=max_codec_frames
    )
    with progress() as say:
        opened = open_checkpoint(checkpoint, say)
        plan = resolve(request, opened)
        made = write_artifacts(
            opened,
            plan.sizes,
            flags,
            output_dir,
            voice=opened.find_voice(plan.utterance.voice),
            fresh=fresh,
            progress=say,
        )
    for artifact in made:
        path = output_dir / artifact.name
        typer.echo(f"{path}  {artifact.bytes:,} bytes  {artifact.sha256}")
    if verify:
        # Of options given twice the last counts. The directory spares the empty cache a synthesis,
        # and hides the preset's name, from which its usual sizes follow.
        same = ["--checkpoint", str(opened.directory)]
        same += ["--max-seq-len", str(plan.sizes.max_seq_len)]
        same += ["--max-codec-frames", str(plan.sizes.max_codec_frames)]
        _verify(same, output_dir, [artifact.name for artifact in made])


def _verify(same: Sequence[str], output_dir: Path, names: Sequence[str]) -> None:
    """Export again with the same options, from the same weights, and compare the files."""
    from harness.parity.repeat import compare_exports, exported_again

    arguments = [argument for argument in sys.argv[1:] if argument not in ("--verify", "--fresh")]
    arguments += same
    with progress() as say:
        say("exporting again, in a process of its own")
        with exported_again(arguments) as again:
            repeats = {name: compare_exports(output_dir / name, again / name) for name in names}
    for name, repeat in repeats.items():
        typer.echo(f"{name} exported again: {repeat.summary}")
    if not all(repeat.benign for repeat in repeats.values()):
        raise typer.Exit(1)
