"""Recordings to clone from: the bundled voice itself, which anybody may have, and what can be wrong with one."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import numpy as np
import soundfile

from cosy.types import Samples

WORDS = "The quick brown fox jumps over the lazy dog, and the dog does not mind it at all. They are friends."
PAUSE_S = 0.5


def spoken(url: str, key: str) -> tuple[Samples, int]:
    """Some seconds of speech by the server itself: samples (n,) and their rate in Hz."""
    body = {
        "model": "cosyvoice2",
        "voice": "anna",
        "input": WORDS,
        "response_format": "wav",
        "seed": 1,
        "stream": False,
    }
    answer = httpx.post(f"{url}/v1/audio/speech", json=body, headers={"Authorization": f"Bearer {key}"}, timeout=60)
    answer.raise_for_status()
    samples, rate_hz = soundfile.read(io.BytesIO(answer.content), dtype="float32")
    return samples, rate_hz


def write(path: Path, samples: Samples, rate_hz: int) -> Path:
    """A WAV file, 16 bit, with a pause at its end: the browser's fake microphone repeats what it is given."""
    pause = np.zeros(round(PAUSE_S * rate_hz), np.float32)
    soundfile.write(path, np.concatenate([samples, pause]), rate_hz, subtype="PCM_16")
    return path
