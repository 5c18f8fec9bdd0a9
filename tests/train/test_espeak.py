from __future__ import annotations

import itertools

import numpy as np
import pytest

from cosy.errors import ParameterError
from cosy.train.data.espeak import EspeakVoice, speak
from cosy.train.data.phones import PAUSE, PHONES
from cosy.train.data.synth import pieces
from cosy.train.data.teachers import Utterance

pytest.importorskip("espeakng_loader", reason="espeak-ng comes with the extra `train`")
pytest.importorskip("pypinyin", reason="pinyin comes with the extra `train`")

TEXTS = [
    ("en", "Hello there, five o'clock is too late."),
    ("en", "Nobody knew what the quick brown fox thought about."),
    ("zh", "你好，我是小明。"),
    ("zh", "她的computer又坏了，怎么办？"),
    ("zh", "小熊穷得用不起绿色的女儿红。"),
]
each_text = pytest.mark.parametrize(("language", "text"), TEXTS)


def said(language: str, text: str, voice: EspeakVoice | None = None) -> Utterance:
    return speak(voice or EspeakVoice(), language, pieces(text, language))


@each_text
def test_the_words_are_the_text_in_pieces(language: str, text: str) -> None:
    found = said(language, text)
    assert found.text == text
    assert "".join(word.label for word in found.words) == text


@each_text
def test_words_follow_each_other(language: str, text: str) -> None:
    words = said(language, text).words
    assert all(a.end_s == b.start_s for a, b in itertools.pairwise(words))
    assert all(word.start_s < word.end_s for word in words)


@each_text
def test_phones_are_known_and_follow_each_other_to_the_end(language: str, text: str) -> None:
    found = said(language, text)
    assert {phone.label for phone in found.phones} <= set(PHONES)
    assert all(a.end_s == b.start_s for a, b in zip(found.phones[:-1], found.phones[1:], strict=True))
    assert found.phones[-1].end_s == pytest.approx(len(found.audio) / found.rate_hz)


@each_text
def test_every_word_has_a_phone_that_sounds(language: str, text: str) -> None:
    found = said(language, text)
    spoken = [phone for phone in found.phones if phone.label != PAUSE]
    for word in found.words:
        inside = [p for p in spoken if word.start_s <= (p.start_s + p.end_s) / 2 < word.end_s]
        assert inside, word


def test_a_mandarin_word_is_a_hanzi_with_the_marks_behind_it() -> None:
    assert [word.label for word in said("zh", "你好，我是小明。").words] == ["你", "好，", "我", "是", "小", "明。"]


@pytest.mark.parametrize(
    ("language", "text", "phones"),
    [
        ("en", "Cheese.", "ch iy z"),
        ("en", "Five.", "f ay v"),
        ("zh", "怕。", "p aa"),  # pà
        ("zh", "八。", "b aa"),  # bā
        ("zh", "吃。", "trh ir"),  # chī
        ("zh", "七。", "tch iy"),  # qī
    ],
)
def test_words_have_their_phones(language: str, text: str, phones: str) -> None:
    assert " ".join(p.label for p in said(language, text).phones if p.label != PAUSE) == phones


@pytest.mark.parametrize("variant", ["f1", "f2", "m5"])  # f2 has noise in its voice
def test_an_utterance_does_not_depend_on_what_was_said_before(variant: str) -> None:
    voice = EspeakVoice(variant)
    first = said("en", "Good morning.", voice)
    said("zh", "你好。", EspeakVoice("m1", pitch=70))
    again = said("en", "Good morning.", voice)
    assert np.array_equal(first.audio, again.audio)
    assert (first.phones, first.words) == (again.phones, again.words)


def test_a_quicker_voice_takes_less_time_and_a_higher_one_has_more_pitch() -> None:
    world = pytest.importorskip("pyworld", reason="F0 needs the extra `train`")
    text = TEXTS[1][1]

    def median_f0(voice: EspeakVoice) -> float:
        found = said("en", text, voice)
        f0, _ = world.dio(found.audio.astype(np.float64), found.rate_hz)
        return float(np.median(f0[f0 > 0]))

    slow, fast = (said("en", text, EspeakVoice(words_per_minute=rate)) for rate in (140, 220))
    assert len(fast.audio) < 0.75 * len(slow.audio)
    assert median_f0(EspeakVoice(pitch=80)) > 1.15 * median_f0(EspeakVoice(pitch=40))


def test_an_unknown_language_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match=r"language 'tlh' .*known: en, zh"):
        said("tlh", "Qapla'.")


@pytest.mark.parametrize("text", ["Hello.", "Once, twice; and then?", " Leading and trailing "])
def test_english_pieces_are_words_with_the_blank_before_them(text: str) -> None:
    found = pieces(text, "en")
    assert "".join(written for written, _ in found) == text.rstrip()
    assert [read for _, read in found] == text.split()


def test_mandarin_pieces_are_read_as_pinyin() -> None:
    assert pieces("女儿，好！", "zh") == [("女", "nv3"), ("儿，", "er2,"), ("好！", "hao3!")]
