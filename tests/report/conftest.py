"""A report such as a run makes: passes, a failure of each sort, and something unjudged."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from harness.compare import (
    Allowance,
    Gate,
    Status,
    Verdict,
    judge,
    judge_many,
    judge_waveform,
    statistics,
)
from harness.fingerprint import Fingerprint
from harness.golden import Golden, GoldenKey, as_codes
from harness.golden import judge as judge_golden
from harness.report import (
    ArtifactFacts,
    CheckpointFacts,
    Choice,
    Figures,
    Finding,
    Localized,
    Place,
    Reference,
    Report,
)
from harness.report.figures import Decided, Decisions, Outputs, Sound, Steps

ALLOWANCE = Allowance(1e-5, 1e-5, 1e-5, "ten times what was measured on x86-64")
MASKED = Allowance(1e-5, 1e-5, 1e-5, "ten times what was measured on x86-64", masked=True)


def near(x: np.ndarray, error: float) -> np.ndarray:
    return (x + error * np.random.default_rng(9).standard_normal(x.shape)).astype(np.float32)


@pytest.fixture(scope="session")
def passing() -> tuple[Verdict, ...]:
    random = np.random.default_rng(1)
    embedding = random.standard_normal((1, 7, 256)).astype(np.float32)
    hidden = [random.standard_normal((1, 1, 256)).astype(np.float32) for _ in range(22)]
    logits = random.standard_normal((1, 8320)).astype(np.float32)
    logits[:, 0] = -np.inf
    sound = (0.2 * random.standard_normal((1, 1, 40320))).clip(-0.9, 0.9).astype(np.float32)
    return (
        Verdict(
            "token_embedding",
            "delegation",
            "delegation",
            Status.PASS,
            "one MLX delegate of 1 nodes, nothing outside it",
            {"nodes": 1, "not delegated": ()},
            (Gate("calls outside delegates", 0, 0),),
            1,
        ),
        judge("token_embedding", "speech", embedding, embedding, ALLOWANCE),
        judge("audio_token_embedding", "random codes", near(embedding, 1e-7), embedding, ALLOWANCE),
        judge_many("text_decoder", "speech", [(near(h, 3e-7), h) for h in hidden], ALLOWANCE),
        judge_many("semantic_head", "speech", [(near(logits, 2e-6), logits)] * 21, MASKED),
        judge_waveform("codec", "speech", near(sound, 2e-7), sound, ALLOWANCE, 24000),
    )


@pytest.fixture(scope="session")
def troubled(passing: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    random = np.random.default_rng(2)
    hidden = [random.standard_normal((1, 1, 256)).astype(np.float32) for _ in range(22)]
    shifted = [(near(h, 3e-7), h) for h in hidden]
    shifted[13] = (np.roll(hidden[13], 1), hidden[13])
    velocity = random.standard_normal((1, 36)).astype(np.float32)
    broken = velocity.copy()
    broken[0, 17] = np.nan
    sound = (0.2 * random.standard_normal(24000)).astype(np.float32)
    key = GoldenKey("tiny", "codec", "fp32", "exact-f32")
    codes = np.arange(74).reshape(37, 2)
    sums = {"checkpoint": "ab" * 32}
    versions = {"torch": "2.13.0"}

    def run(x: np.ndarray, said: np.ndarray, **changed: Any) -> Golden:
        told = statistics(x, 24000, 2)
        made = Golden(key, told, as_codes(said), sums, "2026-08-01", versions)
        return dataclasses.replace(made, **changed)

    golden = run(sound, codes)
    return (
        *passing,
        Verdict(
            "codec",
            "delegation",
            "delegation",
            Status.FAIL,
            "expected one MLX delegate and nothing outside it, got 4 × MLXBackend; not "
            "delegated: aten::index_put",
            {"nodes": 212, "not delegated": ("aten::index_put",)},
            (Gate("MLX delegates beside one", 3, 0), Gate("calls outside delegates", 3, 0)),
            212,
        ),
        judge_many("text_decoder", "random S=7", shifted, ALLOWANCE),
        judge("predict_velocity", "t=0", broken, velocity, ALLOWANCE),
        judge("predict_velocity", "t=6", velocity / 2, velocity, ALLOWANCE),
        judge("semantic_head", "zeros", velocity * 0, velocity * 0, ALLOWANCE),
        judge_waveform("codec", "halved", sound / 2, sound, ALLOWANCE, 24000),
        *judge_golden(golden, run(sound / 2, codes + (codes > 70))),
        *judge_golden(golden, run(sound, codes, inputs={"checkpoint": "cd" * 32})),
        *judge_golden(None, run(sound, codes, key=GoldenKey("small", "codec", "fp32", "metal"))),
    )


def make_report(verdicts: tuple[Verdict, ...]) -> Report:
    return Report(
        tool_version="0.1.0",
        started="2026-08-01T12:00:00Z",
        seconds=41.27,
        command="voxtral-parity check --json report.json",
        checkpoint=CheckpointFacts("tiny", "1a2b3c4d" * 8, "tiny-0f1e2d3c"),
        precision="fp32",
        executor=Fingerprint(
            "portable",
            "x86_64 CPU, 2 cores",
            {"executorch": "1.5.1", "mlx": "0.32.4", "torch": "2.13.0", "torchao": "0.18.0"},
            ("BLAS of torch in place of MLX's reference BLAS.",),
        ),
        artifacts=(
            ArtifactFacts("model.pte", 15_204_352, "5e" * 32, 21.4, "exported"),
            ArtifactFacts("codec_decoder.pte", 4_812_800, "7f" * 32, 0.0, "cached"),
        ),
        reference=Reference(
            "upstream's eager model (executorch 1.5.1), float32",
            (
                Choice("alibi", "2^(-8(h+1)/n)", "executorch, mlx-audio, voxtral-tts.c"),
                Choice("seed step", "on", "executorch's C++ runner, voxtral-tts.c"),
            ),
        ),
        verdicts=verdicts,
    )


@pytest.fixture(scope="session")
def green(passing: tuple[Verdict, ...]) -> Report:
    return make_report(passing)


@pytest.fixture(scope="session")
def red(troubled: tuple[Verdict, ...]) -> Report:
    return make_report(troubled)


PLACE = Place(
    40, "ReshapeNode", "im2col", "aten.im2col.default", "codec_decoder.decoder_blocks.0",
    "model.py, line 974: return _conv1d_as_matmul(", ((1, 100, 42, 1), (1, 300, 40)),
)  # fmt: skip
FOUND = Localized(
    "codec", "speech", 0,
    (
        Finding(PLACE, "exact", "the lowering", 1.6, (0, 41, 16), (0.19, 1.54), (-1.2, -1.2),
                "adjacent-indices", "import torch\n"),
    ),
    True, "With the graph's value there, the output equals eager's.",
    tuple(range(60)), tuple([1e-16] * 40 + [1.6] + [0.5] * 19),
)  # fmt: skip


@pytest.fixture(scope="session")
def explained(passing: tuple[Verdict, ...]) -> Report:
    """A red run whose first wrong node is known."""
    command = "voxtral-parity localize codec --codec-form unfold --without adjacent-indices"
    gate = Gate("max abs", 1.5, 1e-7, "of scale", "speech, call 0")
    broken = Verdict(
        "codec", "in float64", "exact", Status.FAIL, "means something else than eager",
        {}, (gate,), 1, (FOUND.findings[0].sentences()[0], FOUND.proof), command,
    )  # fmt: skip
    return dataclasses.replace(make_report((*passing, broken)), findings=(FOUND,))


@pytest.fixture(scope="session")
def figures() -> Figures:
    """Arrays beside a red run: a wrong step, a wrong element, a wrong sound, a tie and a fault."""
    random = np.random.default_rng(3)
    meant = (0.2 * random.standard_normal((1, 1, 24000))).astype(np.float32)
    made = meant.copy()
    made[0, 0, 777] += 0.5
    shares = (*[0.4] * 30, 1590.0, *[0.9] * 9)
    labels = tuple(f"step {n}, SiluNode (silu_{n})" for n in range(40))
    flat = made.reshape(-1), meant.reshape(-1)
    return Figures(
        (Steps("codec", tuple(range(40)), shares, labels),),
        (Outputs("codec", "speech", (made,), (meant,), 1e-5),),
        (Sound("codec · speech", *flat, 24000, 12, 1e-5),),
        Decisions(
            519, 14,
            (
                Decided(3, 0, "17", 1e-5, 1e-4, "logits"),
                Decided(5, 9, "21", 0.7, 1e-3, "levels"),
            ),
        ),
    )  # fmt: skip
