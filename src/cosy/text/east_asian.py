"""Chinese and Japanese numbers and signs as words, by the grammars of `wetext`.

The grammars run only on the short stretches around digits, for three reasons: their time grows faster
than the length, they escape quotes and backslashes they meet, and some characters make them fail.
What they misread (thousands separators, "COVID-19", version numbers, codes) is rewritten before.
Stretches of English inside the text are read in English.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache

from cosy.text.english import EMAIL, TITLES, URL, english
from cosy.text.rules import Log, Rule, apply_all, rule

_DIGITS = "零一二三四五六七八九"
_SPOKEN_ONE = str.maketrans("一", "幺")  # in telephone numbers and codes

_STOP = "\\s\"'“”‘’「」『』\\\\<>()（）\\[\\]【】{}，。！？；、,!?;"
_NEAR = f"[^{_STOP}0-9]"
# Digits, with the few characters before and after that say how to read them, such as a unit or a currency.
_AROUND_DIGITS = re.compile(f"{_NEAR}{{0,3}}[0-9](?:{_NEAR}{{0,6}}[0-9]){{0,40}}{_NEAR}{{0,6}}")
_LATIN_STRETCH = re.compile(r"[A-Za-z0-9][!-~ ]{0,1000}[!-~]")
_TAG = re.compile(r"<[^<>]{1,30}>|\[[^\[\]]{1,30}\]")
_LATIN_WORD = re.compile("[A-Za-z]{2,}")
ENGLISH_WORDS = 3  # words from which a stretch counts as English: numbers in "PyTorch 2.5" are Chinese


def _each_digit(text: str) -> str:
    return "".join(_DIGITS[int(d)] for d in text if d in "0123456789")


def _code(text: str) -> str:
    return _each_digit(text).translate(_SPOKEN_ONE)


def _address(dot: str) -> Callable[[re.Match[str]], str]:
    return lambda m: re.sub("^https?://", "", m.group()).replace("@", " at ").replace(".", dot)


def _english_stretch(match: re.Match[str]) -> str:
    words = _LATIN_WORD.findall(_TAG.sub(" ", match.group()))
    return english(match.group()) if len(words) >= ENGLISH_WORDS else match.group()


def _shared(dot: str) -> tuple[Rule, ...]:
    """What both languages need before their grammar."""
    # fmt: off
    return (
        rule("e-mail", EMAIL, _address(dot)),
        rule("url", URL, _address(dot)),
        *TITLES,
        Rule("english", _LATIN_STRETCH, _english_stretch),
        rule("thousands",
             r"(?<![0-9,.])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9]|,[0-9])", lambda m: m.group().replace(",", "")),
        rule("hyphen", "(?<=[A-Za-z])-(?=[0-9])|(?<=[0-9])-(?=[A-Za-z])|(?<=[A-Za-z][0-9])-(?=[0-9])", " "),
        rule("version", r"(?<![0-9.])[0-9]{1,9}(?:\.[0-9]{1,9}){2,8}(?![0-9])",
             lambda m: "点".join(map(_each_digit, m.group().split(".")))),
    )


_ZH_FIRST = (
    *_shared("点"),
    rule("phone", r"(?<![0-9])(?:\+?86[ -]?)?1[3-9][0-9][ -]?[0-9]{4}[ -]?[0-9]{4}(?![0-9])",
         lambda m: _code(m.group())),
    rule("phone", r"(?<![0-9])0[0-9]{2,3}-[0-9]{7,8}(?![0-9])", lambda m: _code(m.group())),
    rule("always", r"(?<![0-9/])24/7(?![0-9/])", "二十四七"),
    rule("code", r"(?<=[A-Za-z])[0-9]{3,}(?![0-9.]|[,][0-9])", lambda m: _code(m.group())),
    rule("code", r"(?<![0-9.])0[0-9]{2,}(?![0-9.])|(?<![0-9.])[0-9]{16,}(?![0-9.])", lambda m: _code(m.group())),
    rule("yuan", r"[¥￥]\s?([0-9]{1,15}(?:\.[0-9]{1,9})?)", r"\1元"),
    rule("dollar", r"(?:US)?\$\s?([0-9]{1,15}(?:\.[0-9]{1,9})?)(?:美?元)?", r"\1美元"),
)  # fmt: skip

_JA_FIRST = (
    *_shared("ドット"),
    rule("code", r"(?<![0-9.])[0-9]{16,}(?![0-9.])", lambda m: _each_digit(m.group())),
)

_FIRST = {"zh": _ZH_FIRST, "ja": _JA_FIRST}


@cache
def _grammar(language: str) -> Callable[[str], str]:
    from wetext import Normalizer  # takes a quarter of a second

    grammar: Callable[[str], str] = Normalizer(lang=language, operator="tn", remove_erhua=False).normalize
    return grammar


@lru_cache(maxsize=65_536)
def _read(language: str, text: str) -> str:
    """The grammar's reading; digits one by one where it has none."""
    try:
        reading = _grammar(language)(text)
    except (AssertionError, RuntimeError, ValueError):  # how the grammar says that it does not know a character
        reading = text
    return re.sub("[0-9]", lambda m: _each_digit(m.group()), reading)


def _reading_rule(language: str) -> Rule:
    return Rule(f"wetext {language}", _AROUND_DIGITS, lambda m: _read(language, m.group()))


_READING = {language: _reading_rule(language) for language in _FIRST}


def east_asian(text: str, language: str, log: Log | None = None) -> str:
    """Spoken form of the numbers in Chinese ("zh") or Japanese ("ja") text."""
    text = apply_all(_FIRST[language], text, log)
    return _READING[language].apply(text, log)
