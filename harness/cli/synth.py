"""``voxtral-parity synth``: say something, with the flags of upstream's runner."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from harness.cli import console
from harness.cli.options import (
    CheckpointOption,
    FramesOption,
    PrecisionOption,
    RequireOption,
    SeqLenOption,
)

__all__ = ["synth"]


def synth(
    text: Annotated[str, typer.Option("--text", help="What to say.")],
    voice: Annotated[
        str | None,
        typer.Option("--voice", help="A voice's name or its .pt or .bin file; neutral_female."),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Of the noise and of the draws.")
    ] = 42,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="Of the semantic code; 0 takes the likeliest.")
    ] = 0.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Most frames to make.")] = 2048,
    output: Annotated[
        Path | None,
        typer.Option(help="The WAV file; output.wav, or none with --speaker.", metavar="FILE"),
    ] = None,
    streaming: Annotated[
        bool, typer.Option("--streaming", help="Decode in chunks while frames are made.")
    ] = False,
    speaker: Annotated[
        bool,
        typer.Option("--speaker", help="Stream raw float32 little-endian samples to stdout."),
    ] = False,
    codes: Annotated[
        Path | None,
        typer.Option("--codes", metavar="FILE", help="Write the codes, a frame a line."),
    ] = None,
    seed_step: Annotated[
        bool,
        typer.Option("--seed-step/--no-seed-step", help="An [AUDIO] token after the prompt."),
    ] = True,
    checkpoint: CheckpointOption = "tiny",
    precision: PrecisionOption = "fp32",
    executor: Annotated[
        str,
        typer.Option("--executor", metavar="E", help="auto, native, portable, xnnpack or eager."),
    ] = "auto",
    require: RequireOption = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Speak with the two .pte files in DIR."),
    ] = None,
    max_seq_len: SeqLenOption = None,
    max_codec_frames: FramesOption = None,
) -> None:
    """Speak, as upstream's runner does, on any executor.

    Exit code 0: the WAV file is written. 2: it could not be made.
    """
    from harness.parity import Request
    from harness.parity.speaking import EAGER, Speaker, Utterance, room_for_chunks
    from harness.synthesis.dump import write_codes
    from harness.synthesis.timing import Stopwatch
    from harness.synthesis.wav import check_target, write_wav

    streaming = streaming or speaker
    target = output or (None if speaker else Path("output.wav"))
    for path in (target, codes):
        if path is not None:
            check_target(path)  # before the work, not after it
    request = Request(
        checkpoint=checkpoint,
        precision=precision,
        executor="auto" if executor == EAGER else executor,
        require=require,
        max_seq_len=max_seq_len,
        max_codec_frames=max_codec_frames,
        artifacts=artifacts,
    )
    wish = Utterance(text, voice, seed, temperature, max_new_tokens, seed_step, streaming)
    with console.raw_stdout() as raw, console.progress() as say:
        from harness.parity import Parity

        if streaming:
            request = room_for_chunks(request, max_new_tokens)
        parity = Parity(request, say)
        who = Speaker(parity, eager=executor == EAGER)
        who.prepare()
        say(f"speaking on {who.name}")
        rate = parity.sizes.sampling_rate
        play = (lambda samples: raw(samples.astype("<f4").tobytes())) if speaker else None
        watch = Stopwatch(rate, say, play or (lambda samples: None))
        speech = who.say(wish, watch)
        timing = watch.stop(streaming=streaming)
        parity.close()
        if target is not None:
            write_wav(target, speech.waveform, rate)
        if codes is not None:
            write_codes(codes, speech.codes)
    end = "END_AUDIO" if speech.ended else "no END_AUDIO"
    console.stderr(
        f"{timing.frames} frames ({timing.audio_seconds:.2f} s of audio, {end}) in "
        f"{timing.generate_ms:.0f} ms, first audio after {timing.first_audio_ms:.0f} ms, "
        f"RTF {timing.rtf:.3f}"
    )
    if target is not None and not speaker:
        digest = hashlib.sha256(target.read_bytes()).hexdigest()
        typer.echo(f"{target}  {target.stat().st_size:,} bytes  {digest}")
