"""Can a machine understand it?  Recordings of known sentences in, one row of figures out.

Every figure comes with what it is worth: the standard error, the teacher beside the system, and
two measured floors, chance (the same hearings scored against the wrong sentences) and noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from typing import Protocol

import numpy as np

from cosy.eval import quality
from cosy.eval.recognise import SEARCHES, Recogniser, Search, is_slot_sentence
from cosy.eval.sentences import EVERYDAY, slot_sentences
from cosy.eval.wer import ErrorRate, chance, word_error_rate
from cosy.types import Samples

MOS_CLIPS = 20  # DNSMOS changes little from clip to clip and costs most of the time
NOISE_CLIPS = 20
NO_TEACHER = "no teacher recordings: the rows teacher, vocoder alone and codes to wave are left out"

Sound = tuple[Samples, int]  # mono samples (n,) and their rate in Hz
Waves = Sequence[tuple[str, Samples]]  # each sentence with its recording


class Speaker(Protocol):
    """The system under test, cut open at its seams.  Each method returns a wave and its rate."""

    def text_to_wave(self, sentence: str, seed: int) -> Sound:
        """The whole chain: text -> codes -> mel -> wave."""
        ...

    def copy_synthesis(self, wave: Samples, rate_hz: int) -> Sound:
        """The vocoder alone: wave -> mel -> wave."""
        ...

    def resynthesise(self, wave: Samples, rate_hz: int) -> Sound:
        """All but the language model: wave -> codes -> mel -> wave, in the preset voice."""
        ...


@dataclass(frozen=True)
class Row:
    """What was measured of one system; None where a measure does not apply."""

    name: str
    sentences: int
    audio_s: float
    wer: dict[Search, ErrorRate]  # slot and loop over the slot sentences, free over all others
    mos: quality.Mos | None = None  # over the first clips
    f0_correlation: float | None = None  # to the reference recordings
    note: str = ""
    heard: dict[Search, list[tuple[str, str]]] = field(default_factory=dict, repr=False)  # (heard, expected)


def acceptance_sentences(count: int = 40) -> tuple[str, ...]:
    """The everyday sentences, then `count` slot sentences: index i names the same one whatever the count."""
    return EVERYDAY + slot_sentences(count)


def evaluate(
    name: str,
    waves: Waves,
    rate_hz: int,
    references: Sequence[Sound] | None = None,
    *,
    searches: Sequence[Search] = SEARCHES,
    mos_clips: int = MOS_CLIPS,
    note: str = "",
) -> Row:
    """Measure recordings (n,) at `rate_hz` of known sentences.

    `references` are other recordings of the same sentences at the same pace, one per wave: they
    give the F0 correlation.  `searches` and `mos_clips` can leave out what costs time.
    Raises ValueError without waves, MissingDependencyError without the `eval` extra.
    """
    if not waves:
        raise ValueError(f"{name}: no recordings to evaluate")
    heard = _hear(waves, rate_hz, searches)
    return Row(
        name=name,
        sentences=len(waves),
        audio_s=sum(len(wave) for _, wave in waves) / rate_hz,
        wer={search: word_error_rate(pairs) for search, pairs in heard.items()},
        mos=_mean_mos([wave for _, wave in waves[:mos_clips]], rate_hz),
        f0_correlation=None if references is None else _f0_correlation(waves, references, rate_hz),
        note=note,
        heard=heard,
    )


def chance_row(row: Row) -> Row:
    """What `row`'s hearings score against the wrong sentences: the floor for a system that ignores its text."""
    wer = {search: chance(pairs) for search, pairs in row.heard.items() if len(pairs) > 1}
    return Row("chance", row.sentences, row.audio_s, wer, note=f"hearings of {row.name!r}, every wrong sentence")


def noise_row(waves: Waves, rate_hz: int, searches: Sequence[Search] = SEARCHES) -> Row:
    """White noise of the lengths of `NOISE_CLIPS` of the waves: a recogniser looks long for words in it."""
    rng = np.random.default_rng(0)
    some = waves[:: math.ceil(len(waves) / NOISE_CLIPS)]
    noise = [(sentence, rng.standard_normal(len(wave), dtype=np.float32)) for sentence, wave in some]
    return evaluate("white noise", noise, rate_hz, searches=searches, mos_clips=4)


def compare(
    speaker: Speaker, sentences: Sequence[str], teacher: Sequence[Sound] | None = None, seed: int = 0
) -> list[Row]:
    """Side by side: teacher, vocoder alone, codes to wave, text to wave, chance and noise.

    `teacher` holds a recording of every sentence, all at one rate.  Without it the three rows that
    need recordings are left out.  Sentence i is spoken with seed `seed + i`.
    """
    rows = [] if teacher is None else _teacher_rows(speaker, sentences, teacher)
    spoken = [speaker.text_to_wave(sentence, seed + i) for i, sentence in enumerate(sentences)]
    waves, rate_hz = _with_sentences(sentences, spoken)
    text_to_wave = evaluate("text to wave", waves, rate_hz, note="" if rows else NO_TEACHER)
    return [*rows, text_to_wave, chance_row(rows[0] if rows else text_to_wave), noise_row(waves, rate_hz)]


def _teacher_rows(speaker: Speaker, sentences: Sequence[str], teacher: Sequence[Sound]) -> list[Row]:
    rows = [evaluate("teacher", *_with_sentences(sentences, teacher))]
    for name, method in (("vocoder alone", speaker.copy_synthesis), ("codes to wave", speaker.resynthesise)):
        waves, rate_hz = _with_sentences(sentences, [method(*sound) for sound in teacher])
        rows.append(evaluate(name, waves, rate_hz, teacher))
    return rows


def _hear(waves: Waves, rate_hz: int, searches: Sequence[Search]) -> dict[Search, list[tuple[str, str]]]:
    """Hearings beside what was to be said; a search without a sentence to try is left out."""
    recogniser = Recogniser()
    heard: dict[Search, list[tuple[str, str]]] = {}
    for search in searches:
        fitting = [(text, wave) for text, wave in waves if is_slot_sentence(text) == (search != "free")]
        if fitting:
            heard[search] = [(recogniser.hear(wave, rate_hz, search), text) for text, wave in fitting]
    return heard


def _mean_mos(waves: Sequence[Samples], rate_hz: int) -> quality.Mos | None:
    scores = [quality.dnsmos(wave, rate_hz) for wave in waves if np.any(wave)]
    if not scores:
        return None
    return quality.Mos(*(float(np.mean(column)) for column in zip(*map(astuple, scores), strict=True)))


def _f0_correlation(waves: Waves, references: Sequence[Sound], rate_hz: int) -> float:
    if len(references) != len(waves):
        raise ValueError(f"{len(waves)} recordings need as many references, got {len(references)}")
    own = (quality.f0(wave, rate_hz) for _, wave in waves)
    return quality.f0_correlation(zip(own, (quality.f0(*sound) for sound in references), strict=True))


def _with_sentences(sentences: Sequence[str], sounds: Sequence[Sound]) -> tuple[Waves, int]:
    if len(sounds) != len(sentences):
        raise ValueError(f"{len(sentences)} sentences need as many recordings, got {len(sounds)}")
    rates = {rate_hz for _, rate_hz in sounds}
    if len(rates) != 1:
        raise ValueError(f"the recordings must share one rate, got {sorted(rates)} Hz")
    return [(sentence, wave) for sentence, (wave, _) in zip(sentences, sounds, strict=True)], rates.pop()
