"""Test signals."""

from __future__ import annotations

import numpy as np

from cosy.types import Samples


def chirp(seconds: float, rate_hz: int, level: float = 0.4) -> Samples:
    """A tone that rises from 200 to 2000 Hz."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * (200 * t + 900 * t**2 / max(seconds, 1e-3))
    return (level * np.sin(phase)).astype(np.float32)


def noise(samples: int, level: float = 0.1, seed: int = 0) -> Samples:
    return (level * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)
