"""Mandarin training text, drawn rather than collected: the sibling of `english`.

Sentences come from our own templates (`mandarin_templates`) and word lists (`mandarin_words`), with
numbers, dates and prices as they are spoken, some with English words, and from "salad": words of
jieba's dictionary around hanzi dealt like cards, so that every one of 3000 comes up once a
round however rare it is.  Everything is a pure function of a seed.

All texts are as the front end would leave them (`spoken`): numbers in hanzi, no blanks beside hanzi.
"""

from __future__ import annotations

import datetime
import functools
import itertools
import random
import re
from collections.abc import Callable, Collection, Iterator

from cosy.text.normalize import clean, write_out
from cosy.train.data.english import near_forms
from cosy.train.data.lexicon import entries, ranked_hanzi
from cosy.train.data.mandarin_templates import MIXED, NAMED, TEMPLATES
from cosy.train.data.mandarin_words import LISTS

SALAD_HANZI = 3000
SALAD_SHARE, MIXED_SHARE, NAMED_SHARE = 0.35, 0.08, 0.03
LENGTHS = range(4, 31)  # of a text, in hanzi and English words

DIGITS = "零一二三四五六七八九"
_HOURS = (
    ("", range(1, 13)),
    ("早上", range(5, 10)),
    ("上午", range(8, 12)),
    ("下午", range(1, 6)),
    ("晚上", range(6, 12)),
)
_HANZI = re.compile(r"[\u4e00-\u9fff]")
_FIELD = re.compile(r"\{(\w+)\}")
_SENTENCE_END = re.compile(r"(?<=[。？！])")
_UNITS = re.compile(r"[\u4e00-\u9fff]|[a-z']+|[0-9]")


def number_words(n: int) -> str:
    """Spell `n` (0 to 99 999 999) in hanzi: 一百零五, 两万三千."""
    if not 0 <= n < 10**8:
        raise ValueError(f"number_words takes 0 to 99999999, got {n}")
    if n >= 10_000:
        head, rest = divmod(n, 10_000)
        myriads = "两" if head == 2 else number_words(head)
        return f"{myriads}万" + (("零" if rest < 1000 else "") + _below_myriad(rest) if rest else "")
    words = _below_myriad(n) or "零"
    return words.removeprefix("一") if 10 <= n < 20 else words


def _below_myriad(n: int) -> str:
    words = ""
    for unit, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, n = divmod(n, unit)
        if digit:
            words += ("两" if digit == 2 and unit >= 1000 else DIGITS[digit]) + name
        elif words and n and not words.endswith("零"):
            words += "零"
    return words.rstrip("零")


def _digits(number: int | str) -> str:
    return "".join(DIGITS[int(d)] for d in str(number))


def _counted(n: int) -> str:
    """`n` before a measure word, where two is 两."""
    return "两" if n == 2 else number_words(n)


def _clock(rng: random.Random) -> str:
    part, hours = rng.choice(_HOURS)
    minutes = ("", "", "半", "一刻", f"{number_words(rng.randint(11, 59))}分", f"零{DIGITS[rng.randint(1, 9)]}分")
    return f"{part}{_counted(rng.choice(hours))}点{rng.choice(minutes)}"


def _cheap(rng: random.Random) -> str:
    jiao = rng.choice(("", "", DIGITS[rng.randint(1, 9)], f"{DIGITS[rng.randint(3, 9)]}毛"))
    return f"{_counted(rng.randint(1, rng.choice((20, 99))))}块{jiao}"


def _price(rng: random.Random) -> str:
    return rng.choice((_cheap(rng), f"{number_words(10 * rng.randint(10, 999))}块钱"))


def _date(rng: random.Random) -> str:
    day = datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(366))
    return f"{number_words(day.month)}月{number_words(day.day)}{rng.choice('日号')}"


def _phone(rng: random.Random) -> str:
    return "幺" + _digits(f"{rng.choice('35789')}{rng.randrange(10**9):09}").replace("一", "幺")


_MADE: dict[str, Callable[[random.Random], str]] = {
    "warm": lambda rng: number_words(rng.randint(1, 40)),
    "small": lambda rng: number_words(rng.randint(1, 99)),
    "count": lambda rng: _counted(rng.randint(1, 99)),
    "age": lambda rng: number_words(rng.randint(18, 90)),
    "number": lambda rng: number_words(rng.randrange(rng.choice((100, 1000, 10_000)))),
    "many": lambda rng: _counted(rng.randrange(1, rng.choice((100, 1000, 10_000)))),
    "big": lambda rng: number_words(rng.randint(1, 9999) * 10_000),
    "percent": lambda rng: number_words(rng.randint(1, 100)),
    "decimal": lambda rng: f"{number_words(rng.randrange(100))}点{_digits(rng.randint(1, 99))}",
    "things": lambda rng: _counted(rng.randint(1, rng.choice((10, 99)))) + rng.choice(LISTS["item"]),
    "seen": lambda rng: _counted(rng.randint(1, rng.choice((10, 99)))) + rng.choice(LISTS["scene"]),
    "counted": lambda rng: _counted(rng.randint(1, rng.choice((10, 99)))) + rng.choice(LISTS["piece"]),
    "cheap": _cheap,
    "price": _price,
    "clock": _clock,
    "date": _date,
    "year": lambda rng: _digits(rng.randint(rng.choice((1000, 1900, 1980)), 2035)),
    "phone": _phone,
    "room": lambda rng: _digits(rng.randint(101, 2999)),
    "duration": lambda rng: (
        _counted(rng.randint(1, 20)) + rng.choice(("个小时", "分钟", "天", "个星期", "个月", "年", "个半小时"))
    ),
}


def fill(template: str, rng: random.Random) -> str:
    """Replace every `{field}` of `template` by a draw, two fields of one name by different ones."""
    used: set[str] = set()

    def value(match: re.Match[str]) -> str:
        field = match[1]
        while (drawn := rng.choice(LISTS[field]) if field in LISTS else _MADE[field](rng)) in used:
            pass
        used.add(drawn)
        return drawn

    return _FIELD.sub(value, template)


@functools.cache
def _alphabet() -> tuple[str, ...]:
    own = set(_HANZI.findall("".join((*itertools.chain(*LISTS.values()), *TEMPLATES, *MIXED, *NAMED))))
    return tuple(sorted(ranked_hanzi(), key=lambda char: char not in own))


def hanzi(count: int) -> list[str]:
    """`count` hanzi for a vocabulary: those of our own lists and templates, then the commonest of jieba's dictionary.

    Raises MissingDependencyError without the `train` extra.
    """
    return list(_alphabet()[:count])


@functools.cache
def _words_around() -> dict[str, tuple[list[str], list[float]]]:
    """For each of `hanzi(SALAD_HANZI)`: the words with it, and the cumulated roots of their frequencies."""
    known = dict.fromkeys(hanzi(SALAD_HANZI))
    around: dict[str, list[tuple[str, float]]] = {char: [(char, 1.0)] for char in known}
    for entry in entries():
        if len(entry.word) <= 4 and not entry.is_name and known.keys() >= set(entry.word):
            for char in set(entry.word):
                around[char].append((entry.word, entry.frequency**0.5))
    return {
        char: ([word for word, _ in found], list(itertools.accumulate(weight for _, weight in found)))
        for char, found in around.items()
    }


def _deal(rng: random.Random) -> Iterator[str]:
    """Words for ever: each round shuffles the hanzi and takes a word around each."""
    around = _words_around()
    while True:
        cards = list(around)
        rng.shuffle(cards)
        for char in cards:
            found, weights = around[char]
            yield rng.choices(found, cum_weights=weights)[0]


def salad(dealt: Iterator[str], rng: random.Random) -> str:
    """Three to seven dealt words, sometimes with a comma or as a question."""
    chosen = list(itertools.islice(dealt, rng.randint(3, 7)))
    if len(chosen) > 4 and rng.random() < 0.5:
        chosen[len(chosen) // 2] += "，"
    return "".join(chosen) + rng.choice("。。。。？！")


def normal_form(text: str) -> str:
    """The sentence without case, blanks and punctuation: what must not be shared with the evaluation."""
    return " ".join(_UNITS.findall(text.lower()))


def spoken(text: str) -> str:
    """`text` as the front end would give it to the network: digits and signs as hanzi."""
    return write_out(clean(text), "zh")


def draw(seed: int, held_out: Collection[str] = ()) -> Iterator[str]:
    """Yield distinct training texts of one or two sentences for ever.

    The sentences of `held_out` must not appear, nor one of five units or more that differs in one of them.

    Raises MissingDependencyError without the `train` extra.
    """
    rng = random.Random(seed)
    dealt = _deal(rng)
    seen = {normal_form(sentence) for sentence in held_out}
    refused = frozenset(itertools.chain.from_iterable(map(near_forms, seen)))
    while True:
        kind = rng.random() - SALAD_SHARE
        if kind < 0:
            text = salad(dealt, rng)
        elif kind < MIXED_SHARE:
            text = fill(rng.choice(MIXED), rng)
        elif kind < MIXED_SHARE + NAMED_SHARE:
            text = fill(rng.choice(NAMED), rng)
        else:
            text = fill(rng.choice(TEMPLATES), rng)
            if rng.random() < 0.12:
                text += fill(rng.choice(TEMPLATES), rng)
        form = normal_form(text)
        sentences = map(normal_form, _SENTENCE_END.split(text))
        if (
            len(form.split()) in LENGTHS
            and form not in seen
            and refused.isdisjoint(itertools.chain.from_iterable(map(near_forms, sentences)))
        ):
            seen.add(form)
            yield text
