"""Recordings made up for tests, and a `prepare` that needs no network."""

from __future__ import annotations

import io

import numpy as np
import soundfile

from cosy.server.store.records import Prepared
from cosy.types import Samples

RATE_HZ = 16_000


def speech(seconds: float = 6.0, *, level: float = 0.3, noise: float = 1e-4, seed: int = 0) -> Samples:
    """Something with syllables and pauses between them, (n,)."""
    n = round(seconds * RATE_HZ)
    t = np.arange(n) / RATE_HZ
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * t), 0.0, None)  # a fifth of a second each
    background = noise * np.random.default_rng(seed).standard_normal(n)
    wave: Samples = (level * syllables * np.sin(2 * np.pi * 220 * t) + background).astype(np.float32)
    return wave


def encoded(wave: Samples, format: str = "WAV", subtype: str | None = None) -> bytes:
    """A file of mono samples."""
    file = io.BytesIO()
    soundfile.write(file, wave, RATE_HZ, format=format, subtype=subtype)
    return file.getvalue()


def recording(seconds: float = 6.0, seed: int = 0) -> bytes:
    """A WAV file of a voice nobody has."""
    return encoded(speech(seconds, seed=seed))


AUDIO = recording()


def prepare(audio: bytes, transcript: str, name: str) -> Prepared:
    """What a model would make of it, in short."""
    info = soundfile.info(io.BytesIO(audio))
    return Prepared(f"{name}|{transcript}|{info.frames}".encode(), min(info.duration, 30.0), ("prepared",))
