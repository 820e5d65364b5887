"""Statistics of a sound: known signals, and every way in which a WAV was damaged."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
import scipy.signal

from harness.compare import statistics, to_pcm16
from harness.compare.sound import longest_gap, seam_step, spectral_tilt, spectrum
from harness.errors import InputError

RATE = 24000
NOISE = (0.1 * np.random.default_rng(13).standard_normal(2 * RATE)).astype(np.float32)


def test_statistics_of_a_known_signal() -> None:
    x = np.zeros(2500, np.float32)
    x[:1000] = 0.5
    found = statistics(x, sample_rate=10000, frames=2)
    code = 16383 / 32767
    assert found.samples == 2500
    assert found.duration == 0.25
    assert found.frames == 2
    assert (found.nonfinite, found.float_peak, found.would_clip) == (0, 0.5, 0)
    assert found.peak == code
    assert found.dc == pytest.approx(0.4 * code)
    assert found.rms_dbfs == pytest.approx(20 * math.log10(code * math.sqrt(0.4)))
    assert found.crest_db == pytest.approx(20 * math.log10(1 / math.sqrt(0.4)))
    assert found.leading_dbfs == pytest.approx(20 * math.log10(code))
    assert found.trailing_dbfs == -100.0
    assert found.longest_gap == 0.15
    assert found.envelope_dbfs == (pytest.approx(20 * math.log10(code)), -100.0, -100.0)
    assert found.pcm_sha256 == hashlib.sha256(to_pcm16(x).tobytes()).hexdigest()


def test_a_wav_has_the_statistics_of_its_signal() -> None:
    of_signal, of_file = statistics(NOISE, RATE, 25), statistics(to_pcm16(NOISE), RATE, 25)
    assert of_file.pcm_sha256 == of_signal.pcm_sha256
    assert of_file.band_dbfs == of_signal.band_dbfs


def test_silence_has_statistics() -> None:
    found = statistics(np.zeros(RATE, np.float32), RATE, 1)
    assert found.rms_dbfs == -math.inf
    assert math.isnan(found.crest_db)
    assert found.tilt_db_per_octave == 0
    assert found.seam_step_db == 0
    assert found.longest_gap == 1.0
    assert set(found.envelope_dbfs) == set(found.band_dbfs) == {-100.0}


def test_no_samples_have_none() -> None:
    with pytest.raises(InputError, match="without samples"):
        statistics(np.zeros(0, np.float32), RATE, 0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_sample_that_is_no_number_is_counted(value: float) -> None:
    broken = NOISE.copy()
    broken[77] = value
    found = statistics(broken, RATE, 25)
    assert found.nonfinite == 1
    assert found.samples == len(NOISE)


def test_samples_that_would_clip_are_counted_before_and_after() -> None:
    loud = NOISE.copy()
    loud[10:13] = [1.5, -1.2, 1.0]
    found = statistics(loud, RATE, 25)
    assert (found.float_peak, found.would_clip) == (1.5, 3)
    assert (found.peak, found.clipped, found.longest_clip_run) == (1.0, 3, 3)


def test_a_hole_is_a_gap() -> None:
    holed = NOISE.copy()
    holed[5000:9800] = 0
    assert longest_gap(NOISE, RATE) < 0.001
    assert longest_gap(holed, RATE) == pytest.approx(0.2, abs=0.001)


def test_a_click_where_frames_meet_stands_out() -> None:
    smooth = scipy.signal.lfilter([0.05], [1, -0.95], NOISE)
    clicked = smooth.copy()
    clicked[1920 * 7 :] += 0.2
    elsewhere = smooth.copy()
    elsewhere[1920 * 7 + 900 :] += 0.2
    assert seam_step(smooth, 25) < 12
    assert seam_step(clicked, 25) > 25
    assert seam_step(elsewhere, 25) < 12


def test_bands_sum_to_the_signals_power() -> None:
    found = statistics(NOISE, RATE, 25)
    total = 10 * math.log10(sum(10 ** (band / 10) for band in found.band_dbfs))
    assert total == pytest.approx(found.rms_dbfs, abs=0.1)


def test_a_tone_is_in_its_band() -> None:
    tone = 0.5 * np.sin(2 * np.pi * 3000 * np.arange(RATE) / RATE)
    bands = statistics(tone, RATE, 1).band_dbfs
    assert np.argmax(bands) == 5  # 2 to 4 kHz
    assert bands[5] == pytest.approx(-9.03, abs=0.05)


@pytest.mark.parametrize("n", [RATE, 1024, 1500, 777])
def test_the_spectrum_is_welchs(n: int) -> None:
    x = NOISE[:n].astype(np.float64)
    frequency, density = spectrum(x, RATE)
    wanted_frequency, wanted = scipy.signal.welch(x, RATE, nperseg=min(1024, n))
    np.testing.assert_allclose(frequency, wanted_frequency)
    np.testing.assert_allclose(density, wanted, rtol=1e-9, atol=1e-18)


def test_tilt_of_white_noise_and_of_its_low_pass() -> None:
    assert spectral_tilt(*spectrum(NOISE, RATE)) == pytest.approx(0, abs=0.1)
    low = scipy.signal.lfilter([0.5, 0.5], [1], NOISE)
    assert spectral_tilt(*spectrum(low, RATE)) < -1.5


def test_tilt_of_an_integrator_is_six_decibels_an_octave() -> None:
    brown = scipy.signal.lfilter([1], [1, -0.9999], NOISE)
    assert spectral_tilt(*spectrum(brown, RATE)) == pytest.approx(-6.02, abs=0.7)


def test_tilt_of_a_few_samples_is_undefined() -> None:
    assert math.isnan(spectral_tilt(*spectrum(NOISE[:2], RATE)))
