"""Sentences that try a model's patience: 1 to 60 words, with numbers, dates, times, sums and names.

Drawn from our own phrases and a seed; sentence i is the same whatever the count.  Lengths go round from 1 to 60, so
that any 60 in a row hold one of each.  A long sentence is clauses and adverbials strung together: sense is not the
point, length and digits are.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cosy.errors import ParameterError

LONGEST = 60  # words

_SLOT = re.compile(r"\{(\w+)\}")
_Fill = Callable[[random.Random], str]


@dataclass(frozen=True)
class _Phrases:
    """Of one language.  Phrases are written with a space between words; `glue` is what stands there in the text."""

    words: tuple[str, ...]  # of one word each: fit everywhere
    clauses: tuple[str, ...]  # begin a sentence, or follow a joiner
    adverbials: tuple[str, ...]  # follow a clause
    joiners: tuple[str, ...]  # of one word
    slots: dict[str, _Fill]
    glue: str
    comma: str
    stop: str


class Sentence(NamedTuple):
    """What is to be said, and how many words it has as it is written."""

    text: str
    words: int


def trial_sentences(count: int, language: str = "en", seed: int = 4_711) -> tuple[Sentence, ...]:
    """The first `count` sentences in "en" or "zh" (Mandarin).  Raises ParameterError for another language."""
    if language not in _LANGUAGES:
        raise ParameterError(f"there are no trial sentences in {language!r}; choose one of {', '.join(_LANGUAGES)}")
    phrases, rng = _LANGUAGES[language], random.Random(seed)
    lengths = [1 + i % LONGEST for i in range(count)]
    return tuple(Sentence(_text(length, phrases, rng), length) for length in lengths)


def _text(length: int, phrases: _Phrases, rng: random.Random) -> str:
    """Of exactly `length` words."""
    words: list[str] = []
    while len(words) < length:
        words += _next(length - len(words), words, phrases, rng)
    text = phrases.glue.join(words).replace(phrases.glue + phrases.comma, phrases.comma)
    return text[0].upper() + text[1:] + phrases.stop


def _next(room: int, before: list[str], phrases: _Phrases, rng: random.Random) -> list[str]:
    """At most `room` further words."""
    if not before:
        return _drawn(room, phrases.clauses, phrases, rng)
    if rng.random() < 0.5:
        return _drawn(room, phrases.adverbials, phrases, rng)
    clause = _drawn(room - 1, phrases.clauses, phrases, rng) if room > 1 else []
    if len(clause) < 2:
        return _drawn(room, phrases.adverbials, phrases, rng)
    before[-1] += phrases.comma
    return [rng.choice(phrases.joiners), *clause]


def _drawn(room: int, templates: tuple[str, ...], phrases: _Phrases, rng: random.Random) -> list[str]:
    """One of the templates that fits, filled; a single word where none does."""
    filled = [_SLOT.sub(lambda slot: phrases.slots[slot[1]](rng), each).split(" ") for each in templates]
    fitting = [words for words in filled if len(words) <= room]
    return rng.choice(fitting) if fitting else [rng.choice(phrases.words)]


# --- English ----------------------------------------------------------------------------------------------------

_FIRST = "Anna Peter Maria Thomas Laura David Helen George Julia Martin Sarah Oliver".split()
_LAST = "Keller Brown Harris Murphy Novak Walker Foster Bennett Turner Collins".split()
_MONTHS = """January February March April May June July August September October November December""".split()
_PLACES = "London Boston Berlin Madrid Oxford Dublin Toronto Sydney Paris Vienna".split()

_ENGLISH = _Phrases(
    words=tuple("yes today again tomorrow soon here quickly together perhaps everywhere".split()),
    clauses=(
        "{name} called",
        "wait here",
        "{name} sold {number} tickets",
        "the meeting with {name} was moved to {time}",
        "nobody in {place} knew the answer",
        "we counted {number} people at the gate",
        "{name} wrote {number} letters to {name}",
        "the bill came to {money}",
        "our train to {place} leaves at {time}",
        "she moved to {place} on {date}",
        "the temperature fell to {number} degrees",
        "they had to walk {number} miles",
        "the old bridge near {place} was closed",
        "I bought a lamp for {money}",
        "{number} students passed the test",
        "is this the road to {place}",
    ),
    adverbials=(
        "again",
        "at {time}",
        "on {date}",
        "for {money}",
        "with {name}",
        "in {place}",
        "in front of the library",
        "without a word",
        "for more than {number} days",
        "during the long winter",
        "because of the rain",
        "since the summer of {year}",
        "about {percent} of the time",
    ),
    joiners=("and", "but", "so", "because", "while", "although"),
    slots={
        "name": lambda rng: f"{rng.choice(_FIRST)} {rng.choice(_LAST)}",
        "place": lambda rng: rng.choice(_PLACES),
        "number": lambda rng: str(rng.choice((rng.randint(2, 20), rng.randint(21, 999), rng.randint(1000, 99_999)))),
        "time": lambda rng: f"{rng.randint(1, 12)}:{rng.randrange(0, 60, 5):02}",
        "date": lambda rng: f"{rng.choice(_MONTHS)} {rng.randint(1, 28)}",
        "year": lambda rng: str(rng.randint(1900, 2030)),
        "money": lambda rng: f"${rng.randint(1, 500)}.{rng.randint(1, 99):02}",
        "percent": lambda rng: f"{rng.randint(1, 99)}%",
    },
    glue=" ",
    comma=",",
    stop=".",
)

# --- Mandarin ---------------------------------------------------------------------------------------------------

_SURNAMES = "王 李 张 刘 陈 杨 赵 黄 周 吴".split()
_GIVEN = "小明 建国 丽华 晓东 文静 志强 雨欣 国平 海燕 思远".split()
_CITIES = "北京 上海 广州 成都 杭州 西安 南京 武汉 天津 重庆".split()

_MANDARIN = _Phrases(
    words=tuple("好 今天 再见 明天 马上 这里 一起 也许 当然 谢谢".split()),
    clauses=(
        "{name} 来 了",
        "请 等 一下",
        "{name} 卖 了 {number} 张 票",
        "会议 改 到 {time}",
        "我们 在 门口 看见 {number} 个 人",
        "这 件 衣服 要 {money}",
        "去 {place} 的 火车 {time} 出发",
        "她 {date} 搬 到 {place}",
        "气温 下降 到 {degrees}",
        "他们 走 了 {number} 公里",
        "{place} 的 老 桥 已经 关闭",
        "有 {number} 个 学生 通过 了 考试",
        "没有 人 知道 答案",
        "我 想 跟 {name} 学习 中文",
    ),
    adverbials=(
        "在 {place}",
        "从 {date} 开始",
        "一共 用 了 {money}",
        "跟 {name} 一起",
        "在 图书馆 前面",
        "因为 下雨",
        "大约 占 {percent}",
        "从 {year} 的 夏天 到 现在",
        "差不多 {number} 天",
    ),
    joiners=("而且", "但是", "所以", "因为", "后来", "虽然"),
    slots={
        "name": lambda rng: rng.choice(_SURNAMES) + rng.choice(_GIVEN),
        "place": lambda rng: rng.choice(_CITIES),
        "number": lambda rng: str(rng.choice((rng.randint(2, 20), rng.randint(21, 999), rng.randint(1000, 99_999)))),
        "time": lambda rng: f"{rng.randint(1, 12)}点{rng.randrange(5, 60, 5)}分",
        "date": lambda rng: f"{rng.randint(1, 12)}月{rng.randint(1, 28)}日",
        "year": lambda rng: f"{rng.randint(1900, 2030)}年",
        "money": lambda rng: f"{rng.randint(1, 500)}元",
        "percent": lambda rng: f"{rng.randint(1, 99)}%",
        "degrees": lambda rng: f"{rng.randint(2, 30)}度",
    },
    glue="",
    comma="，",
    stop="。",
)

_LANGUAGES = {"en": _ENGLISH, "zh": _MANDARIN}
