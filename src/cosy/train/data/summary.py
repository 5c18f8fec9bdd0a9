"""What a corpus holds, in figures: for its `summary.json`, for people, and for the plots."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.audio.silence import dbfs
from cosy.text.unicode import HAN, HANGUL, KANA
from cosy.train.data.corpus import PER_TOKEN, Corpus, Entry
from cosy.train.data.recordings import DROPPED

SUMMARY = "summary.json"
MOST_HEARD = 2000  # utterances whose samples are looked at, spread evenly


@dataclass(frozen=True)
class Measures:
    """One figure per utterance; of pitch and level only for `MOST_HEARD`, and none where the array is missing."""

    durations_s: np.ndarray
    words_per_s: np.ndarray  # hanzi, kana and hangul count as words
    pitches_hz: np.ndarray  # median F0 of the voiced frames; whispers have none
    levels_dbfs: np.ndarray


def summarise(folder: Path) -> dict[str, Any]:
    """Plain JSON: hours, utterances, speakers, languages and styles (hours), arrays, rows dropped by reason.

    Raises MissingFileError if there is no corpus.
    """
    corpus = Corpus(folder)
    seconds = np.array([entry.tokens / TOKEN_RATE_HZ for entry in corpus.entries])
    return {
        "hours": _hours(corpus.entries),
        "utterances": len(corpus),
        "speakers": len(corpus.by_speaker),
        "shards": len(corpus.shards),
        "seconds": {name: round(float(np.percentile(seconds, at)), 2) for name, at in _PERCENTILES}
        if len(corpus)
        else {},
        "languages": _hours_by(corpus.entries, lambda entry: entry.language),
        "styles": _hours_by(corpus.entries, lambda entry: entry.style or "neutral"),
        "instructions": sum(bool(entry.instruction) for entry in corpus.entries),
        "arrays": [name for name in (*PER_TOKEN, "codes", "speakers") if corpus.has(name)],
        "dropped": _dropped(folder / DROPPED),
    }


_PERCENTILES = (("shortest", 0), ("median", 50), ("longest", 100))


def write_summary(folder: Path) -> dict[str, Any]:
    """`summarise`, also into `summary.json`."""
    found = summarise(folder)
    (folder / SUMMARY).write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return found


def as_text(summary: dict[str, Any]) -> str:
    """A line per figure."""

    def counts(name: str, unit: str = "") -> str:
        return ", ".join(f"{key} {value}{unit}" for key, value in summary[name].items()) or "none"

    rows = {
        "hours": f"{summary['hours']:.2f}",
        "utterances": f"{summary['utterances']} in {summary['shards']} shards",
        "seconds": counts("seconds"),
        "speakers": str(summary["speakers"]),
        "languages": counts("languages", " h"),
        "styles": counts("styles", " h"),
        "instructions": str(summary["instructions"]),
        "arrays": ", ".join(summary["arrays"]) or "none",
        "dropped": counts("dropped"),
    }
    return "\n".join(f"{name:<13} {value}" for name, value in rows.items())


def measure(corpus: Corpus) -> Measures:
    """The figures that plots show."""
    entries = corpus.entries
    durations = np.array([entry.tokens / TOKEN_RATE_HZ for entry in entries])
    words = np.array([_words(entry.text) for entry in entries])
    heard = range(0, len(corpus), -(-len(corpus) // MOST_HEARD) or 1)
    pitches = [_median_pitch(corpus.slice("f0", i)) for i in heard] if corpus.has("f0") else []
    levels = [dbfs((corpus.slice("wave", i) / 32767).astype(np.float32)) for i in heard] if corpus.has("wave") else []
    found = np.array(pitches)
    return Measures(durations, words / durations, found[found > 0], np.array(levels))


def _median_pitch(f0: np.ndarray) -> float:
    voiced = f0[f0 > 0]
    return float(np.median(voiced)) if len(voiced) else 0.0


def _words(text: str) -> int:
    """Words between blanks; every sign that stands for a syllable is one."""
    signs = 0
    for script in (HAN, KANA, HANGUL):
        text, count = script.subn(" ", text)
        signs += count
    return signs + sum(any(char.isalnum() for char in word) for word in text.split())


def _hours(entries: Iterable[Entry]) -> float:
    return round(sum(entry.tokens for entry in entries) / TOKEN_RATE_HZ / 3600, 4)


def _hours_by(entries: Iterable[Entry], kind: Callable[[Entry], str]) -> dict[str, float]:
    """Hours of every kind, most first."""
    tokens: Counter[str] = Counter()
    for entry in entries:
        tokens[kind(entry)] += entry.tokens
    return {name: round(count / TOKEN_RATE_HZ / 3600, 4) for name, count in tokens.most_common()}


def _dropped(path: Path) -> dict[str, int]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8") as file:
        return dict(Counter(json.loads(line)["reason"] for line in file).most_common())
