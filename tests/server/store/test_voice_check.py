"""Recordings with one fault each, and the warning that it brings."""

from __future__ import annotations

import numpy as np
import pytest

from cosy.errors import AudioError
from cosy.server.store.voice_check import check_voice
from cosy.types import Samples
from tests.server.store.sounds import RATE_HZ, speech


def quiet(seconds: float) -> Samples:
    """A quiet room."""
    return speech(seconds, level=0.0)


def test_a_good_recording_brings_no_warning() -> None:
    assert check_voice(speech(8.0), RATE_HZ) == ()


@pytest.mark.parametrize(
    ("wave", "told"),
    [
        (speech(3.0), "only 3.0 s of speech; 5 to 15 s"),
        (np.concatenate([quiet(8.0), speech(6.0), quiet(4.0)]), "67 % of the recording is silence"),
        (np.concatenate([speech(4.0), quiet(2.5), speech(4.0)]), "a pause of 2."),
        (speech(8.0, noise=0.05), "dB above its background; record it in a quiet room"),
    ],
    ids=["short", "silent", "pause", "noise"],
)
def test_a_fault_is_told_with_what_to_do(wave: Samples, told: str) -> None:
    (warning,) = check_voice(wave.astype(np.float32), RATE_HZ)
    assert told in warning


def test_silence_is_an_error() -> None:
    with pytest.raises(AudioError, match="only silence"):
        check_voice(np.zeros(RATE_HZ, dtype=np.float32), RATE_HZ)


@pytest.mark.parametrize("count", [2, 400, 16_001])
def test_any_length_can_be_checked(count: int) -> None:
    check_voice(np.full(count, 0.5, dtype=np.float32) * np.resize([1, -1], count).astype(np.float32), RATE_HZ)
