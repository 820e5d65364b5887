"""Stands in for upstream's runner: same flags, files and words; says what it was given to say.

STAND_IN_SPEECH names an .npz with `codes` (n_codebooks, frames) and `waveform`; STAND_IN_FAULT
names what goes wrong.
"""

import os
import struct
import sys
import time

import numpy as np

flags = dict(part.removeprefix("--").partition("=")[::2] for part in sys.argv[1:])
wanted = {"model", "codec", "tokenizer", "text", "output", "seed", "temperature", "max_new_tokens"}
assert wanted <= set(flags) <= wanted | {"voice", "streaming", "speaker"}, flags
assert all(os.path.isfile(flags[name]) for name in ("model", "codec", "tokenizer"))
fault = os.environ.get("STAND_IN_FAULT", "")
speaker, streaming = "speaker" in flags, "streaming" in flags or "speaker" in flags
log = sys.stderr if speaker and fault != "chatter" else sys.stdout
if fault == "another program":
    sys.exit(0)
print("Voxtral TTS\nModel loaded in 12ms", file=log, flush=True)
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
speech = np.load(os.environ["STAND_IN_SPEECH"])
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
    print(f"Streaming: {frames} frames ({frames * 0.08:g}s) in 95ms, RTF=0.06", file=sys.stderr)
else:
    kept = frames - 1 if fault == "fewer codes" else frames
    with open(os.environ["VOXTRAL_DUMP_CODES"], "w") as dump:
        for frame in range(kept):
            row = ",".join(map(str, codes[:, frame]))
            dump.write(f"frame={frame} sem={codes[0, frame]} codes={row}\n")
    print(f"Generated {frames} frames ({frames * 0.08:g}s audio) in 95ms\nRTF: 0.06",
          file=sys.stderr)  # fmt: skip
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
