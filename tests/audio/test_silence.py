from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosy.audio.silence import clipped_share, dbfs, peak, trim_silence
from cosy.errors import AudioError
from cosy.types import Samples
from tests.audio.signals import chirp, noise

RATE_HZ = 16_000


def recording(before_s: float, after_s: float, background: float = 0.0, level: float = 0.4) -> Samples:
    """One second of sound between silences, over a background."""
    silence = [np.zeros(round(s * RATE_HZ), dtype=np.float32) for s in (before_s, after_s)]
    wave = np.concatenate([silence[0], chirp(1.0, RATE_HZ, level), silence[1]])
    return wave + noise(len(wave), background) if background else wave


@settings(deadline=None, max_examples=30)
@given(before_s=st.floats(0, 2), after_s=st.floats(0, 2), background=st.sampled_from([0.0, 1e-4, 3e-3, 1e-2]))
def test_silence_is_cut_but_for_a_margin(before_s: float, after_s: float, background: float) -> None:
    wave = recording(before_s, after_s, background)
    cut, start, end = trim_silence(wave, RATE_HZ)
    assert np.array_equal(cut, wave[start:end])
    assert start / RATE_HZ == pytest.approx(max(0, before_s - 0.05), abs=0.025)
    assert end / RATE_HZ == pytest.approx(min(before_s + 1 + after_s, before_s + 1.05), abs=0.025)


def test_pauses_inside_are_kept() -> None:
    wave = np.concatenate([recording(0.5, 0.5), recording(0.5, 0.5)])
    assert len(trim_silence(wave, RATE_HZ)[0]) == pytest.approx(3.1 * RATE_HZ, abs=800)


def test_quiet_recordings_are_trimmed_like_loud_ones() -> None:
    assert trim_silence(recording(1, 1, level=0.02), RATE_HZ)[1:] == trim_silence(recording(1, 1), RATE_HZ)[1:]


def test_a_constant_offset_is_no_sound() -> None:
    assert trim_silence(recording(1, 1) + np.float32(0.05), RATE_HZ)[1] == pytest.approx(0.95 * RATE_HZ, abs=400)


@pytest.mark.parametrize("wave", [np.zeros(16_000), noise(16_000, 1e-5), np.zeros(0), np.full(16_000, 0.1)])
def test_a_recording_of_silence_is_refused(wave: Samples) -> None:
    with pytest.raises(AudioError, match="only silence"):
        trim_silence(wave.astype(np.float32), RATE_HZ)


def test_levels_of_known_signals() -> None:
    assert dbfs(np.ones(10, dtype=np.float32)) == 0.0
    assert dbfs(np.sin(np.arange(48_000)).astype(np.float32)) == pytest.approx(-3.01, abs=0.01)
    assert dbfs(np.zeros(10, dtype=np.float32)) == dbfs(np.zeros(0, dtype=np.float32)) == -np.inf
    assert peak(np.array([0.1, -0.7], dtype=np.float32)) == pytest.approx(0.7)
    assert peak(np.zeros(0, dtype=np.float32)) == 0.0


def test_only_runs_at_full_scale_are_clipping() -> None:
    assert clipped_share(np.array([0, 1, 0, -1, 0], dtype=np.float32)) == 0.0
    assert clipped_share(np.array([0, 1, 1, 1, 0, 0, 0, 0, -1, -1], dtype=np.float32)) == 0.5
    assert clipped_share(np.zeros(0, dtype=np.float32)) == 0.0
