"""Syllable error rate: what was wrong in a hearing, the sounds and the tones told apart.

Heard and expected syllables are aligned so that the fewest bases are wrong, missing or too many, and
of such alignments the one with the fewest wrong tones is taken.  Then

    base errors      bases that are wrong, missing or too many
    tone errors      wrong tones of the bases that were right
    syllable errors  the sum of both
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cosy.eval.syllables import TONES, Expected
from cosy.eval.wer import ErrorRate, pooled

_BASE = 1_000  # cost of a wrong base in wrong tones: more than a sentence has syllables


@dataclass(frozen=True)
class Hearing:
    """What was heard of one sentence, in counts; `tones` are (expected, heard) for every base that was right."""

    syllables: int
    base_errors: int
    tones: tuple[tuple[str, str], ...]

    @property
    def tone_errors(self) -> int:
        return sum(expected != heard for expected, heard in self.tones)


@dataclass(frozen=True)
class SyllableErrors:
    """Rates over sentences; `tone` is over the syllables whose base was right, None if there are none."""

    syllable: ErrorRate
    base: ErrorRate
    tone: ErrorRate | None


def syllable_errors(heard: Sequence[str], expected: Sequence[Expected]) -> Hearing:
    """Compare one hearing ("ni3", ...) with what was to be said.  Any of a syllable's tones is right."""
    costs = _costs(heard, expected)
    errors = costs[-1][-1]
    pairs = _pairs(costs, heard, expected)
    return Hearing(len(expected), errors // _BASE, tuple(_tones(heard[i], expected[j]) for i, j in pairs))


def _cost(heard: str, expected: Expected) -> int:
    """Of taking one for the other."""
    if heard[:-1] != expected.base:
        return _BASE
    return 0 if heard[-1] in expected.tones else 1


def _costs(heard: Sequence[str], expected: Sequence[Expected]) -> list[list[int]]:
    """Row i, column j: the least cost of aligning the first i heard with the first j expected."""
    table = [[_BASE * j for j in range(len(expected) + 1)]]
    for i, syllable in enumerate(heard, 1):
        above, row = table[-1], [_BASE * i]
        for j, wanted in enumerate(expected, 1):
            row.append(min(above[j] + _BASE, row[j - 1] + _BASE, above[j - 1] + _cost(syllable, wanted)))
        table.append(row)
    return table


def _pairs(costs: Sequence[Sequence[int]], heard: Sequence[str], expected: Sequence[Expected]) -> list[tuple[int, int]]:
    """Indices of the syllables whose base is right, first to last."""
    i, j, found = len(heard), len(expected), []
    while i and j:
        cost = _cost(heard[i - 1], expected[j - 1])
        if costs[i][j] == costs[i - 1][j - 1] + cost:
            i, j = i - 1, j - 1
            if cost < _BASE:
                found.append((i, j))
        elif costs[i][j] == costs[i - 1][j] + _BASE:
            i -= 1
        else:
            j -= 1
    return found[::-1]


def _tones(heard: str, expected: Expected) -> tuple[str, str]:
    tone = heard[-1]
    return (tone if tone in expected.tones else expected.tones[0]), tone


def error_rates(hearings: Iterable[Hearing]) -> SyllableErrors:
    """Pooled over sentences, with standard errors.  Raises ValueError when nothing was to be said."""
    table = list(hearings)
    toned = [(hearing.tone_errors, len(hearing.tones)) for hearing in table]
    return SyllableErrors(
        pooled((hearing.base_errors + hearing.tone_errors, hearing.syllables) for hearing in table),
        pooled((hearing.base_errors, hearing.syllables) for hearing in table),
        pooled(toned) if any(count for _, count in toned) else None,
    )


def tone_confusion(hearings: Iterable[Hearing]) -> list[list[int]]:
    """How often tone 1 to 5 (row) was heard as tone 1 to 5 (column)."""
    table = [[0] * len(TONES) for _ in TONES]
    for hearing in hearings:
        for expected, heard in hearing.tones:
            table[TONES.index(expected)][TONES.index(heard)] += 1
    return table
