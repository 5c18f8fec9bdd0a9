"""The supported part of SSML: markup to stretches of plain text, which `cosy.server.joined` speaks as one request.

    <speak>   the root; <p>, <s>: the text inside stands on its own
    <break time="500ms"/>, time="2s" (at most 10 s) or strength="weak"        silence
    <prosody rate="1.2" volume="80">, also rate and volume of <speak>         tempo, loudness
    <sub alias="World Wide Web">WWW</sub>                                     the alias is spoken
    <say-as interpret-as="digits">110</say-as>, telephone, cardinal, number   how a number is read

Anything else is refused by its name, never dropped in silence.  Source: W3C SSML 1.1; the scales of rate and
volume are those of the DashScope speech API.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

from cosy.errors import TextError
from cosy.server.joined import Part

MAX_BREAK_S = 10.0
MAX_DEPTH = 32  # elements inside each other
MAX_PARTS = 1000  # each is a run of the engine
NEUTRAL_VOLUME = 50.0  # of 0 .. 100, which is linear
SILENCE_DB = -100.0

BREAK_S = {"none": 0.0, "x-weak": 0.1, "weak": 0.25, "medium": 0.5, "strong": 0.8, "x-strong": 1.2}
RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.75}
VOLUMES = {"silent": 0.0, "x-soft": 15.0, "soft": 30.0, "medium": 50.0, "default": 50.0, "loud": 75.0, "x-loud": 100.0}
ATTRIBUTES = {
    "speak": {"rate", "volume", "version", "lang", "schemaLocation"},
    "p": {"lang"},
    "s": {"lang"},
    "break": {"time", "strength"},
    "prosody": {"rate", "volume"},
    "sub": {"alias"},
    "say-as": {"interpret-as"},
}
CHINESE_DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))
ENGLISH_DIGITS = dict(zip("0123456789", "zero one two three four five six seven eight nine".split(), strict=True))
HAN = re.compile("[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def is_markup(text: str) -> bool:
    """Whether a text is meant as SSML; plain text may hold "<" and "&" anywhere but at its start."""
    return text.lstrip().startswith("<")


@dataclass(frozen=True)
class Document:
    """What an SSML document says."""

    parts: tuple[Part, ...]
    written: str  # the text between the tags, as it is

    @property
    def spoken(self) -> str:
        """The text of all parts."""
        return " ".join(str(part.text) for part in self.parts if part.text)


def parse(markup: str) -> Document:
    """Read SSML.  Raises TextError, naming what is malformed or not supported."""
    try:
        root = ElementTree.fromstring(markup.strip(), ElementTree.XMLParser(target=_Builder()))
    except (ElementTree.ParseError, ValueError) as error:
        raise TextError(f"the SSML is not well-formed XML: {error}; write < as &lt; and & as &amp; in text") from error
    if _name(root.tag) != "speak":
        raise TextError(f"the SSML starts with <{_name(root.tag)}>; its root must be <speak>")
    written = "".join(root.itertext())
    reader = _Reader(chinese=bool(HAN.search(written)))
    reader.element(root, _Voice(), 1)
    return Document(reader.done(), written)


class _Builder(ElementTree.TreeBuilder):
    """Refuses a document type before its entities are read: they can grow without bound."""

    def doctype(self, *_: object) -> None:
        raise TextError("the SSML has a document type; leave it out and start with <speak>")


@dataclass(frozen=True)
class _Voice:
    """The prosody that holds inside an element."""

    speed: float = 1.0
    gain: float = 1.0

    def inside(self, node: ElementTree.Element) -> _Voice:
        rate, volume = node.get("rate"), node.get("volume")
        return _Voice(self.speed * (_rate(rate) if rate else 1.0), self.gain * (_gain(volume) if volume else 1.0))


class _Reader:
    """Walks a document and collects its parts."""

    def __init__(self, chinese: bool) -> None:
        self._chinese = chinese
        self._parts: list[Part] = []
        self._words: list[str] = []
        self._pause_s = 0.0
        self._voice = _Voice()

    def done(self) -> tuple[Part, ...]:
        self._cut()
        if self._pause_s:
            self._parts.append(Part("", self._pause_s))
        return tuple(self._parts)

    def element(self, node: ElementTree.Element, voice: _Voice, depth: int) -> None:
        name = _check(node, depth)
        if name == "break":
            self._break(node)
        elif name == "sub":
            self._say(_needed(node, "alias"), voice)
        elif name == "say-as":
            self._say(_said(node, self._chinese), voice)
        elif name == "prosody":
            self._inside(node, voice.inside(node), depth)
        else:  # speak, p, s
            self._cut()
            self._inside(node, voice.inside(node), depth)
            self._cut()

    def _inside(self, node: ElementTree.Element, voice: _Voice, depth: int) -> None:
        self._say(node.text or "", voice)
        for child in node:
            self.element(child, voice, depth + 1)
            self._say(child.tail or "", voice)

    def _say(self, text: str, voice: _Voice) -> None:
        if voice != self._voice and _is_speakable(text):  # blanks and signs stay with what they follow
            self._cut()
            self._voice = voice
        self._words.append(text)

    def _break(self, node: ElementTree.Element) -> None:
        self._cut()
        self._pause_s += _pause(node)

    def _cut(self) -> None:
        """End a part.  What has no letter and no digit cannot be spoken on its own."""
        text = " ".join("".join(self._words).split())
        self._words = []
        if not _is_speakable(text):
            return
        self._parts.append(Part(text, self._pause_s, self._voice.speed, self._voice.gain))
        self._pause_s = 0.0
        if len(self._parts) > MAX_PARTS:
            raise TextError(f"the SSML has more than {MAX_PARTS} separate stretches of text; send it in several tasks")


def _is_speakable(text: str) -> bool:
    return any(letter.isalnum() for letter in text)


def _check(node: ElementTree.Element, depth: int) -> str:
    """The element's name.  Raises TextError for what is not supported."""
    name = _name(node.tag)
    if name not in ATTRIBUTES or (name == "speak") != (depth == 1):
        raise TextError(f"SSML element <{name}> is not supported here; there are {', '.join(ATTRIBUTES)}")
    if depth > MAX_DEPTH:
        raise TextError(f"the SSML has more than {MAX_DEPTH} elements inside each other")
    for attribute in map(_name, node.keys()):
        if attribute not in ATTRIBUTES[name]:
            choices = ", ".join(sorted(ATTRIBUTES[name]))
            raise TextError(f"attribute {attribute!r} of SSML element <{name}> is not supported; there are {choices}")
    if name in ("break", "sub", "say-as") and len(node):
        raise TextError(f"SSML element <{name}> cannot hold other elements")
    return name


def _name(tag: str) -> str:
    return tag.rpartition("}")[2]  # without the namespace


def _needed(node: ElementTree.Element, attribute: str) -> str:
    value = node.get(attribute)
    if value is None:
        raise TextError(f"SSML element <{_name(node.tag)}> needs the attribute {attribute!r}")
    return value


def _said(node: ElementTree.Element, chinese: bool) -> str:
    kind, text = _needed(node, "interpret-as"), node.text or ""
    if kind in ("cardinal", "number"):
        return text  # how numbers are read anyway
    if kind not in ("digits", "telephone"):
        raise TextError(f"SSML say-as {kind!r} is not supported; there are cardinal, number, digits, telephone")
    digits, gap = (CHINESE_DIGITS, "") if chinese else (ENGLISH_DIGITS, " ")
    return gap.join(digits.get(letter, letter) for letter in text if letter not in " -()")


def _pause(node: ElementTree.Element) -> float:
    """Seconds of a break."""
    time = node.get("time")
    if time is None:
        strength = node.get("strength", "medium")
        if strength not in BREAK_S:
            raise TextError(f"SSML break strength {strength!r} is unknown; there are {', '.join(BREAK_S)}")
        return BREAK_S[strength]
    found = re.fullmatch(r"\s*\+?(\d{1,9}(?:\.\d{1,9})?)(ms|s)\s*", time, re.ASCII)
    seconds = float(found[1]) * (0.001 if found[2] == "ms" else 1.0) if found else -1.0
    if not 0 <= seconds <= MAX_BREAK_S:
        raise TextError(f"SSML break time {time!r} must be such as 500ms or 2s, at most {MAX_BREAK_S:g}s")
    return seconds


def _rate(value: str) -> float:
    """Tempo as a factor: 1.2, 120%, +20% or a word."""
    value = value.strip()
    percent = value.endswith("%")
    number = RATES.get(value, _number(value.removesuffix("%")))
    if percent and number is not None:
        number = (100 + number if value[0] in "+-" else number) / 100
    if number is None or not 0.5 <= number <= 2.0:
        raise TextError(
            f"SSML rate {value!r} must be between 0.5 and 2, such as 1.2, 120% or +20%, or a word: {_list(RATES)}"
        )
    return number


def _gain(value: str) -> float:
    """Loudness as a factor: 0 .. 100 where 50 changes nothing, +6dB, or a word."""
    value = value.strip()
    if value.lower().endswith("db"):
        decibels = _number(value[:-2])
        if decibels is not None and SILENCE_DB <= decibels <= 20:
            return float(10 ** (decibels / 20))
    else:
        number = VOLUMES.get(value, _number(value))
        if number is not None and 0 <= number <= 100:
            return number / NEUTRAL_VOLUME
    raise TextError(f"SSML volume {value!r} must be between 0 and 100, or such as +6dB, or a word: {_list(VOLUMES)}")


def _number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"[+-]?\d{1,9}(\.\d{1,9})?", value, re.ASCII) else None


def _list(words: Mapping[str, float]) -> str:
    return ", ".join(words)
