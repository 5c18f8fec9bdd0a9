"""With fake systems and a judge who reads the answer from the wave."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from cosy.eval.intelligibility import Sound
from cosy.eval.mandarin import Sentence, as_data, chance_row, compare, evaluate, held_out_sentences, markdown
from cosy.eval.mandarin_judge import CIRCULARITY, MandarinJudge
from cosy.eval.sentences import MANDARIN_EVERYDAY
from cosy.eval.syllables import spoken, written

SENTENCES = (Sentence("你好。", "ni3 hao3."), Sentence("再见！", "zai4 jian4!"), Sentence("谢谢。", "xie4 xie5."))
RATE_HZ = 16_000


class Clerk(MandarinJudge):
    """Hears the sentence whose number is the wave's first sample, and nothing in other waves."""

    def __init__(self) -> None:
        pass

    def hear(self, wave: np.ndarray, rate_hz: int) -> list[str]:
        sentence = dict(enumerate(SENTENCES, 1)).get(int(wave[0])) if wave[0].is_integer() else None
        return [each.usual for each in spoken(sentence.pinyin)] if sentence else []


class Reader:
    """Says the sentence it is given, or always the first one."""

    def __init__(self, stuck: bool = False) -> None:
        self.stuck = stuck
        self.seeds: list[int] = []

    def text_to_wave(self, sentence: str, seed: int) -> Sound:
        self.seeds.append(seed)
        return recording(1 if self.stuck else 1 + [each.text for each in SENTENCES].index(sentence))

    def copy_synthesis(self, wave: np.ndarray, rate_hz: int) -> Sound:
        return wave, rate_hz

    def resynthesise(self, wave: np.ndarray, rate_hz: int) -> Sound:
        return -wave, rate_hz


def recording(number: int) -> Sound:
    wave = np.zeros(RATE_HZ, np.float32)
    wave[0] = number
    return wave, RATE_HZ


def recordings(numbers: Sequence[int] = (1, 2, 3)) -> list[Sound]:
    return [recording(number) for number in numbers]


def test_every_system_is_heard_beside_teachers_and_floors() -> None:
    reader = Reader()
    rows = compare(Clerk(), reader, SENTENCES, {"teacher": recordings(), "other": recordings((1, 1, 3))}, seed=7)
    assert {row.name: round(row.errors.syllable.rate, 2) for row in rows} == {
        "teacher": 0.0,
        "other": 0.33,
        "vocoder alone": 0.0,
        "codes to wave": 1.0,
        "text to wave": 0.0,
        "chance": 1.0,
        "reversed": 1.0,
        "white noise": 1.0,
    }
    assert reader.seeds == [7, 8, 9]


def test_without_teachers_the_floors_are_the_systems() -> None:
    rows = compare(Clerk(), Reader(stuck=True), SENTENCES, {})
    assert [row.name for row in rows] == ["text to wave", "chance", "reversed", "white noise"]
    assert rows[0].errors.syllable.rate == pytest.approx(2 / 3)


def test_the_judge_alone_can_be_tried() -> None:
    rows = compare(Clerk(), None, SENTENCES, {"teacher": recordings()})
    assert [row.name for row in rows] == ["teacher", "chance", "reversed", "white noise"]


def test_nothing_to_hear_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a system nor a teacher"):
        compare(Clerk(), None, SENTENCES, {})
    with pytest.raises(ValueError, match="got 2 for 3"):
        evaluate(Clerk(), "short", SENTENCES, recordings((1, 2)))
    with pytest.raises(ValueError, match="at least two sentences"):
        chance_row(evaluate(Clerk(), "one", SENTENCES[:1], recordings((1,))))


def test_the_caveat_stands_beside_the_figures() -> None:
    rows = compare(Clerk(), None, SENTENCES, {"teacher": recordings((1, 2, 2))})
    table = markdown(rows)
    assert "| teacher | 33.3 ± 33.3 | 33.3 ± 33.3 | 0.0 ± 0.0 | 3 | 3 |" in table
    assert "| chance |" in table
    assert CIRCULARITY in table
    data = json.loads(json.dumps(as_data(rows)))
    assert data["caveat"] == CIRCULARITY
    assert data["rows"][0]["heard"][0] == {"text": "你好。", "expected": "ni3 hao3.", "heard": "ni2 hao3"}


def test_the_sentences_are_distinct_and_one_syllable_a_hanzi() -> None:
    sentences = held_out_sentences()
    assert len({sentence.text for sentence in sentences}) == len(sentences) == 159
    for text, pinyin in sentences:
        assert len(written(pinyin)) == sum(char.isalpha() for char in text), text
        assert sum(len(each.marks) for each in written(pinyin)) == sum(not char.isalpha() for char in text), text


def test_the_first_sentences_are_the_everyday_ones() -> None:
    assert tuple(sentence.text for sentence in held_out_sentences()[: len(MANDARIN_EVERYDAY)]) == MANDARIN_EVERYDAY
