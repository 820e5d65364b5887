"""``voxtral-parity export``: the flags of upstream's ``export_voxtral_tts.py``, and MLX."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import options
from harness.cli.console import progress
from harness.cli.options import flag, option

__all__ = ["export"]

_Text = str | None
_Whole = int | None


def export(
    checkpoint: Annotated[
        str,
        typer.Option("--model-path", "--checkpoint", metavar="DIR|PRESET", help="Which weights."),
    ] = "tiny",
    backend: Annotated[str, option("--backend", "B", "mlx, xnnpack or portable.")] = "mlx",
    dtype: Annotated[_Text, option("--dtype", "T", "fp32, the default, or bf16.")] = None,
    precision: Annotated[
        _Text, option("--precision", "P", "fp32, bf16 or bf16-4w8w: --dtype and all --q….")
    ] = None,
    output_dir: Annotated[Path, option("--output-dir", "DIR", "Where the files go.")] = Path(
        "voxtral_tts_exports"
    ),
    export_target: Annotated[str, option("--export-target", "WHICH", "all, model or codec.")] = (
        "all"
    ),
    max_seq_len: Annotated[
        _Whole,
        option(
            "--max-seq-len",
            "N",
            "Positions of the KV cache; a checkpoint's: 4096.",
            min=1,
            max=options.MOST_POSITIONS,
        ),
    ] = None,
    max_codec_frames: Annotated[
        _Whole,
        option(
            "--max-codec-frames",
            "N",
            "Frames of one codec call; a checkpoint's: 256.",
            min=1,
            max=options.MOST_FRAMES,
        ),
    ] = None,
    streaming: Annotated[bool, flag("--streaming", "Tell the runner to decode in chunks.")] = False,
    qlinear: Annotated[
        _Text, option("--qlinear", "Q", "4w, 8w; not for MLX: 8da4w, 8da8w.")
    ] = None,
    qlinear_group_size: options.QLinearGroup = None,
    qlinear_packing_format: Annotated[
        _Text, option("--qlinear-packing-format", "F", "torchao's packing of 4w.")
    ] = None,
    decoder_qlinear_scope: options.Scope = None,
    qlinear_codec: Annotated[
        _Text, option("--qlinear-codec", "Q", "4w or 8w; not for MLX.")
    ] = None,
    qlinear_codec_group_size: Annotated[
        _Whole, option("--qlinear-codec-group-size", "N", "The same for the codec.", min=0)
    ] = None,
    qembedding: Annotated[
        _Text, option("--qembedding", "Q", "4w or 8w; XNNPACK leaves it out.")
    ] = None,
    qembedding_group_size: options.QEmbeddingGroup = None,
    fresh: Annotated[bool, flag("--fresh", "Export even if cached.")] = False,
    verify: Annotated[
        bool, flag("--verify", "Export again in another process; exit 1 if it differs.")
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
    from harness.checkpoint.voices import readable_voice
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
            voice=readable_voice(opened, plan.utterance.voice),
            fresh=fresh,
            progress=say,
        )
    for artifact in made:
        path = output_dir / artifact.name
        typer.echo(f"{path}  {artifact.bytes:,} bytes  {artifact.sha256}")
    if verify:
        # Of options given twice the last counts. The directory spares the empty cache a synthesis,
        # and hides the preset's name, from which its usual sizes follow.
        same = {
            "--checkpoint": opened.directory,
            "--max-seq-len": plan.sizes.max_seq_len,
            "--max-codec-frames": plan.sizes.max_codec_frames,
        }
        arguments = [word for word in sys.argv[1:] if word not in ("--verify", "--fresh")]
        arguments += [str(word) for pair in same.items() for word in pair]
        _verify(arguments, output_dir, [artifact.name for artifact in made])


def _verify(arguments: Sequence[str], output_dir: Path, names: Sequence[str]) -> None:
    """Export again with the same options, from the same weights, and compare the files."""
    from harness.parity.repeat import compare_exports, exported_again

    with progress() as say:
        say("exporting again, in a process of its own")
        with exported_again(arguments) as again:
            repeats = {name: compare_exports(output_dir / name, again / name) for name in names}
    for name, repeat in repeats.items():
        typer.echo(f"{name} exported again: {repeat.summary}")
    if not all(repeat.benign for repeat in repeats.values()):
        raise typer.Exit(1)
