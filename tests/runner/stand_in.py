"""Stands in for upstream's runner: same flags, files and words; says what it was given to say.

STAND_IN_SPEECH names an .npz with `codes` (n_codebooks, frames) and `waveform`, and what a trace
tells: `prompt` (S,), `hidden` (3, dim), `embed` (dim,) and `logits` (3, n). STAND_IN_FAULT names
what goes wrong.
"""

import itertools
import json
import os
import struct
import sys
import time

import numpy as np

FLAGS = {"model", "codec", "tokenizer", "text", "output", "seed", "temperature", "max_new_tokens",
         "voice", "streaming", "speaker", "trace_json"}  # fmt: skip


def tell(text: str) -> None:
    """Print a line where the program logs what it does."""
    print(text, file=sys.stderr, flush=True)


def abort(where: str, text: str) -> None:
    """End as a failed check of ExecuTorch's does."""
    tell(f"F 00:00:00.009 executorch:voxtral_tts_runner.cpp:3] In function {where}: {text}")
    os.abort()


tell("I tokenizers:regex.cpp:40] Registering override fallback regex")
flags = dict(part.removeprefix("--").partition("=")[::2] for part in sys.argv[1:])
for name in set(flags) - FLAGS:
    sys.exit(f"ERROR: unknown command line flag '{name}'")
if not flags.get("text"):
    sys.exit("Error: --text is required")
fault = os.environ.get("STAND_IN_FAULT", "")
if fault == "another program":
    sys.exit(0)
if fault == "older program":
    sys.exit("ERROR: unknown command line flag 'trace_json'")
speaker, streaming = "speaker" in flags, "streaming" in flags or "speaker" in flags
log = sys.stderr if speaker and fault != "chatter" else sys.stdout
mode = "streaming+speaker" if speaker else "streaming" if streaming else "offline"
print(
    f"""Voxtral TTS
  Model: {flags["model"]}
  Codec: {flags["codec"]}
  Tokenizer: {flags["tokenizer"]}
  Text: "{flags["text"]}"
  Output: {flags["output"]}
  Seed: {flags["seed"]}
  Mode: {mode}""",
    file=log,
    flush=True,
)
for name in ("model", "codec", "tokenizer"):
    if not os.path.isfile(flags[name]):
        abort("VoxtralTTSRunner(), assert failed (x)", f"Failed to load {name}.")
config = (
    "Model config: dim=4 voice_embed_len=12 audio_tok=24 begin_audio=25 max_seq=128 codec_frames=40"
)
tell(config)
if fault != "unseen warm-up":
    tell("Warming up...")
time.sleep(0.3 if fault == "slow warm-up" else 0)
if fault == "no backend":
    tell("E 00:00:00.007 executorch:method.cpp:85] Backend MLXBackend is not registered.")
    abort("warmup(), assert failed (token_embed_result.ok())", "token_embedding warmup failed")
tell("Warmup complete.")
print("Model loaded in 12ms", file=log, flush=True)
if fault == "tell TF32":
    sys.exit(f"MLX_ENABLE_TF32={os.environ.get('MLX_ENABLE_TF32')}")
if fault == "hang":
    time.sleep(60)
if fault == "long complaint":
    tell(f"E 00:00:00.001 executorch:a.cpp:1] {'old news ' * 50}\n"
         f"E 00:00:00.002 executorch:b.cpp:2] {'x' * 250} and why.\nlast words")  # fmt: skip
    sys.exit(1)
tell(config)
if fault == "no voice":
    abort("load_voice_embedding(), assert failed (false)", "Failed to open voice embedding: v.pt")
speech = np.load(os.environ["STAND_IN_SPEECH"])
voice = flags.get("voice", "neutral_female.pt")
prompt = list(map(int, speech["prompt"])) if "prompt" in speech else [1, 25, 36, 7, 35, 25]
if fault == "other prompt":
    prompt[-3:-2] = [24, 24]
rows = prompt[: prompt.index(36)].count(24)
tell(f'Loaded voice embedding: {rows} x 4 from "{voice}"')
tell(f"Prompt: {len(prompt)} tokens (voice_start=2 voice_len={rows} "
     f"text_tokens={len(prompt) - rows - 5})")  # fmt: skip
if not streaming:
    tell(f"Voice embedding spliced at positions 2..{1 + rows}")
if fault == "crash":
    abort("synthesize(), assert failed (dec_result.ok())", "text_decoder prefill failed")
if fault == "codec too short" and streaming:
    abort("decode_code_window(), assert failed (window_frames <= max_codec_frames_)",
          "codec decode window exceeds exported maximum")  # fmt: skip
frames = min(int(flags["max_new_tokens"]), speech["codes"].shape[1])
ended = frames == speech["codes"].shape[1]
codes = speech["codes"][:, :frames].copy()
samples = speech["waveform"][: frames * 1920].copy()
if fault == "silent":
    ended, frames, codes, samples = True, 0, codes[:, :0], samples[:0]
if fault == "other codes":
    codes[5, 2] += 2 if codes[5, 2] < 12 else -2
if fault == "other sound" or (fault == "other stream" and streaming):
    samples *= 0.5
if fault == "noise":
    samples = np.random.default_rng(5).uniform(-0.3, 0.3, len(samples)).astype(np.float32)
if fault == "late sound":
    samples = np.roll(samples, 1)
if fault == "moody":
    samples[:200] += np.random.default_rng().uniform(0, 0.01, 200).astype(np.float32)
for frame in range(25, frames + 1, 25):
    if not streaming:
        tell(f"  Frame {frame} ({frame * 0.08:g}s audio)")
if ended:
    tell(f"END_AUDIO at frame {frames}")
if streaming:
    for start, end in itertools.pairwise([0, *range(5, frames, 25), frames]):
        chunk = samples[start * 1920 : end * 1920].astype("<f4")
        if speaker:
            sys.stdout.buffer.write(chunk.tobytes())
            sys.stdout.buffer.flush()
        if len(chunk):
            print(f"  Chunk: {len(chunk)} samples ({len(chunk) / 24000:g}s)", file=log, flush=True)
    real_time = 0.06 if frames else "inf"
    tell(f"Streaming: {frames} frames ({frames * 0.08:g}s) in 95ms, RTF={real_time}")
else:
    for frame in range(frames - 1 if fault == "fewer codes" else frames):
        row = ",".join(map(str, codes[:, frame]))
        with open(os.environ["VOXTRAL_DUMP_CODES"], "a" if frame else "w") as dump:
            dump.write(f"frame={frame} sem={codes[0, frame]} codes={row}\n")
    if frames:
        tell(f"Generated {frames} frames ({frames * 0.08:g}s audio) in 95ms")
        tell("RTF: 0.06")
scaled = np.clip(samples, -1, 1) * np.float32(32767)
data = (np.rint(scaled) if fault == "rounded WAV" else scaled).astype("<i2").tobytes()
rate = 16000 if fault == "other rate" else 24000
header = struct.pack("<4sI8sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVEfmt ", 16, 1, 1, rate,
                     2 * rate, 2, 16, b"data", len(data))  # fmt: skip
if fault == "empty WAV":
    data = header = b""
if fault == "unfinished WAV":
    header = header[:4] + bytes(4) + header[8:40] + bytes(4)
if fault == "lying WAV":
    header = header[:40] + struct.pack("<I", 2**31)
if fault == "17 bits":
    header = header[:34] + struct.pack("<H", 17) + header[36:]
if fault == "truncated WAV":
    data = data[:-1000]
if fault == "short WAV":
    data = data[:-1920]
    header = (
        header[:4] + struct.pack("<I", 36 + len(data)) + header[8:40] + struct.pack("<I", len(data))
    )
if fault == "no WAV" and streaming:
    abort("synthesize_streaming(), assert failed (wav.IsOpen())", "Failed to open WAV output")
if fault == "no WAV":
    tell(f"Failed to open output: {flags['output']}")
elif frames or streaming:
    with open(flags["output"], "wb") as file:
        file.write(header + data)
    if not streaming:
        tell(f"Wrote {len(samples)} samples to {flags['output']}")
if "trace_json" in flags and not streaming:
    chosen = [*codes[0, :3].tolist(), *[1] * ended][:3]
    none = {"hidden": np.zeros((3, 4)), "embed": np.zeros(4), "logits": np.eye(3000)[chosen]}
    hidden, embed, logits = (np.array(speech.get(name, none[name]), np.float32) for name in none)
    if fault == "other hidden":
        hidden[1] *= 1.5
    if fault == "other embedding":
        embed = -embed
    if fault == "other logits":
        logits += 2.0
    told = []
    for frame, code in enumerate(chosen):
        top = np.argsort(-logits[frame], kind="stable")[:5].tolist()
        told.append({
            "frame": frame,
            "hidden_norm_before_frame": 16.0,
            "semantic_code": code + (fault == "other trace"),
            "semantic_topk": [{"id": i, "logit": float(logits[frame, i])} for i in top],
            "full_codes": codes[:, frame].tolist() if frame < frames else [],
            **({"x_min": -1.0, "x_max": 1.0} if frame < frames else {"end_audio": True}),
        })  # fmt: skip
    trace = {
        "mode": "runner_exported",
        "text": flags["text"],
        "voice_path": voice,
        "seed": int(flags["seed"]) % 2**32,
        "prompt_token_ids": prompt,
        "voice_start": 2,
        "voice_len": rows,
        "seed_step_applied": True,
        "frames": told,
        "prefill_hidden": hidden[0].tolist(),
        "frame0_hidden": hidden[1].tolist(),
        "seed_hidden": hidden[1].tolist(),
        "seed_position": len(prompt),
        "frame0_position": len(prompt),
        "generated_frames": frames,
        "waveform": {
            "num_samples": len(samples),
            "min": float(samples.min(initial=0)),
            "max": float(samples.max(initial=0)),
            "mean_abs": float(np.abs(samples).mean()) if frames else 0.0,
            "peak_abs": float(np.abs(samples).max(initial=0)),
        },
    }
    if ended:
        trace["end_audio_at_frame"] = frames
    if frames:
        trace |= {
            "frame0_full_codes": codes[:, 0].tolist(),
            "frame0_audio_embed": embed.tolist(),
            "frame1_position": len(prompt) + 1,
            "frame1_hidden": hidden[2].tolist(),
        }
    text = json.dumps(trace, indent=2, sort_keys=True)
    with open(flags["trace_json"], "w") as file:
        file.write(text[:200] if fault == "truncated trace" else text + "\n")
    tell(f"Wrote trace JSON: {flags['trace_json']}")
if not frames and not streaming:
    tell("No audio frames generated.")
elif not streaming:
    tell("Total time: 120ms")
