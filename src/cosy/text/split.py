"""Long text into segments, each spoken as an utterance of its own.

`split_paragraph` is the rule of CosyVoice with its constants.  `split_text` uses the same packing, but
knows which dots end no sentence and cuts what has no end: speech gets worse with the length of a
segment, and an endless one is never finished.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from cosy.text.unicode import STREAM_SAFE_MARKS, is_combining, is_symbol

Length = Callable[[str], int]

TOKEN_MAX = 80  # a segment is closed when the next sentence would take it beyond this ...
TOKEN_MIN = 60  # ... and it is longer than this
MERGE_LENGTH = 20  # a shorter last segment joins the one before
SEGMENT_LIMIT = 2 * TOKEN_MAX  # no segment of `split_text` is longer, if the model can read as much

CJK = ("zh", "ja", "yue")  # lengths in characters, full-width punctuation

_BOUNDARIES = {"zh": "。？！；：、.?!;", "en": ".?!;:"}
_COMMAS = "，,"
_QUOTE = re.compile('["”]?')  # may follow a boundary and stays with it

_MORE_BOUNDARIES = {"zh": ":", "en": "。？！；؟۔।"}
_CLOSERS = "\"”’'」』）)】]»"
_CLOSING = re.compile(f"[{re.escape(_CLOSERS)}]*")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"“'‘])(?:[A-Za-z]|[A-Za-z](?:\.[A-Za-z])+|Dr|Mr|Mrs|Ms|Prof|St|Mt|Gen|Col|Sgt|Capt|Rev|vs|approx|No|Fig)$"
)
_ABBREVIATION_REACH = 12  # characters before a dot that are looked at
_UNIT = re.compile(r"\s*[^\s,，、]*[,，、]*")

IsBoundary = Callable[[str, int], bool]


def split_paragraph(
    text: str,
    length: Length,
    lang: str = "zh",
    token_max_n: int = TOKEN_MAX,
    token_min_n: int = TOKEN_MIN,
    merge_len: int = MERGE_LENGTH,
    comma_split: bool = False,
) -> list[str]:
    """Segments as CosyVoice cuts them (CosyVoice 2 text front end), boundary characters included.

    `length` counts the tokens of a text in `lang` "en"; in "zh" characters count.  A single sentence
    is never cut, however long.  Empty text has no segments.
    """
    size = len if lang == "zh" else length
    boundaries = _BOUNDARIES[lang] + (_COMMAS if comma_split else "")
    if not text:
        return []
    if text[-1] not in boundaries:
        text += "。" if lang == "zh" else "."
    return _pack(_sentences(text, boundaries, _QUOTE), size, token_max_n, token_min_n, merge_len)


def split_text(text: str, length: Length, language: str, limit: int = SEGMENT_LIMIT) -> list[str]:
    """Segments of at most `limit`, without surrounding white space, each with something to say.

    `language` is "zh", "ja" (lengths in characters) or any other (lengths by `length`, in tokens).
    """
    lang = "zh" if language in CJK else "en"
    size = len if lang == "zh" else length
    boundaries = _BOUNDARIES[lang] + _MORE_BOUNDARIES[lang]
    text = text.rstrip().rstrip("，,、").rstrip()
    if not text.rstrip(_CLOSERS).endswith(tuple(boundaries)):
        text += "。" if lang == "zh" else "."
    sentences = _sentences(text, boundaries, _CLOSING, ends_sentence)
    pieces = (piece for sentence in sentences for piece in cut_long(sentence, size, limit))
    packed = _pack(pieces, size, min(TOKEN_MAX, limit), min(TOKEN_MIN, limit), MERGE_LENGTH, limit)
    return [segment.strip() for segment in packed if is_speakable(segment)]


def is_only_punctuation(text: str) -> bool:
    """Whether `text` has nothing but Unicode punctuation and symbols; white space counts as text."""
    return all(map(is_symbol, text))


def is_speakable(text: str) -> bool:
    """Whether `text` has a letter or a digit of any script."""
    return any(char.isalnum() for char in text)


def ends_sentence(text: str, at: int) -> bool:
    """Whether the boundary character at `at` ends a sentence.

    A dot or colon inside a word or number does not ("3.14", "example.com", "12:30"), nor the dot of
    an initial or an abbreviation that goes on ("J. Smith", "e.g. this").
    """
    if text[at] not in ".:" or at + 1 == len(text):
        return True
    if text[at + 1].isalnum() and at and text[at - 1].isalnum():
        return not (text[at + 1].isascii() and text[at - 1].isascii())
    if text[at] == ":" or not text[at + 1].isspace():
        return True
    return not _ABBREVIATION.search(text, max(0, at - _ABBREVIATION_REACH), at)


def _always(text: str, at: int) -> bool:
    return True


def _sentences(text: str, boundaries: str, closing: re.Pattern[str], ends: IsBoundary = _always) -> list[str]:
    """Cut after every boundary character that something precedes; of a run of them the first is kept."""
    found: list[str] = []
    start = 0
    for match in re.finditer(f"[{re.escape(boundaries)}]", text):
        at = match.start()
        if not ends(text, at):
            continue
        if at > start:
            found.append(text[start : at + 1])
        start = at + 1
        if found and (quote := closing.match(text, start)):
            found[-1] += quote.group()
            start = quote.end()
    if text[start:].strip():
        found.append(text[start:])
    return found


def _pack(
    sentences: Iterable[str], size: Length, most: int, least: int, merge: int, limit: float = float("inf")
) -> list[str]:
    """Join sentences to segments greedily; a short rest joins the last segment."""
    segments: list[str] = []
    current = ""
    for sentence in sentences:
        together = size(current + sentence)
        if current and together > most and (size(current) > least or together > limit):
            segments.append(current)
            current = ""
        current += sentence
    if not current:
        return segments
    if segments and size(current) < merge and size(segments[-1] + current) <= limit:
        segments[-1] += current
    else:
        segments.append(current)
    return segments


def cut_long(sentence: str, size: Length, limit: int = SEGMENT_LIMIT) -> Iterator[str]:
    """Pieces of at most `TOKEN_MAX` (and `limit`) of a sentence beyond `limit`: after a comma, else between words."""
    if size(sentence) <= limit:
        yield sentence
        return
    most = min(TOKEN_MAX, limit)
    held: list[tuple[str, int]] = []
    for unit in _UNIT.findall(sentence):
        for part in _halved(unit, size, most):
            tokens = size(part)
            if held and sum(n for _, n in held) + tokens > most:
                end = _last_comma(held) or len(held)
                yield "".join(text for text, _ in held[:end])
                held = held[end:]
            held.append((part, tokens))
    yield "".join(text for text, _ in held)


def _halved(text: str, size: Length, most: int) -> list[str]:
    """A word too long for a segment, in pieces; a combining mark stays with its letter."""
    if size(text) <= most or len(text) < 2:
        return [text]
    middle = len(text) // 2
    latest = min(middle + STREAM_SAFE_MARKS, len(text) - 1)
    while middle < latest and is_combining(text[middle]):
        middle += 1
    return _halved(text[:middle], size, most) + _halved(text[middle:], size, most)


def _last_comma(parts: list[tuple[str, int]]) -> int:
    """How many parts go up to the last comma; 0 if there is none."""
    return max((index + 1 for index, (text, _) in enumerate(parts) if text.endswith(("，", ",", "、"))), default=0)
