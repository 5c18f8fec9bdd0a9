"""What a listener notices of speech, in figures: plain arithmetic on the times at which audio arrived.

A listener plays from the first sound on, in real time.  The slack of a later chunk is the time that is left to play
when it arrives; a negative one is an underrun: there was silence meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, NamedTuple

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.engine.stats import percentile
from cosy.errors import CosyError
from cosy.types import AudioChunk

Distribution = Mapping[str, float | None]

ENOUGH_FOR_P95 = 20  # values; of fewer, the 95th percentile is just the worst


class Arrival(NamedTuple):
    """Some audio, when it came."""

    at_s: float
    samples: int
    work_s: Mapping[str, float]  # stage -> seconds of computing it took


@dataclass
class Hearing:
    """One request as its listener got it.  All times are of one clock."""

    asked_s: float
    arrivals: list[Arrival] = field(default_factory=list)
    ended_s: float = 0.0
    tokens: list[int] = field(default_factory=list)  # speech tokens of each segment
    error: CosyError | None = None
    cpu_s: float | None = None  # of the whole process, on all its threads; None: others were served meanwhile

    def take(self, at_s: float, chunk: AudioChunk) -> None:
        """Note a chunk of an engine."""
        self.arrivals.append(Arrival(at_s, len(chunk.samples), dict(chunk.timings_s)))
        if chunk.finish_reason is not None:
            self.tokens.append(chunk.details["speech_tokens"])

    @property
    def sounds(self) -> list[Arrival]:
        """Arrivals that bring audio."""
        return [arrival for arrival in self.arrivals if arrival.samples]

    @property
    def complete(self) -> bool:
        """Whether it was heard to its end, and there was anything to hear."""
        return self.error is None and bool(self.sounds)

    @property
    def first_audio_s(self) -> float:
        """From the request to the first sound; of a complete hearing."""
        return self.sounds[0].at_s - self.asked_s

    @property
    def total_s(self) -> float:
        return self.ended_s - self.asked_s

    @property
    def audio_s(self) -> float:
        return sum(arrival.samples for arrival in self.arrivals) / SAMPLE_RATE_HZ

    @property
    def real_time_factor(self) -> float:
        """Seconds from the request to its end for a second of audio; of a complete hearing."""
        return self.total_s / self.audio_s

    @property
    def slacks_s(self) -> list[float]:
        """What was left to play when each chunk after the first arrived."""
        slacks: list[float] = []
        plays_until = 0.0
        for place, (at_s, samples, _) in enumerate(self.sounds):
            if place:
                slacks.append(plays_until - at_s)
            plays_until = (max(plays_until, at_s) if place else at_s) + samples / SAMPLE_RATE_HZ
        return slacks

    def work_s(self, stage: str, since: float = 0.0, until: float = 1.0) -> float | None:
        """Seconds of computing of a stage for a second of audio, in a part of the hearing; None without audio there.

        `since` and `until` are shares of all audio.  A chunk counts where its middle is.
        """
        whole, start, work, audio = self.audio_s, 0.0, 0.0, 0.0
        for _, samples, seconds in self.arrivals:
            length = samples / SAMPLE_RATE_HZ
            if whole and since <= (start + length / 2) / whole <= until:
                work, audio = work + seconds.get(stage, 0.0), audio + length
            start += length
        return work / audio if audio else None


def distribution(values: Iterable[float], shares: Sequence[int] = (50, 95, 99)) -> Distribution:
    """`p50` and so on, by nearest rank; None where there are no values."""
    ordered = sorted(values)
    return {f"p{share}": percentile(ordered, share) if ordered else None for share in shares}


def summary(hearings: Sequence[Hearing], wall_s: float) -> dict[str, Any]:
    """Figures of requests that were made within `wall_s`.  Requests that failed count in `failed` alone."""
    heard = [hearing for hearing in hearings if hearing.complete]
    slacks = [slack for hearing in heard for slack in hearing.slacks_s]
    late = [-slack for slack in slacks if slack < 0]
    audio_s = sum(hearing.audio_s for hearing in heard)
    return {
        "requests": len(hearings),
        "failed": len(hearings) - len(heard),
        "audio_s": audio_s,
        "wall_s": wall_s,
        "first_audio_s": distribution(hearing.first_audio_s for hearing in heard),
        "total_s": distribution(hearing.total_s for hearing in heard),
        "real_time_factor": distribution(hearing.real_time_factor for hearing in heard),
        "slack_s": {"min": min(slacks, default=None), **distribution(slacks, (1, 5, 50))},
        "underrun_share": len(late) / len(slacks) if slacks else None,  # of the chunks after the first
        "streams_with_underrun": sum(any(slack < 0 for slack in hearing.slacks_s) for hearing in heard),
        "underrun_s": sum(late),
        "audio_s_per_s": audio_s / wall_s if wall_s else None,
        "cpu_s_per_audio_s": _median([h.cpu_s / h.audio_s for h in heard if h.cpu_s is not None]),
        "work_s_per_audio_s": _work(heard),
    }


def _work(heard: Sequence[Hearing]) -> dict[str, float | None]:
    """Median seconds of computing for a second of audio by stage; acoustics at the start and at the end, too."""
    parts = {
        "lm": [hearing.work_s("lm") for hearing in heard],
        "acoustics": [hearing.work_s("acoustics") for hearing in heard],
        "acoustics_first_quarter": [hearing.work_s("acoustics", 0.0, 0.25) for hearing in heard],
        "acoustics_last_quarter": [hearing.work_s("acoustics", 0.75, 1.0) for hearing in heard],
    }
    return {name: _median([value for value in values if value is not None]) for name, values in parts.items()}


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def ratios(ours: Sequence[Hearing], theirs: Sequence[Hearing]) -> dict[str, Any]:
    """How many times longer `theirs` took: medians over pairs of runs that were made one after the other."""
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.complete and b.complete]
    cpu = [b.cpu_s / a.cpu_s for a, b in pairs if a.cpu_s and b.cpu_s is not None]
    return {
        "pairs": len(pairs),
        "first_audio": _median([b.first_audio_s / a.first_audio_s for a, b in pairs]),
        "total": _median([b.total_s / a.total_s for a, b in pairs]),
        "cpu": _median(cpu),  # which other load on the machine disturbs little
        "same_tokens": all(a.tokens == b.tokens for a, b in pairs),
    }


def cautions(hearings: Sequence[Hearing]) -> list[str]:
    """What the figures cannot tell, and what went wrong."""
    heard = [hearing for hearing in hearings if hearing.complete]
    notes = []
    if failures := [hearing.error for hearing in hearings if hearing.error is not None]:
        notes.append(f"{len(failures)} of {len(hearings)} requests failed, the first one with: {failures[0]}")
    if silent := [hearing for hearing in hearings if hearing.error is None and not hearing.sounds]:
        notes.append(f"{len(silent)} of {len(hearings)} requests ended without any audio")
    if 0 < len(heard) < ENOUGH_FOR_P95:
        notes.append(
            f"p95 and p99 are just the worst of all: {ENOUGH_FOR_P95} requests are needed, here are {len(heard)}"
        )
    if heard and not any(hearing.slacks_s for hearing in heard):
        notes.append("no stream has a second chunk: the speech is too short to tell slack and underruns")
    return notes
