"""The Mandarin dictionary of jieba: words with frequencies, its commonest hanzi, and the words of a text.

Only the file is used (a line `word frequency part` each), not the program.
"""

from __future__ import annotations

import functools
import math
import re
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from cosy.dependencies import optional

NAME_WEIGHT = 0.2  # with less, surnames would be missing among the commonest hanzi, with more everyday things
_HAN = re.compile(r"[\u4e00-\u9fff]+")


class Entry(NamedTuple):
    """A word, how often it was counted, and its part of speech in jieba's tags ("n", "v", "nr" for a name, ...)."""

    word: str
    frequency: int
    part: str

    @property
    def is_name(self) -> bool:
        """Whether the word is a personal name: many are of novels, and their readings vary."""
        return self.part.startswith("nr")


@functools.cache
def entries() -> tuple[Entry, ...]:
    """The words in simplified hanzi, those of GB 2312.

    The dictionary also holds traditional spellings and words in a wrong encoding; nearly all of both fall outside.

    Raises MissingDependencyError without the `train` extra.
    """
    path = Path(str(optional("jieba", "train").__file__)).with_name("dict.txt")
    rows = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return tuple(Entry(word, int(frequency), part) for word, frequency, part in rows if _is_simplified(word))


def _is_simplified(word: str) -> bool:
    return _HAN.fullmatch(word) is not None and len(word.encode("gb2312", "ignore")) == 2 * len(word)


@functools.cache
def ranked_hanzi() -> tuple[str, ...]:
    """Every hanzi by the frequency mass of the words with it, a personal name counting a fifth; commonest first.

    Raises MissingDependencyError without the `train` extra.
    """
    mass: defaultdict[str, float] = defaultdict(float)
    compounded = set().union(*(entry.word for entry in entries() if len(entry.word) > 1))
    for entry in entries():
        for char in compounded.intersection(entry.word):  # one found in no compound is a wrong encoding
            mass[char] += entry.frequency * entry.word.count(char) * (NAME_WEIGHT if entry.is_name else 1.0)
    return tuple(sorted(mass, key=lambda char: (-mass[char], char)))


@functools.cache
def _log_frequencies() -> tuple[dict[str, float], int]:
    longest = max(len(entry.word) for entry in entries())
    return {entry.word: math.log(max(entry.frequency, 1)) for entry in entries()}, longest


@functools.cache
def _log_total() -> float:
    return math.log(sum(entry.frequency for entry in entries()))


def segment(han: str) -> list[str]:
    """The likeliest division of a run of hanzi into words, as if words were drawn one by one by frequency."""
    known, longest = _log_frequencies()
    best = [(0.0, 0)]  # of each prefix: log probability, and where its last word starts
    for end in range(1, len(han) + 1):
        best.append(
            max(
                (best[start][0] + known.get(han[start:end], 0.0) - _log_total(), start)
                for start in range(max(0, end - longest), end)
                if end - start == 1 or han[start:end] in known
            )
        )
    words, end = [], len(han)
    while end:
        start = best[end][1]
        words.append(han[start:end])
        end = start
    return words[::-1]
