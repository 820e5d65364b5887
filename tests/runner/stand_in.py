"""Stands in for upstream's runner: same flags, files and words; says what it was given to say.

STAND_IN_SPEECH names an .npz with `codes` (n_codebooks, frames) and `waveform`, and what a trace
tells: `prompt` (S,), `hidden` (3, dim), `embed` (dim,) and `logits` (3, n). STAND_IN_FAULT names
what goes wrong.
"""

import json
import os
import struct
import sys
import time

import numpy as np

flags = dict(part.removeprefix("--").partition("=")[::2] for part in sys.argv[1:])
wanted = {"model", "codec", "tokenizer", "text", "output", "seed", "temperature", "max_new_tokens"}
assert wanted <= set(flags) <= wanted | {"voice", "streaming", "speaker", "trace_json"}, flags
assert all(os.path.isfile(flags[name]) for name in ("model", "codec", "tokenizer"))
fault = os.environ.get("STAND_IN_FAULT", "")
speaker, streaming = "speaker" in flags, "streaming" in flags or "speaker" in flags
log = sys.stderr if speaker and fault != "chatter" else sys.stdout
if fault == "another program":
    sys.exit(0)
print("Voxtral TTS", file=log, flush=True)
print("Model config: dim=4", file=sys.stderr, flush=True)
print("Model loaded in 12ms", file=log, flush=True)
loaded = time.perf_counter()
if fault == "tell TF32":
    print(f"MLX_ENABLE_TF32={os.environ.get('MLX_ENABLE_TF32')}", file=sys.stderr)
    sys.exit(1)
if fault == "no backend":
    print("E 00:00:00.007 executorch:method.cpp:110] Backend MLXBackend is not registered.\n"
          "E 00:00:00.008 executorch:program.cpp:9] Loading failed.\n"
          "F 00:00:00.009 executorch:runner.cpp:3] In function x, assert failed", file=sys.stderr,
          flush=True)  # fmt: skip
    os.abort()
print("Warming up...", file=sys.stderr)
if fault == "crash":
    print("E 00:00 text_decoder prefill failed", file=sys.stderr, flush=True)
    os.abort()
if fault == "exit":
    sys.exit("Failed to open voice embedding")
if fault == "hang":
    time.sleep(60)
if fault == "long complaint":
    print(f"E 00:00:00.001 executorch:a.cpp:1] {'old news ' * 50}\n"
          f"E 00:00:00.002 executorch:b.cpp:2] {'x' * 250} and why.\nlast words",
          file=sys.stderr, flush=True)  # fmt: skip
    sys.exit(1)
time.sleep(0.3 if fault == "slow reload" else 0)
reload_ms = 0
if fault != "unseen reload":
    print("Model config: dim=4", file=sys.stderr, flush=True)
    reload_ms = int((time.perf_counter() - loaded) * 1e3)
speech = np.load(os.environ["STAND_IN_SPEECH"])
prompt = list(map(int, speech["prompt"])) if "prompt" in speech else [1, 25, 36, 7, 35, 25]
if fault == "other prompt":
    prompt[-3:-2] = [24, 24]
print(f"Prompt: {len(prompt)} tokens (voice_start=2)", file=sys.stderr)
frames = min(int(flags["max_new_tokens"]), speech["codes"].shape[1])
ended = frames == speech["codes"].shape[1]
codes = speech["codes"][:, :frames].copy()
samples = speech["waveform"][: frames * 1920].copy()
if fault == "silent":
    print("No audio frames generated.", file=sys.stderr)
    sys.exit(0)
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
if ended:
    print(f"END_AUDIO at frame {frames}", file=sys.stderr)
if streaming:
    for start in range(0, frames * 1920, 9600):
        chunk = samples[start : start + 9600].astype("<f4")
        if speaker:
            sys.stdout.buffer.write(chunk.tobytes())
        print(f"  Chunk: {len(chunk)} samples ({len(chunk) / 24000}s)", file=log, flush=True)
    print(f"Streaming: {frames} frames ({frames * 0.08:g}s) in {95 + reload_ms}ms, RTF=0.06",
          file=sys.stderr)  # fmt: skip
else:
    kept = frames - 1 if fault == "fewer codes" else frames
    with open(os.environ["VOXTRAL_DUMP_CODES"], "w") as dump:
        for frame in range(kept):
            row = ",".join(map(str, codes[:, frame]))
            dump.write(f"frame={frame} sem={codes[0, frame]} codes={row}\n")
    print(f"Generated {frames} frames ({frames * 0.08:g}s audio) in {95 + reload_ms}ms\nRTF: 0.06",
          file=sys.stderr)  # fmt: skip
if "trace_json" in flags:
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
            "semantic_code": code + (fault == "other trace"),
            "semantic_topk": [{"id": i, "logit": float(logits[frame, i])} for i in top],
        })  # fmt: skip
    vectors = {"prefill_hidden": hidden[0], "frame0_hidden": hidden[1], "seed_hidden": hidden[1],
               "frame0_audio_embed": embed, "frame1_hidden": hidden[2]}  # fmt: skip
    trace = {"mode": "runner_exported", "prompt_token_ids": prompt, "seed_step_applied": True,
             "frames": told, **{name: vector.tolist() for name, vector in vectors.items()},
             "generated_frames": frames}  # fmt: skip
    text = json.dumps(trace, indent=2)
    with open(flags["trace_json"], "w") as file:
        file.write(text[:200] if fault == "truncated trace" else text)
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
if fault != "no WAV":
    with open(flags["output"], "wb") as file:
        file.write(header + data)
