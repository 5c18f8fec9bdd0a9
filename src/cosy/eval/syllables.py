"""Mandarin syllables in pinyin, and how they are spoken.

A syllable is a base and a tone digit ("ni3", "lü4"); 5 is the neutral tone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cosy.errors import TextError

TONES = "12345"
ZERO = "-"  # the initial of a syllable that begins with its final

# Each final with the initials it goes with.
_TABLE = """
a: - b p m f d t n l g k h zh ch sh z c s
o: - b p m f l
e: - m d t n l g k h zh ch sh r z c s
ai: - b p m d t n l g k h zh ch sh z c s
ei: - b p m f d n l g h zh sh z
ao: - b p m d t n l g k h zh ch sh r z c s
ou: - p m f d t n l g k h zh ch sh r z c s
an: - b p m f d t n l g k h zh ch sh r z c s
en: - b p m f n g k h zh ch sh r z c s
ang: - b p m f d t n l g k h zh ch sh r z c s
eng: - b p m f d t n l g k h zh ch sh r z c s
ong: - d t n l g k h zh ch r z c s
er: -
i: - b p m d t n l j q x zh ch sh r z c s
ia: - d l j q x
io: -
ie: - b p m d t n l j q x
iao: - b p m d t n l j q x
iu: - m d n l j q x
ian: - b p m d t n l j q x
in: - b p m n l j q x
iang: - n l j q x
ing: - b p m d t n l j q x
iong: - j q x
u: - b p m f d t n l g k h zh ch sh r z c s
ua: - g k h zh sh
uo: - d t n l g k h zh ch sh r z c s
uai: - g k h zh ch sh
ui: - d t g k h zh ch sh r z c s
uan: - d t n l g k h zh ch sh r z c s
un: - d t l g k h zh ch sh r z c s
uang: - g k h zh ch sh
ü: - n l j q x
üe: - n l j q x
üan: - j q x
ün: - j q x
"""
_WITHOUT_INITIAL = dict(s.split(":") for s in "i:yi in:yin ing:ying u:wu iu:you ui:wei un:wen ong:weng".split())


def _spelling(initial: str, final: str) -> str:
    if initial == ZERO:
        if final in _WITHOUT_INITIAL:
            return _WITHOUT_INITIAL[final]
        glides = {"i": "y", "u": "w", "ü": "yu"}
        return glides[final[0]] + final[1:] if final[0] in glides else final
    return initial + (final.replace("ü", "u") if initial in "jqx" else final)


PARTS: dict[str, tuple[str, str]] = {  # base -> initial, final
    _spelling(initial, final): (initial, final)
    for final, initials in (line.split(": ") for line in _TABLE.strip().splitlines())
    for initial in initials.split()
}
BASES = tuple(PARTS)
INITIALS = tuple(dict.fromkeys(initial for initial, _ in PARTS.values()))
FINALS = tuple(dict.fromkeys(final for _, final in PARTS.values()))

_TOKEN = re.compile(r"[a-zü]+[0-9]+|\S")


def split(syllable: str) -> tuple[str, str]:
    """Base and tone of a syllable.  Raises TextError for one that Mandarin does not have."""
    base, tone = syllable[:-1], syllable[-1:]
    if base not in PARTS or tone not in TONES:
        raise TextError(f"{syllable!r} is no toned pinyin syllable: write one like ni3 or lü4, 5 for the neutral tone")
    return base, tone


class Expected(NamedTuple):
    """A syllable to be said: its base, the tones that are right, the usual one first, and the marks after it."""

    base: str
    tones: str
    marks: str = ""

    @property
    def usual(self) -> str:
        """The syllable with its usual tone."""
        return self.base + self.tones[0]


def written(pinyin: str) -> list[Expected]:
    """Toned pinyin as it stands ("dong1 xi51, hao3": xi5 or xi1; marks as in English).

    Raises TextError for what is neither a syllable nor a mark.
    """
    found: list[Expected] = []
    for token in _TOKEN.findall(pinyin):
        if len(token) > 1:
            base, tones = token.rstrip("0123456789"), token.lstrip("abcdefghijklmnopqrstuvwxyzü")
            for tone in tones:
                split(base + tone)
            found.append(Expected(base, tones))
        elif found and token in ",.?!":
            found[-1] = found[-1]._replace(marks=found[-1].marks + token)
        else:
            raise TextError(f"{token!r} in {pinyin!r} is neither a toned syllable nor one of , . ? ! after one")
    return found


def sandhi(syllables: Sequence[Expected]) -> list[Expected]:
    """As they are to be heard: a third tone before another is usually a second, but not over a mark.

    It may stay third: speakers group a run of third tones by sense, speech engines raise all but the last.
    """

    def rises(i: int) -> bool:
        pair = syllables[i : i + 2]
        return len(pair) == 2 and not pair[0].marks and all("3" in each.tones for each in pair)

    return [each._replace(tones="2" + each.tones) if rises(i) else each for i, each in enumerate(syllables)]


def spoken(pinyin: str) -> list[Expected]:
    """What is to be heard of toned pinyin.  Raises TextError as `written` does."""
    return sandhi(written(pinyin))
