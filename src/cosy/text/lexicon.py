"""How to say certain words: replacements from a file, made before anything else is read.

    # one entry a line, `from = to` or from, tabulator, to
    Cosy = cozy
    SQL<TAB>sequel
    重庆 = 崇庆

Entries of letters or digits replace whole words only, the longest entry first; East Asian ones match
anywhere.  What was replaced is not looked at again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from cosy.errors import TextError
from cosy.text.rules import Log, Rewrite
from cosy.text.unicode import HAN, HANGUL, KANA

RULE = "lexicon"


class Lexicon:
    """A table of replacements.  With `ignore_case` an entry matches in any case, and is replaced as written."""

    def __init__(self, entries: Mapping[str, str], ignore_case: bool = False) -> None:
        self.ignore_case = ignore_case
        self._entries = {self._key(source): target for source, target in entries.items()}
        self._lengths: dict[str, list[int]] = {}  # first character -> lengths of its entries, longest first
        for source in sorted(self._entries, key=len, reverse=True):
            lengths = self._lengths.setdefault(source[0], [])
            if len(source) not in lengths:
                lengths.append(len(source))
        self._starts = re.compile(f"[{re.escape(''.join(self._lengths))}]") if self._lengths else None

    @classmethod
    def load(cls, path: str | os.PathLike[str], ignore_case: bool = False) -> Lexicon:
        """Read a UTF-8 file.  Raises TextError naming the file, and the line where one is wrong."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise TextError(f"the lexicon {path} cannot be read: {error.strerror}; check the path") from error
        except UnicodeDecodeError as error:
            bad = error.object[: error.start].count(b"\n") + 1
            raise TextError(f"the lexicon {path}, line {bad}: not UTF-8; save the file in that encoding") from error
        entries: dict[str, str] = {}
        lines: dict[str, int] = {}
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            source, target = _parse(line, f"the lexicon {path}, line {number}")
            key = _lower(source) if ignore_case else source
            if key in lines:
                raise TextError(f"the lexicon {path}, line {number}: {source!r} stands already in line {lines[key]}")
            entries[source], lines[key] = target, number
        return cls(entries, ignore_case)

    def __len__(self) -> int:
        return len(self._entries)

    def apply(self, text: str, log: Log | None = None) -> str:
        """`text` with every entry replaced."""
        if self._starts is None:
            return text
        keys = self._key(text)
        parts: list[str] = []
        done = 0
        for match in self._starts.finditer(keys):
            at = match.start()
            if at < done or not (length := self._match(keys, at)):
                continue
            target = self._entries[keys[at : at + length]]
            if log is not None:
                log.append(Rewrite(RULE, text[at : at + length], target))
            parts += text[done:at], target
            done = at + length
        return "".join([*parts, text[done:]])

    def _match(self, keys: str, at: int) -> int:
        """Length of the longest entry at `at`, 0 if there is none."""
        for length in self._lengths[keys[at]]:
            end = at + length
            if keys[at:end] in self._entries and not (_inside_word(keys, at) or _inside_word(keys, end)):
                return length
        return 0

    def _key(self, text: str) -> str:
        return _lower(text) if self.ignore_case else text


def _parse(line: str, where: str) -> tuple[str, str]:
    source, separator, target = line.partition("\t" if "\t" in line else "=")
    source, target = source.strip(), target.strip()
    if not separator or not source or not target:
        raise TextError(f"{where}: expected 'from = to' or from, tabulator, to; found {line.strip()!r}")
    return source, target


def _lower(text: str) -> str:
    """Lower case character by character, so that positions stay."""
    lowered = text.lower()
    return lowered if len(lowered) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def _inside_word(text: str, at: int) -> bool:
    """Whether a word goes on across the position `at`."""
    return 0 < at < len(text) and _in_word(text[at - 1]) and _in_word(text[at])


def _in_word(char: str) -> bool:
    return char.isalnum() and not any(script.match(char) for script in (HAN, KANA, HANGUL))
