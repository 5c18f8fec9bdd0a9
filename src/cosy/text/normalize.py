"""Written text to spoken text: which language it is in, what is removed, what is written out.

    clean      characters that stand for no sound: controls, invisible marks, emoji; full-width signs folded
    numbers    English by our own rules, Chinese and Japanese by the grammars of wetext
    marks      blanks, brackets and line breaks, by the rules of CosyVoice

Korean and languages without rules are only cleaned: the model reads their digits by itself.
"""

from __future__ import annotations

import re
import unicodedata

from cosy.errors import TextError
from cosy.text.east_asian import east_asian
from cosy.text.english import english
from cosy.text.official import remove_bracket, replace_blank, replace_corner_mark
from cosy.text.rules import Log, Rule, apply_all, differing, rule
from cosy.text.unicode import HAN, HANGUL, KANA, drop_lone_surrogates

OTHER = "other"  # letters of a language that has no rules
KANA_SHARE = 0.1  # of the East Asian characters, from which Han text is Japanese; a lone の is not

_NAMES = {
    "english": "en",
    "chinese": "zh",
    "mandarin": "zh",
    "cantonese": "zh",
    "cmn": "zh",
    "yue": "zh",
    "wuu": "zh",
    "nan": "zh",
    "japanese": "ja",
    "korean": "ko",
    "eng": "en",
    "zho": "zh",
    "jpn": "ja",
    "kor": "ko",
}
_TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]{1,8})*", re.IGNORECASE)

_INVISIBLE = (
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # formats, also of direction
    "\ufffc-\uffff\ufdd0-\ufdef\ue000-\uf8ff\U000f0000-\U0010ffff\U000e0000-\U000e007f]"  # no characters, or private
)
_EMOJI = "\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\ufe0e\ufe0f\u20e3"
_ALPHANUMERIC = (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))  # full width
_FOLDED = {code: chr(code - 0xFEE0) for code in _ALPHANUMERIC}
_FOLDED |= {ord(full): half for full, half in zip("％＄＋－．／＠＃＆＝", "%$+-./@#&=", strict=True)}
_FULL_WIDTH = "[" + "".join(map(chr, _FOLDED)) + "]+"

_CLEANING = (
    rule("line break", "\r\n?|[\x0b\x0c\x85\u2028\u2029]", "\n"),
    rule("invisible", _INVISIBLE + "+", ""),
    rule("space", "[\t\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]", " "),
    rule("emoji", f"[{_EMOJI}](?:\u200d?[{_EMOJI}])*", " "),
    rule("full width", _FULL_WIDTH, lambda m: m.group().translate(_FOLDED)),
    rule("half width", "[\uff66-\uff9f]+", lambda m: unicodedata.normalize("NFKC", m.group())),
    rule("full width", "(?<=[0-9])：(?=[0-9])", ":"),
)

_ENDED = '.?!;:。？！；：…,，、"”’」』）)】]'  # a paragraph that ends in one of these needs no full stop


def _paragraph(stop: str) -> Rule:
    return rule("paragraph", r"(\S)[ ]*\n\s*\n\s*", lambda m: m[1] + ("" if m[1] in _ENDED else stop) + "\n")


_CJK_PARAGRAPH = _paragraph("。")
_CJK_DOT = rule("full stop", r"\.{2,}|(?<![A-Za-z0-9])\.|\.(?![A-Za-z0-9])", "。")
_CJK_COMMA = rule("last comma", "(?<![，,、])[，,、]+$", "。")
_LINES = (
    _paragraph("."),
    rule("line break", r"(?<! )[ ]*\n[ ]*", " "),
    rule("spaces", "(?<=[^ ])[ ]{2,}", " "),
)


def language_of(text: str, hint: str = "") -> str:
    """The language whose rules `text` needs: "zh", "en", "ja", "ko" or "other".

    `hint` is a language tag or an English name ("en", "zh-CN", "Japanese"); empty or "auto" looks at
    the letters.  Raises TextError if it is neither.
    """
    hint = hint.strip()
    if hint and hint.lower() != "auto":
        return _named(hint)
    kana, hangul, han = (len(script.findall(text)) for script in (KANA, HANGUL, HAN))
    if hangul and hangul >= kana:
        return "ko"
    if kana and kana >= KANA_SHARE * (kana + han):
        return "ja"
    if han:
        return "zh"
    return "en" if _is_mostly_latin(text) else OTHER


def _named(hint: str) -> str:
    name = hint.lower()
    match = _TAG.fullmatch(name)
    if name not in _NAMES and not match:
        raise TextError(f"language {hint!r} is not known: use a tag such as 'en', 'zh' or 'ja', or leave it empty")
    code = _NAMES.get(name) or _NAMES.get(match[1], match[1])  # type: ignore[index]
    return code if code in ("en", "zh", "ja", "ko") else OTHER


def _is_mostly_latin(text: str) -> bool:
    letters = [char for char in text if char.isalpha()]
    return 2 * sum(char < "\u0250" for char in letters) >= len(letters)


def clean(text: str, log: Log | None = None) -> str:
    """`text` without characters that stand for no sound; full-width letters, digits and signs in ASCII."""
    whole = drop_lone_surrogates(text)
    if whole != text and log is not None:
        log.append(differing("surrogate", text.encode("utf-8", "backslashreplace").decode(), whole))
    return apply_all(_CLEANING, whole, log).strip()


def write_out(text: str, language: str, log: Log | None = None) -> str:
    """Cleaned text with numbers, signs and abbreviations as words and the marks CosyVoice expects."""
    if language == "zh":
        return _chinese_marks(east_asian(text, "zh", log), log)
    if language == "ja":
        text = east_asian(text, "ja", log)
        return apply_all((_CJK_PARAGRAPH, _CJK_DOT, _CJK_COMMA), text, log).replace("\n", "")
    if language == "en":
        text = english(text, log)
    return apply_all(_LINES, text, log)


def _chinese_marks(text: str, log: Log | None) -> str:
    text = _CJK_PARAGRAPH.apply(text, log)
    for name, step in (
        ("line break", lambda t: t.replace("\n", "")),
        ("blank", replace_blank),
        ("corner mark", replace_corner_mark),
        ("full stop", _CJK_DOT.apply),
        ("dash", lambda t: t.replace(" - ", "，")),
        ("bracket", remove_bracket),
        ("last comma", _CJK_COMMA.apply),
    ):
        changed = step(text)
        if changed != text and log is not None:
            log.append(differing(name, text, changed))
        text = changed
    return text
