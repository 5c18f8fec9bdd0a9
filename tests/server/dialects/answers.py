"""What came back: audio decoded, as a player would."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from cosy.audio.io import load_audio

SLACK_S = {"wav": 0.01, "pcm": 0.01, "flac": 0.01}  # lossy codecs add a frame or two
LOSSY_SLACK_S = 0.15


def heard(data: bytes, format: str, pcm_rate_hz: int = 24_000) -> tuple[float, int]:
    """Seconds and rate of an answer that is audio, and not silence."""
    if format == "pcm":
        samples, rate_hz = np.frombuffer(data, "<i2") / 32768, pcm_rate_hz
    else:
        samples, rate_hz = load_audio(data)
    assert np.abs(samples).max() > 0.05
    return len(samples) / rate_hz, rate_hz


def lasts(data: bytes, format: str, seconds: float, pcm_rate_hz: int = 24_000) -> bool:
    """Whether an answer is that long."""
    return abs(heard(data, format, pcm_rate_hz)[0] - seconds) <= SLACK_S.get(format, LOSSY_SLACK_S)


def events(body: bytes) -> list[dict[str, Any]]:
    """Server-sent events that are nothing but `data: ` lines of JSON."""
    *blocks, rest = body.split(b"\n\n")
    assert rest == b""
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks)
    return [json.loads(block.removeprefix(b"data: ")) for block in blocks]
