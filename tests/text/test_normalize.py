from __future__ import annotations

import pytest

from cosy.errors import TextError
from cosy.text.normalize import clean, language_of, write_out


@pytest.mark.parametrize(
    ("text", "hint", "expected"),
    [
        ("hello", "", "en"),
        ("123", "", "en"),
        ("你好 hello", "", "zh"),
        ("漢字とかな", "", "ja"),
        ("カタカナ", "", "ja"),
        ("一个很普通的中文句子里面有一个の字", "", "zh"),
        ("안녕 漢字", "", "ko"),
        ("Привет", "", "other"),
        ("école", "", "en"),
        ("你好", "en-US", "en"),
        ("hello", "Mandarin", "zh"),
        ("hello", "yue", "zh"),
        ("hello", "auto", "en"),
        ("Guten Tag", "de", "other"),
    ],
)
def test_language(text: str, hint: str, expected: str) -> None:
    assert language_of(text, hint) == expected


@pytest.mark.parametrize("hint", ["klingon", "e", "en us", "1"])
def test_an_unknown_language_is_an_error(hint: str) -> None:
    with pytest.raises(TextError, match=hint):
        language_of("hello", hint)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x00b\x07c\x1b", "abc"),
        ("a\ud800b", "ab"),
        ("\ufeffa\u200bb\u202e", "ab"),
        ("a\r\nb\u2028c\td", "a\nb\nc d"),
        ("hi 😀👍🏽❤️!", "hi  !"),
        ("１２３％　ＡＢＣ", "123% ABC"),
        ("３：３０", "3:30"),
        ("ｶﾞｷﾞ", "ガギ"),
        ("e\u0301", "e\u0301"),
        ("שלום", "שלום"),
        ("[laughter] <strong>a</strong>", "[laughter] <strong>a</strong>"),
    ],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("zh", "你 好（测试）hello world 你好", "你好测试hello world你好"),
        ("zh", "第一行\n第二行\n\n第三行", "第一行第二行。第三行"),
        ("zh", "面积5m²，好吧...行.", "面积五平方米，好吧。行。"),
        ("zh", "看node.js，2.5版，", "看node.js，二点五版。"),
        ("zh", "A - B 是什么 - 呢", "A，B是什么-呢"),
        ("en", "one\ntwo\n\nthree!\n\nfour  five", "one two. three! four five"),
        ("ja", "カタカナ テスト、3つ.", "カタカナ テスト、三つ。"),
        ("ko", "가격은 1,000원. 3월 5일", "가격은 1,000원. 3월 5일"),
        ("other", "Привет, 5 мир", "Привет, 5 мир"),
    ],
)
def test_marks_of_every_language(language: str, text: str, expected: str) -> None:
    assert write_out(text, language) == expected
