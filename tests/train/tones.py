"""Speech-like utterances without a teacher: every phone is a chord of its own, and all times are known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cosy.audio.constants import SPEAKER_DIM, SPEECH_TOKENS
from cosy.train.data.corpus import Corpus, build
from cosy.train.data.phones import PAUSE, phone_index
from cosy.train.data.teachers import Span, Utterance

RATE_HZ = 16_000
PHONE_S = 0.1
SILENCE_S = 0.5  # before and after the words
SPELLING = {
    "one": ("w", "ah", "n"),
    "two": ("t", "uw"),
    "three": ("th", "r", "iy"),
    "four": ("f", "ao", "r"),
    "five": ("f", "ay", "v"),
    "six": ("s", "ih", "k", "s"),
}


def utterance(words: Sequence[str], f0_hz: float = 150.0, level: float = 0.1, rate_hz: int = RATE_HZ) -> Utterance:
    """The words, `PHONE_S` per phone without pauses, between two silences."""
    labels = [label for word in words for label in SPELLING[word]]
    silence = np.zeros(int(SILENCE_S * rate_hz))
    time = np.arange(int(PHONE_S * len(labels) * rate_hz)) / rate_hz
    owner = np.minimum((time / PHONE_S).astype(int), len(labels) - 1)
    colour = np.array([phone_index(label) for label in labels])[owner]
    wave = sum(np.sin(2 * np.pi * f0_hz * h * time) * (0.3 + np.cos(0.7 * colour * h) ** 2) / h for h in range(1, 8))
    audio = np.concatenate([silence, level * np.asarray(wave), silence]).astype(np.float32)
    lengths = [len(SPELLING[word]) * PHONE_S for word in words]
    phones = spans([PAUSE, *labels, PAUSE], [SILENCE_S, *[PHONE_S] * len(labels), SILENCE_S])
    return Utterance(" ".join(words), audio, rate_hz, phones, spans(words, lengths, SILENCE_S))


def spans(labels: Sequence[str], lengths_s: Sequence[float], start_s: float = 0.0) -> tuple[Span, ...]:
    ends = start_s + np.cumsum(lengths_s)
    return tuple(
        Span(label, end - length, end) for label, length, end in zip(labels, lengths_s, ends.tolist(), strict=True)
    )


def sayings(count: int, f0_hz: float = 150.0, seed: int = 0) -> list[Utterance]:
    """Different utterances of three to five words."""
    rng = np.random.default_rng(seed)
    return [utterance(rng.choice(list(SPELLING), size=rng.integers(3, 6)).tolist(), f0_hz) for _ in range(count)]


def write_corpus(folder: Path, count: int = 6, f0_hz: float = 150.0) -> Corpus:
    """A complete corpus: every array, speech tokens that follow the phones, speaker vectors."""
    build(folder, sayings(count, f0_hz))
    bare = Corpus(folder)
    phones = np.concatenate([bare.slice("phone", i)[::2] for i in range(len(bare))])
    np.save(folder / "codes.npy", (phones.astype(np.int16) * 97) % SPEECH_TOKENS)
    vectors = np.random.default_rng(int(f0_hz)).standard_normal((count, SPEAKER_DIM), dtype=np.float32)
    np.save(folder / "speakers.npy", vectors)
    return Corpus(folder)
