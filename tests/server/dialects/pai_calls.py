"""What the PAI-EAS tests send, and how they read what comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from cosy.audio.io import load_audio
from cosy.types import Samples
from tests.server.conftest import Served
from tests.server.fake import LEVEL, RATE_HZ, SECONDS_PER_CHARACTER, TONE_HZ

TEXT = "A gift from a friend far away."
RESULT_KEYS = {"output", "usage", "error", "metrics"}
METRICS = {"speech_len", "server_cost_time", "generate_time", "rtf"}
SLACK_S = 0.12  # MP3 pads both ends


def options(**changes: Any) -> dict[str, Any]:
    """`input` without its text, or `parameters`."""
    return {"mode": "fast_replication", "reference_audio_id": "alex", **changes}


def seconds_of(text: str, speed: float = 1.0) -> float:
    return len(text) * SECONDS_PER_CHARACTER / speed


def decoded(data: bytes, output_format: str, sample_rate: int) -> Samples:
    """The samples of a file that must have this format and rate."""
    if output_format == "pcm":
        assert len(data) % 2 == 0
        return np.frombuffer(data, dtype="<i2").astype(np.float32) / 32768
    assert data.startswith(b"RIFF") if output_format == "wav" else data[0] == 0xFF
    samples, rate_hz = load_audio(data)
    assert rate_hz == sample_rate
    return samples


def error_db(samples: Samples, sample_rate: int, level: float = LEVEL) -> float:
    """How far samples are from the fake engine's unbroken tone, the start and end of the file left out.

    The best sine of that frequency is fitted, so that delay and a codec's change of level do not count; a seam would.
    """
    samples = samples[len(samples) // 10 : -len(samples) // 10]
    phase = 2 * np.pi * TONE_HZ / sample_rate * np.arange(len(samples))
    basis = np.stack([np.sin(phase), np.cos(phase)], axis=1)
    fit, *_ = np.linalg.lstsq(basis, samples, rcond=None)
    assert 0.94 < np.hypot(*fit) / level < 1.01  # LAME takes 5 % off
    return float(20 * np.log10(np.sqrt(np.mean((samples - basis @ fit) ** 2)) / level + 1e-9))


def check_audio(data: bytes, text: str, output_format: str = "wav", sample_rate: int = RATE_HZ) -> None:
    """A file of this format and rate, as long as the text takes, without a seam."""
    samples = decoded(data, output_format, sample_rate)
    assert abs(len(samples) / sample_rate - seconds_of(text)) < (SLACK_S if output_format == "mp3" else 0.01)
    assert error_db(samples, sample_rate) < -30


def until(condition: Callable[[], object], timeout_s: float = 5.0) -> None:
    """Wait until something becomes true in the server's thread."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


def at_rest(served: Served) -> bool:
    """Whether no request is in the engine."""
    return served.engine.running == 0
