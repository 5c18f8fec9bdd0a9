"""Recordings for the builder: a voice-like buzz that comes and goes, as files of any format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from cosy.types import Samples

RATE_HZ = 24_000
TEXT = "one two three four five"  # for about two seconds


def buzz(seconds: float = 2.0, f0_hz: float = 140.0, level: float = 0.2, rate_hz: int = RATE_HZ) -> Samples:
    """Harmonics of `f0_hz` in syllables, four a second."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = sum(np.sin(2 * np.pi * f0_hz * h * time) / h for h in range(1, 8))
    return (level * wave * (0.03 + np.sin(4 * np.pi * time) ** 2)).astype(np.float32)


def padded(wave: Samples, before_s: float, after_s: float, rate_hz: int = RATE_HZ) -> Samples:
    return np.pad(wave, (round(before_s * rate_hz), round(after_s * rate_hz)))


def write(path: Path, wave: Samples, rate_hz: int = RATE_HZ, text: str | None = TEXT) -> Path:
    """The file, and its text beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate_hz)
    if text is not None:
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
    return path
