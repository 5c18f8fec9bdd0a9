"""Rewriting rules that can say what they did.

A rule is a name, a pattern and a replacement.  Applied with a log, it notes every place it changed,
which is what `cosy text` prints.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Replacement = str | Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Rewrite:
    """One change: the rule, the characters it found, what it put in their place."""

    rule: str
    before: str
    after: str


Log = list[Rewrite]


@dataclass(frozen=True)
class Rule:
    """Replaces every match of a pattern; a replacement string is a template, a function gets the match."""

    name: str
    pattern: re.Pattern[str]
    replacement: Replacement

    def apply(self, text: str, log: Log | None = None) -> str:
        if log is None:
            return self.pattern.sub(self.replacement, text)
        changes = log

        def replace(match: re.Match[str]) -> str:
            after = self.replacement(match) if callable(self.replacement) else match.expand(self.replacement)
            if after != match.group():
                changes.append(Rewrite(self.name, match.group(), after))
            return after

        return self.pattern.sub(replace, text)


def rule(name: str, pattern: str, replacement: Replacement, flags: int = 0) -> Rule:
    """A rule from the source of its pattern."""
    return Rule(name, re.compile(pattern, flags), replacement)


def differing(name: str, before: str, after: str) -> Rewrite:
    """The change between two whole texts, from the first to the last character that differs."""
    shorter = min(len(before), len(after))
    head = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    rest = shorter - head
    tail = next((at for at in range(rest) if before[-1 - at] != after[-1 - at]), rest)
    return Rewrite(name, before[head : len(before) - tail], after[head : len(after) - tail])


def apply_all(rules: Iterable[Rule], text: str, log: Log | None = None) -> str:
    """Apply rules one after another."""
    for each in rules:
        text = each.apply(text, log)
    return text
