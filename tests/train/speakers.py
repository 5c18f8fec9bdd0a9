"""A corpus of two speakers who say the same kind of things, complete with speech tokens and speaker vectors."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosy.audio.constants import SPEAKER_DIM, SPEECH_TOKENS
from cosy.train.data.corpus import PER_TOKEN, Corpus, build
from cosy.train.data.teachers import Utterance
from tests.train.tones import sayings

VOICES = {"high": 190.0, "low": 120.0}  # F0 in Hz
VECTORS = np.random.default_rng(5).standard_normal((len(VOICES), SPEAKER_DIM), dtype=np.float32)


def write_speakers(folder: Path, count: int = 6, names: Collection[str] = tuple(PER_TOKEN)) -> Corpus:
    """A shard per voice: `count` utterances, tokens that follow the phones, the voice's vector with small changes."""
    rng = np.random.default_rng(6)
    for number, (voice, f0_hz) in enumerate(VOICES.items()):
        shard = folder / voice
        build(shard, [_of(voice, u) for u in sayings(count, f0_hz, seed=number)], {*names, "phone"})
        bare = Corpus(shard)
        phones = np.concatenate([bare.slice("phone", i)[::2] for i in range(count)])
        np.save(shard / "codes.npy", phones.astype(np.int16) * 97 % SPEECH_TOKENS)
        np.save(shard / "speakers.npy", VECTORS[number] + 0.01 * rng.standard_normal((count, SPEAKER_DIM), np.float32))
    return Corpus(folder)


def _of(voice: str, said: Utterance) -> Utterance:
    """By that voice, with words that joined are the text."""
    words = re.findall(r"\s*\S+", said.text)
    spans = tuple(replace(span, label=word) for span, word in zip(said.words, words, strict=True))
    return replace(said, speaker=voice, words=spans)
