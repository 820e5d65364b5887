"""The semantic code, against a C++ program of the runner's own choice (libstdc++, x86-64)."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import InputError
from harness.synthesis.sampling import SemanticSampler

CPP = {
    0.7: [388, 115, 358, 267, 244, 36, 197, 150, 58, 341, 43, 315, 488, 1, 510, 324, 332, 7, 6],
    1.0: [330, 431, 99, 170, 105, 387, 205, 86, 305, 23, 427, 278, 191, 463, 369, 155, 287, 244],
    3.0: [441, 245, 50, 197, 355, 340, 306, 126, 282, 195, 501, 438, 389, 129, 118, 29, 373, 66],
}  # fmt: skip
"""What the program drew with seed 42 at each temperature, one after the other."""


class Logits:
    """The program's logits: uniform on ±4 by xorshift64 from 7; code 0 and the padding masked."""

    def __init__(self) -> None:
        self.state = 7

    def next(self) -> np.ndarray:
        logits = np.array([self._uniform() for _ in range(640)], np.float32)
        logits = logits * np.float32(8) - np.float32(4)
        logits[0] = logits[512:] = -np.inf
        return logits

    def _uniform(self) -> np.float32:
        x = self.state
        x ^= (x << 13) & (2**64 - 1)
        x ^= x >> 7
        x ^= (x << 17) & (2**64 - 1)
        self.state = x
        return np.float32(x >> 11) * np.float32(2.0**-53)


def test_draws_are_the_runners() -> None:
    logits, drawn = Logits(), {}
    twister = SemanticSampler(42)._twister  # the program used one for all, 40 draws of each
    for temperature in CPP:
        sampler = SemanticSampler(42, temperature)
        sampler._twister = twister
        drawn[temperature] = [sampler.choose(logits.next()).code for _ in range(40)]
    assert {t: codes[: len(CPP[t])] for t, codes in drawn.items()} == CPP


def test_the_generator_is_the_standards() -> None:
    # [rand.predef]: the 10000th number of a default mt19937, whose seed is 5489
    sampler = SemanticSampler(5489, 1.0)
    sampler._twister.bytes(4 * 9999)
    assert int.from_bytes(sampler._twister.bytes(4), "little") == 4123659995


def test_temperature_zero_takes_the_first_of_the_greatest() -> None:
    choice = SemanticSampler(1).choose(np.array([0, 3, 1, 3], np.float32))
    assert (choice.code, choice.runner_up, choice.margin) == (1, 3, 0.0)


def test_the_margin_is_the_distance_from_the_runner_up() -> None:
    choice = SemanticSampler(1).choose(np.array([-np.inf, 3, 2.5, 1], np.float32))
    assert (choice.code, choice.runner_up, choice.margin) == (1, 2, 0.5)


def test_masked_codes_are_never_drawn() -> None:
    sampler = SemanticSampler(3, 100.0)
    logits = np.array([-np.inf, 0, -np.inf, 0, -np.inf], np.float32)
    drawn = [sampler.choose(logits) for _ in range(50)]
    assert {choice.code for choice in drawn} == {1, 3}
    assert {choice.runner_up for choice in drawn} == {1, 3}


def test_a_draws_margin_is_its_distance_from_the_bound() -> None:
    sampler = SemanticSampler(42, 1.0)
    drawn = [sampler.choose(np.zeros(2, np.float32)) for _ in range(200)]
    # a fair coin: uniforms are 0.5 − margin for code 0 and 0.5 + margin for code 1
    assert all(0 <= choice.margin <= 0.5 for choice in drawn)
    assert np.mean([choice.code for choice in drawn]) == pytest.approx(0.5, abs=0.1)
    assert np.mean([choice.margin for choice in drawn]) == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize("temperature", [-0.1, float("nan"), float("inf")])
def test_a_temperature_that_makes_no_sense_is_refused(temperature: float) -> None:
    with pytest.raises(InputError, match="temperature must be 0 or a positive number"):
        SemanticSampler(1, temperature)
