"""What the text front end knows about characters: which scripts there are, which characters are noise."""

from __future__ import annotations

import re
import unicodedata

HAN = re.compile("[\u4e00-\u9fff]")  # the range by which CosyVoice tells Chinese
KANA = re.compile("[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9f]")
HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7af]")
STREAM_SAFE_MARKS = 30
LETTERS_PER_SYLLABLE = 3  # what a hanzi, kana or hangul counts

_SURROGATE = re.compile("[\ud800-\udfff]")


def contains_chinese(text: str) -> bool:
    """Whether `text` has a character in U+4E00..U+9FFF."""
    return HAN.search(text) is not None


def drop_lone_surrogates(text: str) -> str:
    """`text` as it can be encoded: surrogate pairs joined, halves without a partner dropped."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


def letters(text: str) -> int:
    """Letters and digits, the length of what is spoken; a sign that stands for a syllable counts as several."""
    syllables = sum(len(script.findall(text)) for script in (HAN, KANA, HANGUL))
    return sum(char.isalnum() for char in text) + (LETTERS_PER_SYLLABLE - 1) * syllables


def is_symbol(char: str) -> bool:
    """Punctuation or symbol: Unicode classes P and S."""
    return unicodedata.category(char)[0] in "PS"


def is_combining(char: str) -> bool:
    """Whether `char` belongs to the character before it: marks, and the later jamo of a syllable."""
    return unicodedata.category(char)[0] == "M" or "\u1160" <= char <= "\u11ff"


def last_cluster(text: str) -> int:
    """Index of the last character that is not combining, which a following mark could still change.

    Looks back over at most 30 marks, the limit of stream-safe text (Unicode Standard Annex 15).
    """
    at = len(text) - 1
    while at > 0 and len(text) - at <= STREAM_SAFE_MARKS and is_combining(text[at]):
        at -= 1
    return max(at, 0)
