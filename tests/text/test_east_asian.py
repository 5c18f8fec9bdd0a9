from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy.text.east_asian import east_asian

CHINESE = [
    ("圆周率是3.14。", "圆周率是三点一四。"),
    ("2.5", "二点五"),
    ("共1,234人", "共一千二百三十四人"),
    ("2个人", "两个人"),
    ("今天是2024年3月15日", "今天是二零二四年三月十五日"),
    ("2024-03-15", "二零二四年三月十五日"),
    ("下午3:30", "下午三点三十分"),
    ("气温-5°C，湿度60%", "气温负五摄氏度，湿度百分之六十"),
    ("100km/h", "每小时一百公里"),
    ("100m²", "一百平方米"),
    ("¥99.90", "九十九点九零元"),
    ("$1,234.56", "一千二百三十四点五六美元"),
    ("12.5元", "十二点五元"),
    ("1/2", "二分之一"),
    ("10-20人", "十到二十人"),
    ("13800138000", "幺三八零零幺三八零零零"),
    ("138-0013-8000", "幺三八零零幺三八零零零"),
    ("电话010-12345678", "电话零幺零幺二三四五六七八"),
    ("G1234次", "G幺二三四次"),
    ("COVID-19", "COVID 十九"),
    ("v1.2.3版", "v一点二点三版"),
    ("24/7", "二十四七"),
    ("看https://example.com吧", "看example点com吧"),
    ("发到me@example.com", "发到me at example点com"),
    ("我们用PyTorch 2.5训练", "我们用PyTorch 二点五训练"),
    ("他说：It took us 25 minutes.真的", "他说：It took us twenty-five minutes.真的"),
    ("[laughter]5<strong>6</strong>", "[laughter]五<strong>六</strong>"),
    ("见到了Dr. Smith", "见到了Doctor Smith"),
    ('他说"5个"', '他说"五个"'),
    ("啊，嗯，哦！", "啊，嗯，哦！"),
]

JAPANESE = [
    ("2024年3月15日に", "二千二十四年三月十五日に"),
    ("3.14です", "三点一四です"),
    ("1,234円", "千二百三十四円"),
    ("午後3時30分", "午後三時三十分"),
    ("50%です", "五十パーセントです"),
    ("ひらがなとカタカナ", "ひらがなとカタカナ"),
]


@pytest.mark.parametrize(("text", "expected"), CHINESE, ids=[text for text, _ in CHINESE])
def test_written_chinese_as_spoken(text: str, expected: str) -> None:
    assert east_asian(text, "zh") == expected


@pytest.mark.parametrize(("text", "expected"), JAPANESE, ids=[text for text, _ in JAPANESE])
def test_written_japanese_as_spoken(text: str, expected: str) -> None:
    assert east_asian(text, "ja") == expected


@given(st.text(alphabet='0123456789.,:/-+%$¥°"\\ 年月个あa', max_size=30), st.sampled_from(["zh", "ja"]))
def test_no_digit_is_left(text: str, language: str) -> None:
    assert not any(char in "0123456789" for char in east_asian(text, language))
