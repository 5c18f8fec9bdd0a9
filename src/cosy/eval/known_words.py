"""Words that training never said, apart from those it did.

A word error rate cannot be split by words, since words too many belong to none.  What can be told of each expected
word is whether it was missed: heard as another, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosy.errors import InputError
from cosy.eval.figures import Share
from cosy.eval.wer import missed, words_of


@dataclass(frozen=True)
class Missed:
    """Shares of expected words that were missed; None where there were no such words."""

    known: Share | None
    unknown: Share | None

    def as_data(self) -> dict[str, Any]:
        return {"known": self.known and self.known.as_data(), "unknown": self.unknown and self.unknown.as_data()}

    def __str__(self) -> str:
        told = {"known": self.known, "unknown": self.unknown}
        return ", ".join(f"{name} {share} of {share.of}" for name, share in told.items() if share)


def read_words(path: Path) -> frozenset[str]:
    """The words of a text file, however they are arranged.  Raises InputError for one that is missing or empty."""
    if not path.is_file():
        raise InputError(f"{path} does not exist: name a text file with the words of the training")
    words = frozenset(words_of(path.read_text(encoding="utf-8")))
    if not words:
        raise InputError(f"{path} holds no word")
    return words


def missed_words(pairs: Iterable[tuple[str, str]], known: frozenset[str]) -> Missed:
    """Of `(heard, expected)` sentences."""
    flags: dict[bool, list[bool]] = {True: [], False: []}
    for heard, expected in pairs:
        words = words_of(expected)
        for word, lost in zip(words, missed(words_of(heard), words), strict=True):
            flags[word in known].append(lost)
    shares = {kind: Share(sum(lost), len(lost)) if lost else None for kind, lost in flags.items()}
    return Missed(shares[True], shares[False])
