from __future__ import annotations

import math

import numpy as np
import pytest

from cosy.eval import quality
from cosy.eval.quality import dnsmos, f0, f0_correlation


def vibrato(rate_hz: int, seconds: float = 1.0, depth_hz: float = 30.0) -> np.ndarray:
    """A buzz of ten harmonics whose pitch swings around 150 Hz."""
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (150 * t - depth_hz / (2 * np.pi * 3) * np.cos(2 * np.pi * 3 * t))
    return (0.05 * sum(np.sin(k * phase) for k in range(1, 11))).astype(np.float32)


def test_mel_filters_have_unit_area_and_cover_the_band() -> None:
    filters = quality._mel_filters()
    assert filters.shape == (120, 161)
    bin_hz = 16_000 / 321
    areas = filters.sum(axis=1) * bin_hz
    assert areas[60:] == pytest.approx(1.0, abs=0.2)  # the low triangles are narrower than a bin


def test_log_mel_is_zero_decibel_at_its_maximum() -> None:
    features = quality._log_mel(vibrato(16_000))
    assert features.shape[1] == 120
    assert features.max() == pytest.approx(1.0)
    assert features.min() >= -1.0


def test_white_noise_scores_at_the_bottom() -> None:
    pytest.importorskip("speechmos", reason="the eval extra is not installed")
    scores = dnsmos(np.random.default_rng(0).standard_normal(24_000).astype(np.float32), 24_000)
    assert scores.overall == pytest.approx(1.08, abs=0.1)
    assert scores.p808 == pytest.approx(2.15, abs=0.15)


def test_loudness_does_not_change_the_score() -> None:
    pytest.importorskip("speechmos", reason="the eval extra is not installed")
    wave = vibrato(16_000, seconds=9.2)
    assert dnsmos(0.1 * wave, 16_000).overall == pytest.approx(dnsmos(wave, 16_000).overall, abs=1e-4)


def test_silence_has_no_score() -> None:
    with pytest.raises(ValueError, match="all zeros"):
        dnsmos(np.zeros(16_000, np.float32), 16_000)


def test_f0_follows_the_pitch_at_any_rate() -> None:
    pytest.importorskip("pyworld", reason="the eval extra is not installed")
    low, high = f0(vibrato(16_000), 16_000), f0(vibrato(24_000), 24_000)
    voiced = low[20:-20]
    assert voiced.min() == pytest.approx(120, abs=3)
    assert voiced.max() == pytest.approx(180, abs=3)
    assert f0_correlation([(low, high)]) > 0.99


def test_f0_correlation_looks_only_at_frames_voiced_in_both_up_to_the_shorter_track() -> None:
    got = np.array([0.0, 100, 110, 120, 999, 130, 5])
    reference = np.array([555.0, 200, 220, 240, 0, 260])
    assert f0_correlation([(got, reference)]) == pytest.approx(1.0)


def test_f0_correlation_is_undefined_without_two_differing_frames() -> None:
    flat = np.full(5, 100.0)
    assert math.isnan(f0_correlation([]))
    assert math.isnan(f0_correlation([(flat, flat)]))
    assert math.isnan(f0_correlation([(np.zeros(5), flat)]))
