"""Each check of an error beside eager's own, and the fault that no other of them sees.

Sounds and tensors are made here: the oracle's, eager's with noise of a known share, and a
candidate's with other noise of the same share, then broken.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from harness.budget.ledger import committed
from harness.compare import Gate, Multiples, Oracle, Status, Verdict, judge_own_error
from harness.compare.own_error import relative_error

RATE = 24_000
SHARES = {"fp32": 1e-6, "bf16": 0.019}
"""What eager loses of the codec's RMS, as measured on tiny."""

SHAPES = {"sound": (1, 1, 2 * RATE), "tensor": (1, 96, 512)}


class Trial:
    """An oracle's output, eager's and a right candidate's."""

    def __init__(self, kind: str, share: float, seed: int = 3) -> None:
        self.rng = np.random.default_rng(seed)
        self.rate = RATE if kind == "sound" else 0
        self.shape = SHAPES[kind]
        self.exact = 0.1 * self.rng.standard_normal(self.shape)
        self.noise = 0.1 * share
        self.eager = self.exact + self.gauss()
        self.made = self.exact + self.gauss()

    def gauss(self, times: float = 1.0) -> np.ndarray:
        return times * self.noise * self.rng.standard_normal(self.shape)

    def uniform(self, times: float) -> np.ndarray:
        """Noise of that RMS, in multiples of eager's, without peaks."""
        return times * self.noise * self.rng.uniform(-(3**0.5), 3**0.5, self.shape)

    def missed(self, made: np.ndarray | None = None) -> list[str]:
        """Names of the gates that fail."""
        verdict = self.judged(self.made if made is None else made)
        return [gate.name for gate in verdict.failed_gates]

    def judged(self, made: np.ndarray) -> Verdict:
        relative = relative_error([((self.eager,), (self.exact,))])
        before = Verdict("it", "case", "tensor", Status.PASS, "", gates=(Gate("max abs", 0, 1),),
                         elements=1)  # fmt: skip
        oracle = Oracle((self.exact,), relative)
        return judge_own_error(before, [(made, self.eager)], oracle, multiples(), self.rate)


def multiples() -> Multiples:
    found = committed().multiples("mlx", "fp32", "codec", "")
    assert found is not None
    return found


@pytest.fixture(params=SHARES)
def sound(request: pytest.FixtureRequest) -> Trial:
    return Trial("sound", SHARES[request.param])


@pytest.fixture(params=SHARES)
def tensor(request: pytest.FixtureRequest) -> Trial:
    return Trial("tensor", SHARES[request.param])


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("seed", range(20))
def test_another_order_of_rounding_passes(kind: str, share: float, seed: int) -> None:
    assert Trial(kind, share, seed).missed() == []


def test_a_narrower_accumulation_everywhere_is_seen_by_the_rms(tensor: Trial) -> None:
    """Sums in too few bits: three times the error in every element, and no element far off."""
    assert tensor.missed(tensor.exact + tensor.uniform(3.0)) == ["RMS of own"]


def test_one_wrong_position_is_seen_by_its_part(tensor: Trial) -> None:
    """A wrong slot of the cache: one position of 96, averaged away over all."""
    tensor.made[:, 48] = tensor.exact[:, 48] + tensor.uniform(6.0)[:, 48]
    assert tensor.missed() == ["worst part of own"]


def test_one_wrong_element_is_seen_by_the_peak(tensor: Trial) -> None:
    """A stray write: one element of fifty thousand."""
    tensor.made[0, 48, 7] += 30 * tensor.noise
    assert tensor.missed() == ["max abs of own"]


def test_an_error_that_builds_up_is_seen_by_its_growth(tensor: Trial) -> None:
    """A cache that is rounded once more at every step: never far off, and ever further."""
    rising = np.linspace(0.5, 2.2, 96)[None, :, None]
    assert tensor.missed(tensor.exact + rising * tensor.uniform(1.0)) == ["growth along"]


def test_a_candidate_that_equals_eager_grows_as_eager_does(tensor: Trial) -> None:
    """Eager is right by chance at the begin: no fault of who makes the same bits."""
    tensor.eager[:, :32] = tensor.exact[:, :32] + 0.1 * tensor.gauss()[:, :32]

    assert tensor.missed(tensor.eager) == []
    falling = np.linspace(2.2, 0.5, 96)[None, :, None]  # while eager's rises: a fault
    assert tensor.missed(tensor.exact + falling * tensor.uniform(1.0)) == ["growth along"]


def test_the_errors_of_a_repeated_frame_count_once(sound: Trial) -> None:
    """One code over and over: every frame is wrong in the same way, so its gain is chance."""
    frames, sound.shape = 2 * RATE // 480, (1, 1, 480)

    def repeated(values: np.ndarray) -> np.ndarray:
        return np.tile(values, frames)

    gain = 0.4 * sound.noise / 0.1
    assert sound.missed(sound.made * (1 + gain)) == ["coherence with signal"]
    one = 0.1 * sound.rng.standard_normal(sound.shape)
    sound.exact, sound.eager = repeated(one), repeated(one + sound.gauss())
    assert sound.missed(repeated((one + sound.gauss()) * (1 + gain))) == []


def test_a_gain_of_a_part_of_the_rounding_is_seen_by_coherence(tensor: Trial) -> None:
    """Gain −1 % on a sound that bf16 leaves 1.9 % off; a layer scale that is rounded down."""
    gain = 0.53 * tensor.noise / 0.1
    assert tensor.missed(tensor.made * (1 - gain)) == ["coherence with signal"]


def test_a_whistle_is_seen_in_its_band(sound: Trial) -> None:
    """A tone well below the noise of the rounding: a wrong tap of a transposed convolution."""
    times = np.arange(2 * RATE) / RATE
    tone = 1.2 * sound.noise * np.sqrt(2) * np.sin(2 * np.pi * 1000 * times)
    assert sound.missed(sound.made + tone) == ["worst band of own"]


def test_a_hole_in_a_whisper_is_seen_by_its_level(sound: Trial) -> None:
    """300 ms that are softer than eager's own error everywhere else, gone."""
    quiet = slice(RATE - RATE * 3 // 20, RATE + RATE * 3 // 20)
    for array in (sound.exact, sound.eager, sound.made):
        array[..., quiet] = sound.gauss(0.5)[..., quiet]
    sound.eager[..., quiet] += sound.gauss(0.5)[..., quiet]
    hole = sound.made.copy()
    hole[..., quiet] = 1e-3 * sound.gauss()[..., quiet]
    assert sound.missed(hole) == ["level drop"]


def test_a_dead_zone_is_seen_by_its_zeros() -> None:
    """Everything under 2 % of the peak zeroed, within what bf16 loses anyway."""
    trial = Trial("sound", SHARES["bf16"])
    hushed = np.where(np.abs(trial.made) < 0.02 * np.abs(trial.made).max(), 0, trial.made)
    assert trial.missed(hushed) == ["samples that are 0"]


def test_a_dead_zone_is_red_in_fp32() -> None:
    trial = Trial("sound", SHARES["fp32"])
    hushed = np.where(np.abs(trial.made) < 0.02 * np.abs(trial.made).max(), 0, trial.made)
    assert "samples that are 0" in trial.missed(hushed)


def test_what_eager_does_without_error_may_not_differ(tensor: Trial) -> None:
    tensor.eager = tensor.exact.copy()
    assert tensor.missed(tensor.exact) == []
    one_bit = tensor.exact.copy()
    one_bit[0, 0, 0] = np.nextafter(one_bit[0, 0, 0], 1)
    assert "max abs of own" in tensor.missed(one_bit)


def test_a_whole_that_is_not_comparable_is_left_to_others(tensor: Trial) -> None:
    verdict = tensor.judged(tensor.made[..., :-1])
    assert [gate.name for gate in verdict.gates] == ["max abs"]


def test_a_factor_is_told_in_the_source() -> None:
    more = multiples().times(4.0, "sums in 16 bits")
    assert (more.rms, more.growth) == (4 * multiples().rms, multiples().growth)
    assert more.source.endswith("× 4: sums in 16 bits")


HEARD = 16_000
"""Samples a second of the recorded sentence."""

DAMAGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "white noise at -20 dB": lambda x: (
        x + 0.1 * np.std(x) * np.random.default_rng(1).standard_normal(x.shape)
    ),
    "a hole of 300 ms at the quietest place": lambda x: holed(x),
    "a tone at -40 dB": lambda x: (
        x + 0.01 * np.abs(x).max() * np.sin(2 * np.pi * 1000 * np.arange(x.size) / HEARD)
    ),
    "everything under 2 % of the peak zeroed": lambda x: np.where(
        np.abs(x) < 0.02 * np.abs(x).max(), 0, x
    ),
    "8-bit requantisation": lambda x: np.rint(x * 127) / 127,
    "gain -1 %": lambda x: x * 0.99,
}
"""What was green in bf16 before, on the recorded sentence."""


def holed(x: np.ndarray) -> np.ndarray:
    width = HEARD * 3 // 10
    at = int(np.convolve(x.ravel() ** 2, np.ones(width), "valid").argmin())
    made = x.copy()
    made[..., at : at + width] = 0
    return made


@pytest.mark.parametrize("share", SHARES.values(), ids=SHARES)
@pytest.mark.parametrize("noise", ["of the level around", "steady"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_sentence_is_red(damage: str, noise: str, share: float) -> None:
    import soundfile

    trial = Trial("sound", share)
    heard, rate = soundfile.read("fixtures/speech/hello.wav")
    assert rate == HEARD
    trial.rate, trial.shape = rate, (1, 1, heard.size)
    trial.exact = heard.reshape(trial.shape)
    level = np.full(heard.size, np.std(heard))
    if noise == "of the level around":
        level = np.sqrt(np.convolve(heard**2, np.ones(320) / 320, "same"))
    trial.noise = share
    trial.eager, right = (trial.exact + level * trial.gauss() for _ in range(2))
    assert trial.missed(right) == []
    assert trial.missed(DAMAGES[damage](right)) != []
