"""``voxtral-parity synth``: say something, with the flags of upstream's runner."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console

from harness.cli import console, options
from harness.cli.options import flag, option
from harness.compare.verdict import exit_code
from harness.errors import InputError
from harness.files import check_targets

__all__ = ["synth"]


def synth(
    text: Annotated[str, option("--text", "TEXT", "What to say.")],
    voice: options.Voice = None,
    seed: options.Seed = 42,
    temperature: Annotated[
        float, option("--temperature", "T", "Of the semantic code; 0 takes the likeliest.", min=0.0)
    ] = 0.0,
    max_new_tokens: options.MaxNewTokens = 2048,
    output: Annotated[
        Path | None, option("--output", "FILE", "The WAV file; output.wav, or none with --speaker.")
    ] = None,
    streaming: options.Streaming = False,
    speaker: Annotated[
        bool, flag("--speaker", "Stream raw float32 little-endian samples to stdout.")
    ] = False,
    codes: Annotated[
        Path | None, option("--codes", "FILE", "Write the codes, a frame a line.")
    ] = None,
    seed_step: Annotated[
        bool, flag("--seed-step/--no-seed-step", "An [AUDIO] token after the prompt.")
    ] = True,
    checkpoint: options.Checkpoint = "tiny",
    precision: options.Precision = "fp32",
    executor: Annotated[
        str,
        option("--executor", "E", "auto, native, portable[:gpu], xnnpack, eager or runner."),
    ] = "auto",
    require: options.Require = None,
    regime: options.Regime = None,
    runner_path: options.RunnerPath = None,
    runner_timeout: options.RunnerTimeout = 3600.0,
    artifacts: options.Artifacts = None,
    max_seq_len: options.SeqLen = None,
    max_codec_frames: options.Frames = None,
    semantics: options.Semantics = "executorch",
    asr: options.Asr = None,
    asr_command: options.AsrCommand = None,
    json: options.Json = None,
) -> None:
    """Speak, as upstream's runner does, on any executor.

    Exit code 0: the WAV file is written, and with --asr the text was heard in it. 1: other words
    were heard, or none. 2: it could not be made.
    """
    from harness.asr import Transcriber
    from harness.bench.figures import reload_note, write_speech
    from harness.bench.speaking import subject_of
    from harness.files import file_digest
    from harness.parity.request import RUNNER, Request
    from harness.parity.speaking import EAGER, open_speaker, with_room_for_chunks
    from harness.report import print_verdicts
    from harness.synthesis import Utterance
    from harness.synthesis.dump import write_codes
    from harness.synthesis.wav import write_audio

    target = output or (None if speaker else Path("output.wav"))
    check_targets(target, codes, json)
    transcriber = Transcriber.of(asr, asr_command)
    if transcriber is not None and target is None:
        raise InputError("--asr transcribes the WAV file; with --speaker, name one by --output")
    request = Request(
        checkpoint=checkpoint,
        precision=precision,
        executor="auto" if executor == EAGER else executor,
        require=require,
        regime=regime,
        max_seq_len=max_seq_len,
        max_codec_frames=max_codec_frames,
        artifacts=artifacts,
        utterance=Utterance(
            text, voice, seed, temperature, max_new_tokens, seed_step, streaming or speaker
        ),
        runner=runner_path,
        runner_timeout=runner_timeout,
        semantics=semantics,
    )
    if executor != EAGER and semantics != "executorch":
        raise InputError("--semantics changes eager alone; add --executor eager, or leave it out")
    if request.executor == RUNNER and speaker:
        raise InputError("the runner has a --speaker of its own; leave --speaker out, or start it")
    if request.executor == RUNNER and codes is not None and streaming:
        raise InputError("the runner tells no codes when it streams; leave --codes out")
    with console.raw_stdout() as raw, console.progress() as say:

        def play(samples: NDArray[np.float32]) -> None:
            if speaker:
                raw(samples.astype("<f4").tobytes())

        if request.utterance.streaming:
            request = with_room_for_chunks(request)
        who = open_speaker(request, eager=executor == EAGER, progress=say, play=play)
        note = who.checkpoint.voice_note(voice)
        if note is not None:
            say(note)
        who.prepare()
        name = who.name
        say(f"speaking on {name}")
        spoken = who.say(request.utterance)
        who.close()
        if target is not None:
            write_audio(target, spoken.pcm, spoken.sampling_rate)
        if codes is not None and spoken.codes is not None:
            write_codes(codes, spoken.codes)
        heard = None
        if transcriber is not None and target is not None:
            say(f"{transcriber.engine} transcribes")
            synthetic = who.checkpoint.preset is not None
            heard = transcriber.judge_file(target, text, synthetic=synthetic)
        if json is not None:
            subject = subject_of(who.plan, who.plan.semantics.spoken(request.utterance))
            write_speech(json, subject, name, spoken.timing, heard)
    timing = spoken.timing
    end = "END_AUDIO" if timing.ended else "no END_AUDIO"
    console.stderr(
        f"{timing.frames} frames ({timing.audio_seconds:.2f} s of audio, {end}) in "
        f"{timing.generate_ms:.0f} ms, first audio after {timing.first_audio_ms:.0f} ms, "
        f"RTF {timing.rtf:.3f}"
    )
    if name == RUNNER:
        console.stderr(reload_note([timing]))
    if target is not None and not speaker:
        digest = file_digest(target)
        typer.echo(f"{target}  {target.stat().st_size:,} bytes  {digest}")
    if heard is not None:
        # With --speaker, standard output is the samples' alone.
        print_verdicts([heard], Console(stderr=True) if speaker else console.stdout())
        raise typer.Exit(exit_code([heard]))
