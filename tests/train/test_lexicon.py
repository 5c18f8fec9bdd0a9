from __future__ import annotations

import importlib.util

import pytest

from cosy.train.data.lexicon import entries, ranked_hanzi, segment

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jieba") is None, reason="the dictionary is in extra `train`")


def test_the_commonest_hanzi_come_first_and_once() -> None:
    ranking = ranked_hanzi()
    assert len(set(ranking)) == len(ranking) > 5000
    assert set("的一是不了在人有我他") <= set(ranking[:40])


@pytest.mark.parametrize(
    "chars", ["请问火车站怎么走早上喝咖啡葡萄妈妈姐姐睡觉", "李王张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"]
)
def test_everyday_words_and_surnames_are_of_common_hanzi(chars: str) -> None:
    assert set(chars) <= set(ranked_hanzi()[:3500])


def test_words_are_simplified() -> None:
    words = {entry.word for entry in entries()}
    assert "国家" in words
    assert "國家" not in words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我们在北京学习汉语", "我们 在 北京 学习 汉语"),
        ("校长长大了", "校长 长大 了"),
        ("学生活动", "学生 活动"),
        ("鑫罡", "鑫 罡"),
        ("", ""),
    ],
)
def test_text_is_cut_into_words(text: str, words: str) -> None:
    assert segment(text) == words.split()
