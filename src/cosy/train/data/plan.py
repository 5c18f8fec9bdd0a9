"""What speech engines are to say: pseudo-speakers, their texts and styles, all a pure function of a seed.

Speakers take the languages in turn.  One of espeak-ng says a quarter of its texts in the other languages, so that voice
and language can be told apart; those of festival and flite know English alone.
"""

from __future__ import annotations

import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cosy.errors import ParameterError
from cosy.text.unicode import letters
from cosy.train.data import english
from cosy.train.data.espeak import LANGUAGES, EspeakVoice
from cosy.train.data.resume import begin, begun, digest
from cosy.train.data.speakers import STYLES, Voice
from cosy.train.data.synth import ALL, Job, Line
from cosy.train.data.teachers import TEACHERS

ESPEAK = "espeak"
EVERY_TEACHER = (ESPEAK, *TEACHERS)
WOMEN, MEN = ("slt",), ("rms", "awb", "kal16")
VARIANTS = "f1 f2 f3 f5 m1 m2 m5 m6".split()  # of espeak-ng: those a recogniser understands at any pitch
STYLED = 0.3  # share of the utterances that are spoken in a style
ELSEWHERE = 0.25  # share of an espeak-ng speaker's time that goes to other languages
ENGLISH_TEMPO = 0.7  # of espeak-ng, whose words are syllables in Mandarin: the same figure is too fast for English
SALAD_WORDS = 6000
# How long these texts take, measured on 171 lines; only the length of a plan hangs on it.
LETTERS_PER_S, PAUSES_S = {"en": 16.0, "zh": 20.0}, 0.45
_JOB_S = 300.0  # a shard
_READ_AS_PINYIN = re.compile(r"\b(you|a|me)\b", re.IGNORECASE)  # espeak-ng takes these words for syllables


@dataclass(frozen=True)
class Wish:
    """What is asked for.  Raises ParameterError for what cannot be."""

    hours: float = 1.0  # about: texts are counted, not speech
    speakers: int = 20
    languages: tuple[str, ...] = ("en", "zh")
    teachers: tuple[str, ...] = EVERY_TEACHER
    seed: int = 0
    arrays: tuple[str, ...] = ALL

    def __post_init__(self) -> None:
        if self.hours <= 0 or self.speakers < 1:
            raise ParameterError(f"{self.hours} hours of {self.speakers} speakers are nothing: ask for more")
        for names, known, what in (
            (self.languages, tuple(LANGUAGES), "language"),
            (self.teachers, EVERY_TEACHER, "teacher"),
        ):
            if not names or not set(names) <= set(known):
                raise ParameterError(f"{what} {', '.join(names)!r} cannot be had; known: {', '.join(known)}")
        silent = [language for language in self.languages if language != "en" and ESPEAK not in self.teachers]
        if silent:
            raise ParameterError(f"only the teacher {ESPEAK!r} speaks {silent[0]!r}; add it, or leave the language out")


def planned(folder: Path, wish: Wish, held_out: Mapping[str, Collection[str]]) -> list[Job]:
    """`jobs` of a wish, written down in `folder` at the first call.

    Raises ParameterError if the folder was begun with another wish, or by a version that plans otherwise.
    """
    found = jobs(wish, held_out)
    options = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(wish).items()}
    plan = {"made by": "cosy data synth", **options, "jobs": digest([asdict(job) for job in found])}
    if begun(folder, plan) is None:
        begin(folder, plan)
    return found


def jobs(wish: Wish, held_out: Mapping[str, Collection[str]]) -> list[Job]:
    """Who says what: shards of one speaker and language.

    `held_out` holds, per language, sentences that must not be drawn.
    """
    rng = random.Random(wish.seed)
    drawn = {language: texts(language, wish.seed, held_out.get(language, ())) for language in wish.languages}
    speech_s = wish.hours * 3600 / wish.speakers
    found: list[Job] = []
    for number in range(wish.speakers):
        home = wish.languages[number % len(wish.languages)]
        voice = speaker(f"{home}-{number:04d}", home, rng, wish.teachers)
        for language, share in _shares(voice, home, wish.languages).items():
            lines = _lines(drawn[language], language, share * speech_s, voice.tempo, rng)
            found += _cut(voice, language, lines, wish.arrays)
    return found


def speaker(name: str, language: str, rng: random.Random, teachers: Sequence[str] = EVERY_TEACHER) -> Voice:
    """A pseudo-speaker who speaks `language`, made of one of the `teachers` that know it."""
    others = tuple(teacher for teacher in TEACHERS if teacher in teachers and language == "en")
    if others and (ESPEAK not in teachers or rng.random() < 2 / 3):
        return english_voice(name, rng, others)
    teacher = espeak_voice(rng)
    return Voice(
        name,
        teacher,
        pitch=rng.uniform(0.95, 1.3),
        formants=rng.uniform(0.88, 1.14),
        intonation=rng.uniform(0.8, 1.2),
        tempo=rng.uniform(0.95, 1.05),
    )


def english_voice(name: str, rng: random.Random, teachers: Sequence[str] = TEACHERS) -> Voice:
    """A variant of a festival or flite voice, within what it bears: a woman's tract grows, a man's shrinks."""
    women, men = ([t for t in known if t in teachers] for known in (WOMEN, MEN))
    if women and (not men or rng.random() < 0.4):
        teacher, formants, pitch = women[0], rng.uniform(0.84, 1.05), rng.uniform(0.55, 1.12)
    else:
        teacher = rng.choice(men)
        formants = rng.uniform(0.95, 1.2)
        pitch = rng.uniform(0.85, 1.25) * (1 + 0.45 * (formants - 0.95) / 0.25)
    return Voice(name, teacher, pitch, formants, rng.uniform(0.7, 1.4), rng.uniform(0.92, 1.08))


def espeak_voice(rng: random.Random, variants: Sequence[str] = VARIANTS) -> EspeakVoice:
    """A voice of espeak-ng at the tempo of Mandarin."""
    return EspeakVoice(rng.choice(variants), rng.randint(38, 85), rng.randint(30, 75), rng.randint(215, 255))


def in_language(voice: Voice, language: str) -> Voice:
    """The same speaker, at the tempo that its engine needs in `language`."""
    if language == "en" and isinstance(voice.teacher, EspeakVoice):
        slower = round(voice.teacher.words_per_minute * ENGLISH_TEMPO)
        return replace(voice, teacher=replace(voice.teacher, words_per_minute=slower))
    return voice


def texts(
    language: str,
    seed: int,
    held_out: Collection[str],
    salad_words: int = SALAD_WORDS,
    salad_share: float = english.SALAD_SHARE,
) -> Iterator[str]:
    """Distinct texts in Mandarin ("zh") or English for ever, none of the sentences of `held_out` among them.

    `salad_words`: how many of the most frequent English words are mixed at random, in `salad_share` of its texts.
    """
    if language == "zh":
        from cosy.train.data import mandarin  # brings a dictionary

        return (text for text in mandarin.draw(seed, held_out) if not _READ_AS_PINYIN.search(text))
    return english.draw(seed, english.frequent_words(salad_words), held_out, salad_share)


def _shares(voice: Voice, home: str, languages: Sequence[str]) -> dict[str, float]:
    """Shares of a speaker's time."""
    others = [language for language in languages if language != home]
    if not others or not isinstance(voice.teacher, EspeakVoice):
        return {home: 1.0}
    return {home: 1 - ELSEWHERE, **dict.fromkeys(others, ELSEWHERE / len(others))}


def _lines(
    texts: Iterator[str], language: str, speech_s: float, tempo: float, rng: random.Random
) -> Iterator[tuple[Line, float]]:
    """Lines until about `speech_s` are full, at least one, with the seconds each will last."""
    styles = list(STYLES)[1:]
    while True:
        text = next(texts)
        style = rng.choice(styles) if rng.random() < STYLED else ""
        seconds = (letters(text) / LETTERS_PER_S[language] + PAUSES_S) / (tempo * STYLES[style].tempo)
        yield Line(text, language, style), seconds
        speech_s -= seconds
        if speech_s <= 0:
            return


def _cut(voice: Voice, language: str, lines: Iterator[tuple[Line, float]], arrays: tuple[str, ...]) -> list[Job]:
    """Shards of about `_JOB_S`."""
    parts: list[list[Line]] = []
    full_s = _JOB_S
    for line, seconds in lines:
        if full_s >= _JOB_S:
            parts.append([])
            full_s = 0.0
        parts[-1].append(line)
        full_s += seconds
    said = in_language(voice, language)
    return [Job(f"{voice.name}-{language}-{i:03d}", said, tuple(part), arrays) for i, part in enumerate(parts)]
