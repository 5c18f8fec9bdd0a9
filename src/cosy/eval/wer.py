"""Word error rate: edit distance over words, pooled over sentences, with its standard error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def words_of(text: str) -> list[str]:
    """Lower-case words without punctuation; apostrophes stay ("o'clock")."""
    return re.findall(r"[a-z0-9]+(?:'[a-z0-9]+)*", text.lower())


def edit_distance(got: Sequence[str], expected: Sequence[str]) -> int:
    """Fewest substitutions, deletions and insertions that turn `got` into `expected` (Levenshtein 1966)."""
    row = list(range(len(got) + 1))
    for i, want in enumerate(expected, 1):
        diagonal, row[0] = row[0], i
        for j, word in enumerate(got, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != want))
    return row[-1]


def missed(got: Sequence[str], expected: Sequence[str]) -> list[bool]:
    """Of each expected word, whether it was substituted or deleted in a shortest way from one to the other.

    Words too many belong to no expected word and are not told.
    """
    table = [list(range(len(got) + 1))]
    for i, want in enumerate(expected, 1):
        above, row = table[-1], [i]
        for j, word in enumerate(got, 1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (word != want)))
        table.append(row)
    flags = [True] * len(expected)
    i, j = len(expected), len(got)
    while i and j:
        if table[i][j] == table[i - 1][j - 1] + (got[j - 1] != expected[i - 1]):
            i, j = i - 1, j - 1
            flags[i] = got[j] != expected[i]
        elif table[i][j] == table[i - 1][j] + 1:
            i -= 1
        else:
            j -= 1
    return flags


@dataclass(frozen=True)
class ErrorRate:
    """Errors over the words that should have been heard: 0 is perfect, insertions can lift it above 1."""

    errors: int
    words: int
    standard_error: float  # of `rate`; nan for a single sentence

    @property
    def rate(self) -> float:
        return self.errors / self.words


def pooled(counts: Iterable[tuple[int, int]]) -> ErrorRate:
    """Total errors over total words of `(errors, words)` per sentence.

    The standard error is that of a ratio of means (Cochran, Sampling Techniques, section 2.11):
    sentences are the sample, not words, because errors within a sentence come together.
    Raises ValueError when there is no word.
    """
    table = list(counts)
    errors, words = sum(e for e, _ in table), sum(w for _, w in table)
    if words == 0:
        raise ValueError("a word error rate needs at least one expected word")
    n, rate = len(table), errors / words
    spread = sum((e - rate * w) ** 2 for e, w in table)
    deviation = math.sqrt(n * spread / (n - 1)) / words if n > 1 else math.nan
    return ErrorRate(errors, words, deviation)


def count_errors(got: str, expected: str) -> tuple[int, int]:
    """`(errors, words)` of one sentence."""
    reference = words_of(expected)
    return edit_distance(words_of(got), reference), len(reference)


def word_error_rate(pairs: Iterable[tuple[str, str]]) -> ErrorRate:
    """Pooled rate of `(heard, expected)` sentences."""
    return pooled(count_errors(got, expected) for got, expected in pairs)


def chance(pairs: Sequence[tuple[str, str]]) -> ErrorRate:
    """What the same hearings score against the other sentences: every wrong pairing, averaged per hearing.

    Raises ValueError for fewer than two sentences.
    """
    if len(pairs) < 2:
        raise ValueError("chance needs at least two sentences")
    counts = []
    for i, (got, _) in enumerate(pairs):
        others = [count_errors(got, expected) for j, (_, expected) in enumerate(pairs) if j != i]
        counts.append((sum(e for e, _ in others), sum(w for _, w in others)))
    return pooled(counts)
