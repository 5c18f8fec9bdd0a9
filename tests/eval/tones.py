"""Voices that are tones: each speaker has a pitch, and what is said can be read off the length."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cosy.audio.io import save_audio
from cosy.eval.meta import Prompt
from cosy.eval.recognisers import Ear
from cosy.eval.similarity import Judge, Vector
from cosy.types import Samples

RATE_HZ = 16_000
PITCHES_HZ = (110.0, 160.0, 230.0)


def tone(pitch_hz: float, seconds: float = 1.0, rate_hz: int = RATE_HZ) -> Samples:
    """Ten harmonics with a slow swell, so that pitch trackers believe it."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    wave = sum(np.sin(2 * np.pi * k * pitch_hz * t) / k for k in range(1, 11))
    return np.asarray(0.2 * wave * (0.8 + 0.2 * np.sin(2 * np.pi * 3 * t)), dtype=np.float32)


def prompts(folder: Path, others: bool = False) -> list[Prompt]:
    """Three speakers, written to the folder as `read_prompts` reads them."""
    made = []
    for i, pitch_hz in enumerate(PITCHES_HZ):
        wav, other = folder / f"voice{i}.wav", folder / f"voice{i}.other.wav"
        save_audio(wav, tone(pitch_hz), RATE_HZ)
        wav.with_suffix(".txt").write_text("Wait here.")
        if others:
            save_audio(other, tone(pitch_hz, 1.5), RATE_HZ)
        made.append(Prompt(wav.stem, wav, "Wait here.", other if others else None))
    return made


def strongest_hz(wave: Samples, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(np.argmax(spectrum) * rate_hz / len(wave))


def by_pitch(wave: Samples, rate_hz: int) -> Vector:
    """A vector of length 1 that turns with the pitch."""
    angle = strongest_hz(wave, rate_hz) / 200.0
    return np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)


PITCH_JUDGE = Judge("pitch", by_pitch, "a tone is no voice")


class Hears:
    """Knows what was said, whatever the wave; `deaf` hears nothing."""

    def __init__(self, text: str = "wait here") -> None:
        self.text, self.heard = text, 0

    def __call__(self, wave: Samples, rate_hz: int, language: str) -> str:
        self.heard += 1
        return self.text


def ear(text: str = "wait here") -> Ear:
    return Ear("fake", Hears(text))


class ToneCloner:
    """Clones by ringing the prompt's pitch; `prompts` it cannot clone raise."""

    def __init__(self, cannot: tuple[str, ...] = (), semitones: float = 0.0) -> None:
        self.cannot, self.semitones = cannot, semitones
        self.asked: list[tuple[str, str, str, str, int]] = []

    def clone(self, prompt: Prompt, text: str, mode: str, language: str, seed: int) -> tuple[Samples, int]:
        self.asked.append((prompt.name, text, mode, language, seed))
        if prompt.name in self.cannot:
            raise ValueError("this prompt is too short")
        pitch_hz = PITCHES_HZ[int(prompt.name.removeprefix("voice"))]
        return tone(pitch_hz * 2 ** (self.semitones / 12)), RATE_HZ

    def copy_synthesis(self, wave: Samples, rate_hz: int) -> tuple[Samples, int]:
        return wave, rate_hz
