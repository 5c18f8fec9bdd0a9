"""Recordings that clients send, good ones and bad ones."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soundfile

from tests.voices.recordings import syllables

RATE_HZ = 16_000


def wav(samples: npt.ArrayLike, rate_hz: int = RATE_HZ, format: str = "WAV") -> bytes:
    """A file of mono samples."""
    file = io.BytesIO()
    soundfile.write(file, np.asarray(samples, dtype=np.float32), rate_hz, format=format, subtype="PCM_16")
    return file.getvalue()


def clip(seconds: float = 3.0, format: str = "WAV") -> bytes:
    """Something like speech."""
    return wav(syllables(seconds, RATE_HZ), format=format)


def silence(seconds: float = 3.0) -> bytes:
    return wav(np.zeros(round(seconds * RATE_HZ)))


def bomb(hours: float = 5.0) -> bytes:
    """A file of less than a megabyte that holds hours of silence, half a gigabyte once decoded."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE_HZ, 1, "PCM_16", format="FLAC") as writer:
        second = np.zeros(RATE_HZ, dtype=np.int16)
        for _ in range(round(hours * 3600)):
            writer.write(second)
    return file.getvalue()
