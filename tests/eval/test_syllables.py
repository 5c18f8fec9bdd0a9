from __future__ import annotations

import pytest

from cosy.errors import TextError
from cosy.eval.syllables import BASES, FINALS, INITIALS, PARTS, Expected, split, spoken, written


@pytest.mark.parametrize(
    ("base", "initial", "final"),
    [
        ("zhuang", "zh", "uang"),
        ("ju", "j", "ü"),
        ("lü", "l", "ü"),
        ("lu", "l", "u"),
        ("yuan", "-", "üan"),
        ("yi", "-", "i"),
        ("you", "-", "iu"),
        ("wen", "-", "un"),
        ("weng", "-", "ong"),
        ("wo", "-", "uo"),
        ("ying", "-", "ing"),
        ("e", "-", "e"),
    ],
)
def test_a_base_is_an_initial_and_a_final(base: str, initial: str, final: str) -> None:
    assert PARTS[base] == (initial, final)


def test_every_base_is_told_by_its_parts() -> None:
    assert len(set(PARTS.values())) == len(BASES) == 406
    assert (len(INITIALS), len(FINALS)) == (22, 36)


def test_a_syllable_is_a_base_and_a_tone() -> None:
    assert split("lüe4") == ("lüe", "4")


@pytest.mark.parametrize("syllable", ["", "ni", "ni6", "ni0", "lv4", "jü1", "3", "ong1", "r5"])
def test_what_mandarin_does_not_have_is_refused(syllable: str) -> None:
    with pytest.raises(TextError, match="no toned pinyin syllable"):
        split(syllable)


def test_marks_belong_to_the_syllable_before_them() -> None:
    assert written("ni3 hao3, dong1 xi51!") == [
        Expected("ni", "3"),
        Expected("hao", "3", ","),
        Expected("dong", "1"),
        Expected("xi", "51", "!"),
    ]


@pytest.mark.parametrize("pinyin", ["ni3 x", "ni3 8", ", ni3", "nihao3", "ni3 hao"])
def test_what_is_no_pinyin_is_refused(pinyin: str) -> None:
    with pytest.raises(TextError):
        written(pinyin)


@pytest.mark.parametrize(
    ("pinyin", "tones"),
    [
        ("", []),
        ("wo3 hen3 hao3", ["23", "23", "3"]),
        ("ni3 hao3, wo3 hao3", ["23", "3", "23", "3"]),
        ("hao3 ma5", ["3", "5"]),
        ("tie3 li35 you3", ["23", "235", "3"]),
        ("yi2 ge45", ["2", "45"]),
    ],
)
def test_a_third_tone_before_another_may_rise_but_not_over_a_mark(pinyin: str, tones: list[str]) -> None:
    assert [each.tones for each in spoken(pinyin)] == tones
    assert [each.usual[-1] for each in spoken(pinyin)] == [each[0] for each in tones]
