from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch

from cosy.models.lm_loss import IGNORE
from cosy.train.data.corpus import PER_TOKEN, Corpus, Entry
from cosy.train.data.phones import PAUSE, PHONES
from cosy.train.lm_reading import NO_READING, SIZES, TONES, parts
from cosy.train.syllable_ear import SyllableEar, SyllableEarTask, by_token, spoken, wrong
from cosy.train.trainer import Schedule, Trainer

TOKENS = 24
SENTENCES = "妈麻马骂。", "打塔大他。"


class Sentences(Corpus):
    """One voice whose every syllable lasts five tokens and has its own mel and F0; silence follows."""

    def __init__(self) -> None:
        ends = (0.2, 0.4, 0.6, 0.8)
        words = [[*text[:3], text[3:]] for text in SENTENCES]
        self.entries = [
            Entry(text, 0, TOKENS, tuple(zip(said, ends, strict=True)), speaker="a", language="zh")
            for text, said in zip(SENTENCES, words, strict=True)
        ]

    def __len__(self) -> int:
        return len(self.entries)

    def slice(self, name: str, index: int, start: int = 0, tokens: int | None = None) -> np.ndarray:
        heard = np.repeat([*(1 + np.arange(4) + 4 * index), 0], [5, 5, 5, 5, 4])
        frames = np.repeat(heard, PER_TOKEN[name])[start * PER_TOKEN[name] :]
        made = {
            "mel": (4 * np.sin(np.outer(frames, np.arange(1, 81))) - 6).astype(np.float16),
            "f0": np.where(frames > 0, 150.0 + 10 * frames, 0).astype(np.float32),
            "phone": np.where(frames > 0, 1, PHONES.index(PAUSE)).astype(np.uint8),
        }
        return made[name]


def heard(text: str) -> list[str]:
    return [TONES[tone] if tone != IGNORE else "-" for _, _, tone in spoken(text)]


def test_a_third_tone_before_another_is_a_second() -> None:
    assert heard("我很好。") == ["2", "2", "3"]
    assert heard("你好，我走。") == ["2", "3", "2", "3"]
    assert heard("你看，好。") == ["3", "4", "3"]
    assert heard("我用Python。") == ["3", "4", "-"]


def test_every_token_knows_its_syllable() -> None:
    said = by_token(Sentences(), 0)
    assert said.shape == (TOKENS, 4)
    assert said[:, 0].tolist() == [1] * 20 + [0] * 4
    for place, syllable in enumerate(("ma1", "ma2", "ma3", "ma4")):
        assert (said[5 * place : 5 * place + 5, 1:] == parts(syllable)).all()
    assert (said[20:, 1:] == IGNORE).all()


def test_a_sentence_in_another_language_is_not_known() -> None:
    corpus = Sentences()
    corpus.entries = [Entry("Good day.", 0, TOKENS, (("Good", 0.4), (" day.", 0.8)), speaker="a", language="en")]
    assert (by_token(corpus, 0) == IGNORE).all()
    assert wrong(torch.zeros(1, TOKENS, 1 + sum(SIZES)), torch.from_numpy(by_token(corpus, 0))[None]) == 0


def test_it_learns_to_hear(tmp_path: Path) -> None:
    task = SyllableEarTask(Sentences(), batch=4, tokens=20)
    rows = list(Trainer(task, Schedule(3e-3, math.inf, 60, warmup_steps=2, log_steps=20), tmp_path).run())
    assert rows[-1]["syllables"] < 0.2 * rows[0]["syllables"]
    assert rows[-1]["tones"] > 0.9


def test_an_octave_higher_it_hears_the_same() -> None:
    ear, mel = SyllableEar(), torch.randn(1, 80, 20, generator=torch.Generator().manual_seed(2))
    hz = torch.linspace(100, 140, 20)[None] * (torch.arange(20) > 3)
    torch.testing.assert_close(ear(mel, 2 * hz), ear(mel, hz), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(ear(mel, hz.flip(1)), ear(mel, hz), atol=1e-2)
    assert (spoken("") == NO_READING).all()
