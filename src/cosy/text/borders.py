"""Where a text that is still arriving may be cut, so that each stretch can be read by itself.

A border is a place that no reading rule spans: not inside a date, an amount, a number with its unit, an
abbreviation, an address or a mark, and not where the next word could still become part of one.  Borders
follow from the text alone; what has arrived only decides whether they are known yet.

Three kinds of places qualify, and the first one in the text is taken:

    a blank     between two words of letters; after a comma or the end of a sentence, whatever stands before it;
                before a paragraph or an item of a list
    a run       between two characters of an East Asian run without digits, when what follows is no number
    a mark      after East Asian punctuation, or after any punctuation with an East Asian character behind it

A stretch that has no border for `MAX_HELD` characters is cut at its last blank, or hard.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from cosy.text.unicode import STREAM_SAFE_MARKS, is_combining

MAX_HELD = 200  # characters
_LONGEST_WORD = 40  # characters; what is longer is no plain word
_AHEAD = 64  # characters behind a border that can matter: a blank and a word


class Kind(Enum):
    """What a border is between; the later ones are better places to end a segment."""

    UNKNOWN = -1  # more text decides
    NONE = 0
    WORD = 1
    CLAUSE = 2
    SENTENCE = 3
    PARAGRAPH = 4


class Border(NamedTuple):
    """A stretch ends before character `at`."""

    at: int
    kind: Kind


BLANKS = " \t\n\r\x0b\x0c\x85\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_BLANKS = re.escape(BLANKS)
_GAP = re.compile(f"[{_BLANKS}]+")
_BLANK = re.compile(f"[{_BLANKS}]")
_LINE_BREAK = re.compile("[\n\r\x0b\x0c\x85\u2028\u2029]")
_PARAGRAPH = re.compile("(?:\r\n?|[\n\x0b\x0c\x85\u2028\u2029])[^\\S\n\r]*[\n\r\x0b\x0c\x85\u2028\u2029]")
_WORD = re.compile(f"[^{_BLANKS}]{{1,{_LONGEST_WORD + 1}}}")
_LAST_WORD = re.compile(f"[^{_BLANKS}]{{1,{_LONGEST_WORD + 1}}}\\Z")

_OPENERS = "\"'“‘「『（([【«¿¡*_"
_CLOSERS = "\"'”’」』）)】]»*_"
_CLOSING = f"[{re.escape(_CLOSERS)}]*\\Z"
_STOPS = ".!?…。！？؟۔।"
_ENDING = re.compile(f"([{_STOPS}]+){_CLOSING}")
_PAUSING = re.compile(f"[,;:—]{_CLOSING}")
_WIDE = "，。！？；、…"
_WIDE_ENDING = re.compile(f"([{_WIDE}：]+){_CLOSING}")
_NARROW_ENDING = re.compile(f"([.!?;,]+){_CLOSING}")
_MARKS = _CLOSERS + _STOPS + _WIDE + "：,;"
_SURE_STOPS = set("!?。！？؟۔।")  # a dot can be an abbreviation's, dots and an ellipsis a hesitation

_ABBREVIATION = re.compile(
    r"[A-Za-z]|(?:[A-Za-z]\.)+[A-Za-z]{1,2}|Dr|Mr|Mrs|Ms|Prof|St|Mt|Gen|Col|Sgt|Capt|Lt|Rev|Hon|Jr|Sr|Ave|Blvd|Rd"
    r"|vs|approx|etc|cf|al|No|no|Nos|nos|Fig|fig|Vol|vol|pp|Inc|Ltd|Corp|Co|Dept|Est"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
)
_ITEM = re.compile(r"[-*+•‣◦·>|]+|#{1,6}|[0-9]{1,3}[.)]")  # what an item of a list begins with

_EAST = "\u3005\u3006\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_EAST_LETTER = re.compile(f"[{_EAST}]")
_NO_NUMBER_NEAR = re.compile(f"[{_EAST}]{{3}}|[{_EAST}]{{1,2}}[{_WIDE}{_BLANKS}]")  # a number's reading looks 3 back
_PERHAPS = re.compile(f"[{_EAST}]{{1,2}}\\Z")
_OPEN_MARK = re.compile(r"<(?:\|[^<>|\s]{0,40}\|?)?\Z")
_NUMERAL = re.compile(r"\d|[²³¹½⅓⅔¼¾⅕⅛]")


Judge = Callable[[str], bool]


def next_border(text: str, ended: bool, spaced: Judge, runs: bool = True) -> Border | None:
    """The first border behind the first character of `text`, which begins with no blank; None if there is none yet.

    `ended` says that nothing follows `text`.  `spaced` is asked, with the text before, whether a blank between
    two words may be a border there.  With `runs` off a run of East Asian characters has none inside.
    """
    complete = ended or len(text) >= MAX_HELD + _AHEAD
    text = text[: MAX_HELD + _AHEAD]
    for at in range(1, min(len(text), MAX_HELD + 1)):
        kind = _kind(text, at, complete, spaced, runs)
        if kind is Kind.UNKNOWN:
            return None
        if kind is not Kind.NONE:
            return Border(at, kind)
    return _forced(text) if complete and len(text) > MAX_HELD else None


def _kind(text: str, at: int, complete: bool, spaced: Judge, runs: bool) -> Kind:
    if _BLANK.match(text, at - 1):
        return Kind.NONE
    if gap := _GAP.match(text, at):
        return _at_gap(text, gap, complete, spaced)
    if _EAST_LETTER.match(text, at) and _EAST_LETTER.match(text, at - 1):
        return _in_run(text, at, complete) if runs else Kind.NONE
    return _behind_mark(text, at)


def _at_gap(text: str, gap: re.Match[str], complete: bool, spaced: Judge) -> Kind:
    """`gap` is all the white space that has arrived between two words, or before one that has not."""
    last, following = _LAST_WORD.search(text, 0, gap.start()), _WORD.match(text, gap.end())
    before = last.group() if last else ""
    if following is None:
        return Kind.NONE if complete else Kind.UNKNOWN
    word = following.group()
    first = word.lstrip(_OPENERS)[:1]
    whole = complete or following.end() < len(text) or len(word) > _LONGEST_WORD
    if _PARAGRAPH.search(gap.group()):
        return Kind.PARAGRAPH
    if not first and not whole:
        return Kind.UNKNOWN
    if _ends_sentence(before, first):
        return Kind.SENTENCE
    if _WIDE_ENDING.search(before):
        return Kind.CLAUSE
    if not whole:
        return Kind.UNKNOWN
    if _LINE_BREAK.search(gap.group()) and _ITEM.fullmatch(word):
        return Kind.CLAUSE
    if not _is_plain(word):
        return Kind.NONE
    if _PAUSING.search(before):
        return Kind.CLAUSE
    return Kind.WORD if _is_plain(before) and spaced(text[: gap.start()]) else Kind.NONE


def _ends_sentence(word: str, first: str) -> bool:
    """Whether `word` is the last of a sentence, when the next begins with the character `first`."""
    ending = _ENDING.search(word)
    if not ending:
        return False
    if _SURE_STOPS.intersection(ending[1]):
        return True
    return not (first.islower() or first.isdigit() or _is_abbreviation(word[: ending.start()], ending[1]))


def _is_abbreviation(word: str, stops: str) -> bool:
    return stops == "." and _ABBREVIATION.fullmatch(word.lstrip(_OPENERS)) is not None


def _is_plain(word: str) -> bool:
    """Whether `word` is letters, perhaps with punctuation around, that are read the same whatever is beside them."""
    word = word.lstrip(_OPENERS)
    ending = _ENDING.search(word)
    if ending and _is_abbreviation(word[: ending.start()], ending[1]):
        return False
    word = word.rstrip(_CLOSERS + _STOPS + ",;:，；：、—")
    return word[:1].isalpha() and all(char.isalpha() or char in "-'’ʼ" or is_combining(char) for char in word)


def _in_run(text: str, at: int, complete: bool) -> Kind:
    """Between two East Asian letters.

    With a digit in it a stretch goes on to the end of its clause: what follows a number counts, and tells
    Japanese from Chinese.
    """
    if _NUMERAL.search(text, 0, at) or _OPEN_MARK.search(text, 0, at):
        return Kind.NONE
    if _NO_NUMBER_NEAR.match(text, at):
        return Kind.WORD
    return Kind.UNKNOWN if not complete and _PERHAPS.match(text, at) else Kind.NONE


def _behind_mark(text: str, at: int) -> Kind:
    """Between two characters that are neither blanks nor both East Asian letters."""
    following = text[at]
    if text[at - 1] not in _MARKS or following in _MARKS or is_combining(following):
        return Kind.NONE
    start = max(0, at - _AHEAD)
    if _OPEN_MARK.search(text, start, at):
        return Kind.NONE
    if wide := _WIDE_ENDING.search(text, start, at):
        is_ratio = wide[1] == "：" and _NUMERAL.match(text, wide.start() - 1) and _NUMERAL.match(following)
        return Kind.NONE if is_ratio else _of_marks(wide[1])
    narrow = _NARROW_ENDING.search(text, start, at) if _EAST_LETTER.match(following) else None
    last = _LAST_WORD.search(text, 0, narrow.start()) if narrow else None
    if narrow is None or _is_abbreviation(last.group() if last else "", narrow[1]):
        return Kind.NONE
    return _of_marks(narrow[1])


def _of_marks(marks: str) -> Kind:
    return Kind.SENTENCE if set(_STOPS).intersection(marks) else Kind.CLAUSE


def _forced(text: str) -> Border:
    at = max((gap.start() for gap in _GAP.finditer(text, 1, MAX_HELD)), default=MAX_HELD)
    latest = min(MAX_HELD + STREAM_SAFE_MARKS, len(text) - 1)
    while MAX_HELD <= at < latest and is_combining(text[at]):
        at += 1
    return Border(at, Kind.WORD)
