"""Something like speech: voiced syllables with pauses, four a second."""

from __future__ import annotations

import numpy as np

from cosy.types import Samples


def syllables(seconds: float, rate_hz: int = 24_000, level: float = 0.3, silence_s: float = 0.0) -> Samples:
    """Harmonics of 120 Hz under a slow envelope, between two stretches of silence."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 20))
    wave = level * tone * np.sin(np.pi * 4 * t) ** 2 / np.abs(tone).max()
    silence = np.zeros(round(silence_s * rate_hz))
    return np.concatenate([silence, wave, silence]).astype(np.float32)
