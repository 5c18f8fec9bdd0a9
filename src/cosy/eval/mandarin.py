"""Can a machine understand its Mandarin?  `intelligibility` for toned syllables.

Every figure comes with what it is worth: its standard error, the teachers beside the system, and three
measured floors: chance (the same hearings scored against the wrong sentences), reversed speech and noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cosy.eval.intelligibility import Sound, Speaker
from cosy.eval.mandarin_judge import CIRCULARITY, MandarinJudge
from cosy.eval.report import line, percent, rate_data
from cosy.eval.syllable_error import Hearing, SyllableErrors, error_rates, syllable_errors, tone_confusion
from cosy.eval.syllables import TONES, Expected, spoken

_SENTENCES = Path(__file__).parent / "assets" / "mandarin_sentences.tsv"


class Sentence(NamedTuple):
    """A sentence in hanzi, and how it is read: toned pinyin with marks (`syllables.written`)."""

    text: str
    pinyin: str


@cache
def held_out_sentences() -> tuple[Sentence, ...]:
    """159 everyday sentences that training never sees, in a fixed order.

    一 and 不 have the tones they are spoken with; where speakers differ, as they do in neutral tones, all that
    is right is given.
    """
    lines = _SENTENCES.read_text(encoding="utf-8").splitlines()
    return tuple(Sentence(*line.split("\t")) for line in lines)


@dataclass(frozen=True)
class Row:
    """What was heard of one system."""

    name: str
    audio_s: float
    errors: SyllableErrors
    confusion: list[list[int]]
    heard: tuple[tuple[Sentence, list[str]], ...] = ()  # empty where the hearings are those of another row
    note: str = ""


def evaluate(
    judge: MandarinJudge, name: str, sentences: Sequence[Sentence], sounds: Sequence[Sound], note: str = ""
) -> Row:
    """Let the judge hear a recording of every sentence.  Raises ValueError for another number, or without any."""
    if not sentences or len(sounds) != len(sentences):
        raise ValueError(f"{name}: every sentence needs a recording, got {len(sounds)} for {len(sentences)}")
    heard = tuple((s, judge.hear(*sound)) for s, sound in zip(sentences, sounds, strict=True))
    hearings = [syllable_errors(got, spoken(sentence.pinyin)) for sentence, got in heard]
    seconds = sum(len(wave) / rate_hz for wave, rate_hz in sounds)
    return Row(name, seconds, error_rates(hearings), tone_confusion(hearings), heard, note)


def chance_row(row: Row) -> Row:
    """What `row`'s hearings score against the wrong sentences: the floor for a system that ignores its text.

    Raises ValueError for fewer than two sentences.
    """
    if len(row.heard) < 2:
        raise ValueError(f"chance needs at least two sentences, got {len(row.heard)}")
    expected = [spoken(sentence.pinyin) for sentence, _ in row.heard]
    hearings = [_against(got, expected[:i] + expected[i + 1 :]) for i, (_, got) in enumerate(row.heard)]
    note = f"hearings of {row.name!r}, every wrong sentence"
    return Row("chance", row.audio_s, error_rates(hearings), tone_confusion(hearings), note=note)


def _against(heard: Sequence[str], others: Iterable[list[Expected]]) -> Hearing:
    """One hearing beside every one of `others`, summed."""
    found = [syllable_errors(heard, expected) for expected in others]
    tones = tuple(pair for each in found for pair in each.tones)
    return Hearing(sum(each.syllables for each in found), sum(each.base_errors for each in found), tones)


def compare(
    judge: MandarinJudge,
    speaker: Speaker | None,
    sentences: Sequence[Sentence],
    teachers: Mapping[str, Sequence[Sound]],
    seed: int = 0,
) -> list[Row]:
    """Side by side: teachers, vocoder alone, codes to wave, text to wave, chance, reversed speech and white noise.

    `teachers` are recordings of every sentence, by name.  The first is the one the system is measured
    against; without any, the rows that need recordings are left out.  So are the system's without a
    `speaker`: the judge itself is then what is measured.  Sentence i is spoken with seed `seed + i`.
    Raises ValueError if there is neither.
    """
    rows = [evaluate(judge, name, sentences, sounds) for name, sounds in teachers.items()]
    sounds = next(iter(teachers.values()), ())
    if speaker is not None:
        for name, method in (("vocoder alone", speaker.copy_synthesis), ("codes to wave", speaker.resynthesise)):
            if sounds:
                rows.append(evaluate(judge, name, sentences, [method(*sound) for sound in sounds]))
        own = [speaker.text_to_wave(sentence.text, seed + i) for i, sentence in enumerate(sentences)]
        rows.append(evaluate(judge, "text to wave", sentences, own))
        sounds = sounds or own
    if not sounds:
        raise ValueError("nothing to hear: there is neither a system nor a teacher")
    backwards = [(np.ascontiguousarray(wave[::-1]), rate_hz) for wave, rate_hz in sounds]
    white = np.random.default_rng(0)
    noise = [(white.standard_normal(len(wave), dtype=np.float32), rate_hz) for wave, rate_hz in sounds]
    rows.append(chance_row(rows[0]))
    rows.append(evaluate(judge, "reversed", sentences, backwards, f"the recordings of {rows[0].name!r}, backwards"))
    return [*rows, evaluate(judge, "white noise", sentences, noise)]


def markdown(rows: Sequence[Row]) -> str:
    """The rates in percent with their standard errors, the tones of the system, and what the figures are worth."""
    system = next((row for row in rows if row.name == "text to wave"), rows[0])
    lines = [
        line(["audio", "syllable error %", "base error %", "tone error %", "clips", "audio s"]),
        line(["---"] + ["---:"] * 5),
        *(line(_cells(row)) for row in rows),
        "",
        f"Tones of {system.name!r} where the base was right (rows: to be said, columns: heard; 5 is neutral):",
        "",
        line(["", *TONES]),
        line(["---"] + ["---:"] * len(TONES)),
        *(line([tone, *map(str, counts)]) for tone, counts in zip(TONES, system.confusion, strict=True)),
        "",
        *(f"- {row.name}: {row.note}" for row in rows if row.note),
        f"- These figures are partly circular: {CIRCULARITY}.",
    ]
    return "\n".join(lines) + "\n"


def _cells(row: Row) -> list[str]:
    rates = (percent(rate) for rate in (row.errors.syllable, row.errors.base, row.errors.tone))
    return [row.name, *rates, str(len(row.heard)) if row.heard else "-", f"{row.audio_s:.0f}"]


def as_data(rows: Sequence[Row]) -> dict[str, Any]:
    """JSON-ready: rates as fractions, every hearing beside what was to be said, and the caveat."""
    return {"caveat": CIRCULARITY, "rows": [_data(row) for row in rows]}


def _data(row: Row) -> dict[str, Any]:
    rates = {"syllable": row.errors.syllable, "base": row.errors.base, "tone": row.errors.tone}
    return {
        "name": row.name,
        "audio_s": row.audio_s,
        "errors": {name: None if rate is None else rate_data(rate, of="of") for name, rate in rates.items()},
        "tone_confusion": row.confusion,
        "note": row.note,
        "heard": [
            {"text": sentence.text, "expected": sentence.pinyin, "heard": " ".join(heard)}
            for sentence, heard in row.heard
        ],
    }
