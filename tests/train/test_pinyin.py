from __future__ import annotations

import importlib.util
import itertools
import re

import pytest

from cosy.text.sandhi import LIGHT, Sandhi
from cosy.train.data.mandarin import draw, hanzi
from cosy.train.data.pinyin import _WORDS, NEUTRAL, Piece, pinyin, spellings

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("jieba", "pypinyin")),
    reason="the dictionaries are in extra `train`",
)

INITIALS = "b p m f d t n l g k h j q x zh ch sh r z c s y w".split()
FINALS = """a o e i u v ai ei ao ou an en ang eng ong er ia ie iao iu ian in iang ing iong ua uo uai ui uan un uang ue
ve van""".split()


def read(text: str) -> str:
    return " ".join(piece.pinyin for piece in pinyin(text) if piece.pinyin)


def test_pieces_are_hanzi_english_words_and_marks() -> None:
    assert pinyin("我说good morning，好吗？") == [
        Piece("我", "wo3", "zh"),
        Piece("说", "shuo1", "zh"),
        Piece("good", "", "en"),
        Piece("morning", "", "en"),
        Piece("，", "", ""),
        Piece("好", "hao3", "zh"),
        Piece("吗", "ma5", "zh"),
        Piece("？", "", ""),
    ]


def test_only_blanks_are_lost() -> None:
    for text in itertools.islice(draw(5), 500):
        assert "".join(piece.text for piece in pinyin(text)) == text.replace(" ", "")


def test_every_syllable_is_one_of_mandarin() -> None:
    syllable = re.compile(f"(?:{'|'.join(INITIALS)})?(?:{'|'.join(FINALS)})[1-5]")
    said = {piece.pinyin for text in itertools.islice(draw(6), 2500) for piece in pinyin(text)} - {""}
    said |= {read(char) for char in hanzi(3500)}
    assert len(said) > 1000
    assert [sound for sound in sorted(said) if not syllable.fullmatch(sound)] == []


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("不是", "bu2 shi4"),
        ("不去", "bu2 qu4"),
        ("不好", "bu4 hao3"),
        ("不来", "bu4 lai2"),
        ("不知道", "bu4 zhi1 dao5"),
        ("我不", "wo3 bu4"),
        ("好不好", "hao3 bu5 hao3"),
        ("是不是", "shi4 bu5 shi4"),
        ("对不起", "dui4 bu5 qi3"),
        ("不一样", "bu4 yi2 yang4"),
        ("一个人", "yi2 ge4 ren2"),
        ("这一个", "zhe4 yi2 ge4"),
        ("一样", "yi2 yang4"),
        ("一天", "yi4 tian1"),
        ("一年", "yi4 nian2"),
        ("一起", "yi4 qi3"),
        ("一万", "yi2 wan4"),
        ("一天一天", "yi4 tian1 yi4 tian1"),
        ("看一看", "kan4 yi5 kan4"),
        ("第一次", "di4 yi1 ci4"),
        ("一月一号", "yi1 yue4 yi1 hao4"),
        ("十一点", "shi2 yi1 dian3"),
        ("一百一十一", "yi4 bai3 yi1 shi2 yi1"),
        ("二零一三年", "er4 ling2 yi1 san1 nian2"),
        ("一点半", "yi1 dian3 ban4"),
        ("三点一刻", "san1 dian3 yi2 ke4"),
        ("三点一四", "san1 dian3 yi1 si4"),
        ("一点儿", "yi4 dian3 er5"),
        ("统一管理", "tong3 yi1 guan3 li3"),
        ("唯一", "wei2 yi1"),
    ],
)
def test_yi_and_bu_have_the_tone_they_are_spoken_with(text: str, sounds: str) -> None:
    assert read(text) == sounds


def test_a_run_of_third_tones_is_left_to_the_engine() -> None:
    assert read("我也很好") == "wo3 ye3 hen3 hao3"


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("校长长大了", "xiao4 zhang3 zhang3 da4 le5"),
        ("长得很长", "zhang3 de5 hen3 chang2"),
        ("长城", "chang2 cheng2"),
        ("银行行长自行车", "yin2 hang2 hang2 zhang3 zi4 xing2 che1"),
        ("觉得得到说得对", "jue2 de5 de2 dao4 shuo1 de5 dui4"),
        ("慢慢地走", "man4 man4 de5 zou3"),
        ("高兴地说", "gao1 xing4 de5 shuo1"),
        ("土地很大", "tu3 di4 hen3 da4"),
        ("两只猫", "liang3 zhi1 mao1"),
        ("我只有你", "wo3 zhi3 you3 ni3"),
        ("还书还是还钱", "huan2 shu1 hai2 shi4 huan2 qian2"),
        ("因为成为", "yin1 wei4 cheng2 wei2"),
        ("老师教我在教室", "lao3 shi1 jiao1 wo3 zai4 jiao4 shi4"),
        ("电子孩子", "dian4 zi3 hai2 zi5"),
        ("快乐的音乐", "kuai4 le4 de5 yin1 yue4"),
        ("重要重新", "zhong4 yao4 chong2 xin1"),
        ("女儿吃绿色", "nv3 er2 chi1 lv4 se4"),
        ("朋友的东西", "peng2 you5 de5 dong1 xi5"),
        ("小朋友", "xiao3 peng2 you5"),
        ("学生活动", "xue2 sheng5 huo2 dong4"),
        ("谁是大夫", "shei2 shi4 dai4 fu5"),
        ("成都首都都好", "cheng2 du1 shou3 du1 dou1 hao3"),
        ("便宜和方便", "pian2 yi5 he2 fang1 bian4"),
    ],
)
def test_readings_depend_on_the_neighbours(text: str, sounds: str) -> None:
    assert read(text) == sounds


@pytest.mark.parametrize(
    ("text", "sounds"),
    [
        ("这儿", "zhe4 er5"),
        ("小孩儿", "xiao3 hai2 er5"),
        ("玩儿吗", "wan2 er5 ma5"),
        ("儿童", "er2 tong2"),
        ("女儿", "nv3 er2"),
        ("幼儿园", "you4 er2 yuan2"),
        ("儿", "er2"),
    ],
)
def test_a_suffixed_er_is_a_light_syllable_and_a_child_is_not(text: str, sounds: str) -> None:
    assert read(text) == sounds


def test_words_with_a_neutral_end_have_it_in_longer_words_too() -> None:
    assert all(read(word).endswith("5") for word in NEUTRAL)
    assert read("做生意").endswith("yi5")


def test_an_empty_text_has_no_pieces() -> None:
    assert pinyin("") == []


def test_a_vocabulary_writes_yi_and_bu_as_they_are_read() -> None:
    sandhi = Sandhi(spellings(hanzi(3000)))
    homophones = dict.fromkeys("姨意醭步")
    found: list[tuple[str, str]] = []
    for text in itertools.islice(draw(8), 3000):
        bare = text.replace(" ", "")
        said = [piece.pinyin for piece in pinyin(bare) for _ in piece.text]
        found += [
            (sound, read(spelt) if spelt in homophones else sound if sound[-1] == "5" else read(char))
            for char, spelt, sound in zip(bare, sandhi.spell(bare), said, strict=True)
            if char in "一不"
        ]
    assert len(found) > 500
    assert sum(sound != written for sound, written in found) <= len(found) // 50  # what only a dictionary knows


def test_bu_is_neutral_in_the_same_words_everywhere() -> None:
    assert {word for word, sounds in _WORDS.items() if "bu5" in sounds} == LIGHT
