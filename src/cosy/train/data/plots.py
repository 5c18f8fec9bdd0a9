"""`summary.png`: what a corpus looks like, at a glance."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.dependencies import optional
from cosy.train.data.corpus import LEVEL_DBFS, Corpus
from cosy.train.data.summary import measure

PLOT = "summary.png"
_BINS = 60
_COLOUR = "#2a6f97"
_LEVEL_SPAN_DB = 6.0  # at least: all of it is brought to one level


def draw(folder: Path) -> Path:
    """Histograms of durations, pitch, level and pace, and the time of every speaker; return the picture's path.

    Raises MissingDependencyError without the `train` extra, MissingFileError if there is no corpus.
    """
    figures: Any = optional("matplotlib.figure", "train")  # no pyplot: it has global state, and wants a display
    corpus = Corpus(folder)
    found = measure(corpus)
    figure = figures.Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3).flatten()
    _histogram(axes[0], found.durations_s, "Durations", "seconds")
    _histogram(axes[1], found.pitches_hz, "Pitch", "median F0 of an utterance, Hz")
    _histogram(axes[2], found.levels_dbfs, f"Level (neutral speech: {LEVEL_DBFS:g})", "dBFS", _LEVEL_SPAN_DB)
    _histogram(axes[3], found.words_per_s, "Pace", "words (or hanzi, kana, hangul) per second")
    _speakers(axes[4], corpus)
    _languages(axes[5], corpus)
    figure.savefig(folder / PLOT, dpi=100)
    return folder / PLOT


def _histogram(axis: Any, values: np.ndarray, title: str, unit: str, span: float = 0.0) -> None:
    axis.set_title(title)
    axis.set_xlabel(unit)
    axis.set_ylabel("utterances")
    if len(values):
        spare = max(0.0, span - float(np.ptp(values))) / 2
        axis.hist(values, bins=_BINS, range=(values.min() - spare, values.max() + spare), color=_COLOUR)
    else:
        _nothing(axis)


def _speakers(axis: Any, corpus: Corpus) -> None:
    tokens = [sum(corpus.entries[i].tokens for i in indices) for indices in corpus.by_speaker.values()]
    minutes = np.sort(np.array(tokens) / TOKEN_RATE_HZ / 60)[::-1]
    axis.set_title(f"Speakers: {len(minutes)}")
    axis.set_xlabel("speaker, most speech first")
    axis.set_ylabel("minutes")
    axis.stairs(minutes, fill=True, color=_COLOUR)  # one shape, not thousands of bars


def _languages(axis: Any, corpus: Corpus) -> None:
    minutes: dict[str, float] = {}
    for entry in corpus.entries:
        minutes[entry.language] = minutes.get(entry.language, 0.0) + entry.tokens / TOKEN_RATE_HZ / 60
    axis.set_title("Languages")
    axis.set_ylabel("minutes")
    axis.bar(list(minutes), list(minutes.values()), color=_COLOUR)


def _nothing(axis: Any) -> None:
    axis.text(0.5, 0.5, "not known", ha="center", va="center", transform=axis.transAxes)
