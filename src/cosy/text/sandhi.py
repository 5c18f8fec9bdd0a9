"""How 一 and 不 are said, which the next syllable decides: for vocabularies that write each with its own character.

一 is yi1 by itself, yi2 before a falling tone and yi4 before the others; 不 is bu2 and bu4.  A small language model
learns what a character sounds like long before it learns to look at the tone of the next one, and 一 and 不 are one in
thirty characters.  Such a vocabulary names homophones, 姨 and 意, and the text is read with these in their place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cosy.text.unicode import HAN

_NUMERALS = "零一二三四五六七八九幺十百千万亿"
LIGHT = frozenset(  # 不 in the middle is neutral
    """看不懂 听不懂 听不见 看不见 来不及 对不起 了不起 受不了 忘不了 少不了 睡不着 用不着 找不到 差不多 舍不得
    怪不得 恨不得 巴不得 由不得 了不得""".split()
)
_NAMES = tuple("第点初周期" + _NUMERALS)  # 一 after these is one among others
_ENDS = tuple("万唯统专单同逐归合")  # 一 after these ends a word
_BEFORE, _BEHIND = 2, 2  # characters that are looked at
_RUN = re.compile(f"{HAN.pattern}+")


@dataclass(frozen=True)
class Spelling:
    """What is written for 一 or 不 where the next character changes its tone.

    Raises ValueError for anything but a character and, in `before`, text.
    """

    rising: str  # for the rising tone, before one of `before`
    falling: str  # for the falling tone, before any other
    before: str  # the characters of falling tone

    def __post_init__(self) -> None:
        for name in ("rising", "falling", "before"):
            value = getattr(self, name)
            if not isinstance(value, str) or (name != "before" and len(value) != 1):
                raise ValueError(f"{name} must be {'text' if name == 'before' else 'one character'}, got {value!r}")


class Sandhi:
    """Writes 一 and 不 as they are said; a text keeps its length."""

    def __init__(self, spellings: Mapping[str, Spelling]) -> None:
        self.spellings = dict(spellings)

    def spell(self, text: str) -> str:
        """`text` with homophones."""
        if self.spellings.keys().isdisjoint(text):
            return text
        return _RUN.sub(lambda run: "".join(self._spelt(run[0], at) for at in range(len(run[0]))), text)

    def _spelt(self, han: str, at: int) -> str:
        spelling = self.spellings.get(han[at])
        if spelling is None or not _is_changed(han, at):
            return han[at]
        return spelling.rising if han[at + 1] in spelling.before else spelling.falling


class SandhiStream:
    """Spells a text that arrives in pieces as `Sandhi.spell` does the whole."""

    def __init__(self, sandhi: Sandhi) -> None:
        self._sandhi = sandhi
        self._seen = ""  # the last characters before that which is held
        self._held = ""  # from the first character on that the rest may change

    def push(self, piece: str) -> str:
        """Add a piece; returns what no later piece can change."""
        self._held += piece
        waiting = (at for at in range(max(0, len(self._held) - _BEHIND), len(self._held)) if self._is_open(at))
        return self._take(next(waiting, len(self._held)))

    def finish(self) -> str:
        """The rest; the stream is empty afterwards."""
        rest, self._seen = self._take(len(self._held)), ""
        return rest

    def _is_open(self, at: int) -> bool:
        """Whether the character waits for the next, or that for the one behind it."""
        return self._held[at] in self._sandhi.spellings and self._held[at + 1 :] in ("", "点")

    def _take(self, end: int) -> str:
        text, start = self._seen + self._held, len(self._seen)
        taken = self._sandhi.spell(text)[start : start + end]
        self._seen, self._held = text[: start + end][-_BEFORE:], self._held[end:]
        return taken


def _is_changed(han: str, at: int) -> bool:
    """Whether 一 or 不 at `at` of a run of hanzi has not its own tone, nor a neutral one."""
    if at + 1 == len(han) or is_between_twins(han, at):
        return False
    if han[at] == "不":
        return han[max(at - 1, 0) : at + 2] not in LIGHT
    return is_count(han, at) and not han[:at].endswith(_ENDS)


def is_between_twins(han: str, at: int) -> bool:
    """看一看 and 好不好, but not 一天一天; the character between is neutral."""
    return (
        at > 0
        and han[at - 1] == han[at + 1]
        and han[at - 1] not in _NUMERALS + "得"
        and han[max(at - 2, 0)] not in "一不"
    )


def is_count(han: str, at: int) -> bool:
    """Whether 一 counts; as an ordinal, a digit among digits or in a date it keeps its tone."""
    before, after, later = han[at - 1 : at], han[at + 1], han[at + 2 : at + 3]
    if before == "点" and after == "刻":  # 三点一刻, a quarter; otherwise a digit behind the point
        return True
    if after == "点" and (later in tuple("半整钟零") or later in tuple(_NUMERALS)):
        return False  # one o'clock, or a number with a point; otherwise "a little"
    return not before.endswith(_NAMES) and after not in "零一二三四五六七八九幺月号楼班"
