"""The text front end of CosyVoice 2 as it works without a normaliser package, rule by rule.

To compare with, and for what must be exactly as there; `cosy.text.normalize` does better by default.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from cosy.text.split import Length, is_only_punctuation, split_paragraph
from cosy.text.unicode import contains_chinese

if TYPE_CHECKING:
    import inflect

MAX_SPELLED_DIGITS = 36  # beyond that inflect knows no name


def has_marks(text: str) -> bool:
    """Whether `text` holds `<|` and `|>`: such text is the caller's own and left alone."""
    return "<|" in text and "|>" in text


def replace_corner_mark(text: str) -> str:
    """Squared and cubed in Chinese."""
    return text.replace("²", "平方").replace("³", "立方")


def remove_bracket(text: str) -> str:
    """Drop full-width brackets and backticks; a dash becomes a blank."""
    return re.sub("[（）【】`]", "", text).replace("——", " ")


def replace_blank(text: str) -> str:
    """Keep a space only between two ASCII characters that are no spaces.

    The character before the first is the last, as an index of -1 has it; nothing follows the last.
    """

    def kept(at: int) -> bool:
        before, after = text[at - 1], text[at + 1 : at + 2]
        return bool(after) and before.isascii() and before != " " and after.isascii() and after != " "

    return "".join(char for at, char in enumerate(text) if char != " " or kept(at))


@cache
def _inflect() -> inflect.engine:
    import inflect  # takes a third of a second

    return inflect.engine()


def _spelled(digits: str) -> str:
    if len(digits) > MAX_SPELLED_DIGITS:
        return " ".join(map(_spelled, digits))
    return str(_inflect().number_to_words(digits))


def spell_out_number(text: str) -> str:
    """Every run of digits as an English cardinal ("101": one hundred and one), whatever is around it."""
    return re.sub("[0-9]+", lambda match: _spelled(match.group()), text)


def chinese(text: str) -> str:
    """The rules for text with a Chinese character."""
    text = replace_corner_mark(replace_blank(text.replace("\n", "")))
    text = remove_bracket(text.replace(".", "。").replace(" - ", "，"))
    without = text.rstrip("，,、")
    return text if without == text else without + "。"


def text_normalize(text: str, length: Length, split: bool = True, text_frontend: bool = True) -> list[str] | str:
    """The whole chain: the segments of `text`, or without `split` one string.

    `length` counts the tokens of English text.
    """
    if has_marks(text) or not text_frontend or not text:
        return [text] if split else text
    text = text.strip()
    text = chinese(text) if contains_chinese(text) else spell_out_number(text)
    return segments(text, length) if split else text


def segments(text: str, length: Length) -> list[str]:
    """The segments of normalised text that hold more than punctuation."""
    found = split_paragraph(text, length, "zh" if contains_chinese(text) else "en")
    return [segment for segment in found if not is_only_punctuation(segment)]
