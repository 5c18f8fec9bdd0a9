from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cosy.models.lm_loss import IGNORE
from cosy.text.tokenizer import TextTokenizer, add_characters
from cosy.train.assemble import averaged
from cosy.train.data.corpus import Corpus, Entry
from cosy.train.lm import Mix
from cosy.train.lm_reading import FINALS, INITIALS, NO_READING, TONES, ReadingLMTask, folded, parts, readings
from cosy.train.trainer import Schedule, Trainer
from tests.model_dir import SMALL
from tests.train.tones import spans

TEXT = "你了解了。"
MIX = Mix(same_speaker=0.0, any_prompt=0.0, joined=0.0, bistream=0.0, corrupt=0.0, neutral_instruction=0.0)


def said(*indices: int) -> str:
    initial, final, tone = indices
    return INITIALS[initial] + FINALS[final] + TONES[tone]


def entry(text: str = TEXT, language: str = "zh") -> Entry:
    words = [*text[:-2], text[-2:]]
    ends = tuple((span.label, span.end_s) for span in spans(words, [0.2] * len(words), 0.2))
    return Entry(text, 0, 30, ends, language=language)


@pytest.fixture(scope="module")
def tokenizer(text_tokenizer: TextTokenizer, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder = tmp_path_factory.mktemp("hanzi")
    add_characters(text_tokenizer.directory, [*TEXT], folder)
    return TextTokenizer(folder)


class OneSentence(Corpus):
    """`TEXT` by one speaker."""

    def __init__(self) -> None:
        self.entries = [entry()]

    def __len__(self) -> int:
        return 1

    def tokens_of(self, index: int) -> np.ndarray:
        return np.arange(30, dtype=np.int16)


def task(tokenizer: TextTokenizer, positions: int = 60) -> ReadingLMTask:
    return ReadingLMTask(SMALL.llm, tokenizer, OneSentence(), mix=MIX, positions=positions, guide_layer=1)


@pytest.mark.parametrize("syllable", ["zhong1", "er5", "nv3", "a4", "yi2", "shuang1", "lve4"])
def test_a_syllable_is_its_parts(syllable: str) -> None:
    assert said(*parts(syllable)) == syllable


@pytest.mark.parametrize("word", ["hello", "zhong", "", "5", "b3"])
def test_what_is_no_syllable_has_no_reading(word: str) -> None:
    assert parts(word) == NO_READING


def test_readings_are_those_of_the_sentence() -> None:
    pytest.importorskip("pypinyin", reason="readings need the extra `train`")
    assert [said(*found) for found in readings(entry(), 4).tolist()] == ["ni3", "liao3", "jie3", "le5"]
    assert readings(entry(language="en"), 4).tolist() == [list(NO_READING)] * 4
    assert readings(entry(), 3).tolist() == [list(NO_READING)] * 3, "words and readings do not go together"


def test_every_speech_token_is_read_as_the_word_it_falls_in(tokenizer: TextTokenizer) -> None:
    batch = task(tokenizer).batch(np.random.default_rng(0))
    assert batch.reading is not None
    read, index = batch.reading[0], batch.sequences.speech_index[0]
    assert (read[index < 0] == IGNORE).all()
    spoken = [said(*row) for row in read[index >= 0].tolist() if row[0] != IGNORE]
    tokens = {"ni3": 10, "liao3": 5, "jie3": 5, "le5": 5}  # 0.2 s each, the first with the silence before it
    assert spoken == [word for word, count in tokens.items() for _ in range(count)]


def test_a_folded_language_model_is_the_one_that_was_trained(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    trained = task(tokenizer)
    rows = list(Trainer(trained, Schedule(1e-2, math.inf, 3, warmup_steps=1, ema=0.5, log_steps=1), tmp_path).run())
    assert rows[-1]["reading"] < rows[0]["reading"]
    trained.network.load_state_dict(averaged(tmp_path))
    plain = folded(tmp_path, SMALL.llm, tokenizer)
    assert type(plain.llm_decoder) is nn.Linear
    x = plain.prefix(tokenizer.encode(TEXT), prompt_speech=[1, 2, 3])
    torch.testing.assert_close(plain(x).logits, trained.lm.eval()(x).logits)


def test_hanzi_share_their_readings(tokenizer: TextTokenizer) -> None:
    told = task(tokenizer)
    features = told.lm.backbone.embed_tokens.parametrizations["weight"][0].features  # type: ignore[index]
    [you], [understand] = tokenizer.encode("你"), tokenizer.encode("解")
    assert features[you].sum() == features[understand].sum() == 3
    assert features[you] @ features[understand] == 1, "both are of the third tone"  # type: ignore[operator]
    assert not features[tokenizer.encode("，")[0]].any()
