"""Rows of figures as a Markdown table for people and as plain data for programs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from cosy.eval.intelligibility import Row
from cosy.eval.known_words import missed_words
from cosy.eval.recognise import SEARCHES
from cosy.eval.wer import ErrorRate

_HEADINGS = (
    "audio",
    "slot WER %",
    "loop WER %",
    "free-LM WER %",
    "DNSMOS overall / P808",
    "F0 corr",
    "clips",
    "audio s",
)


def markdown(rows: Sequence[Row], known: frozenset[str] | None = None) -> str:
    """One table line per row: word error rates in percent with their standard error; "-" where nothing was measured.

    With the `known` words of a training, how many of them and of all others were missed, below the table.
    """
    lines = [line(_HEADINGS), line(["---"] + ["---:"] * (len(_HEADINGS) - 1))]
    lines += [line(_cells(row)) for row in rows]
    notes = [f"- {row.name}: {row.note}" for row in rows if row.note]
    if known is not None:
        heard = [(row.name, search, pairs) for row in rows for search, pairs in row.heard.items()]
        notes += [f"- words missed, {name}, {search}: {missed_words(pairs, known)}" for name, search, pairs in heard]
    return "\n".join([*lines, "", *notes] if notes else lines) + "\n"


def as_data(rows: Sequence[Row], known: frozenset[str] | None = None) -> list[dict[str, Any]]:
    """JSON-ready: rates as fractions, every hearing beside what was to be said; with `known` the words missed."""
    data = [_data(row) for row in rows]
    if known is not None:
        for row, each in zip(rows, data, strict=True):
            each["missed_words"] = {search: missed_words(pairs, known).as_data() for search, pairs in row.heard.items()}
    return data


def _data(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "sentences": row.sentences,
        "audio_s": row.audio_s,
        "wer": {search: rate_data(rate) for search, rate in row.wer.items()},
        "dnsmos": None if row.mos is None else {"overall": row.mos.overall, "p808": row.mos.p808},
        "f0_correlation": finite(row.f0_correlation),
        "note": row.note,
        "heard": {s: [{"heard": h, "expected": e} for h, e in pairs] for s, pairs in row.heard.items()},
    }


def rate_data(rate: ErrorRate, of: str = "words") -> dict[str, Any]:
    """JSON-ready; `of` names what was counted."""
    return {
        "rate": rate.rate,
        "errors": rate.errors,
        of: rate.words,
        "standard_error": finite(rate.standard_error),
    }


def finite(value: float | None) -> float | None:
    """What JSON can hold: a number, or None."""
    return value if value is not None and math.isfinite(value) else None


def _cells(row: Row) -> list[str]:
    rates = [percent(row.wer.get(search)) for search in SEARCHES]
    mos = "-" if row.mos is None else f"{row.mos.overall:.2f} / {row.mos.p808:.2f}"
    correlation = finite(row.f0_correlation)
    f0 = "-" if correlation is None else f"{correlation:.2f}"
    return [row.name, *rates, mos, f0, str(row.sentences), f"{row.audio_s:.0f}"]


def percent(rate: ErrorRate | None) -> str:
    """The rate with its standard error, in percent."""
    if rate is None:
        return "-"
    error = "" if math.isnan(rate.standard_error) else f" ± {100 * rate.standard_error:.1f}"
    return f"{100 * rate.rate:.1f}{error}"


def line(cells: Sequence[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"
