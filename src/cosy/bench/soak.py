"""Hours of trouble in minutes: streams that come at random, leave early and fail, and what must hold nevertheless.

Before the trouble every case is heard once, alone.  Then, under load, each stream must give the same audio: whole if
it was heard to its end, as far as it came if not.  In the end every row must be free and memory where it was after
the warm-up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from cosy.bench.chaos import Chaos, InjectedError, Manner, make_unreliable, some_manner, unlogged
from cosy.bench.listen import running
from cosy.bench.memory import Growth, MemoryWatch
from cosy.bench.report import Report
from cosy.bench.subject import Subject, engine_settings
from cosy.errors import AbortedError, OverloadedError
from cosy.types import Samples, SpeechRequest

if TYPE_CHECKING:
    from cosy.engine.async_engine import AsyncEngine

LOAD = 1.1  # arrivals for each that one stream after another could serve; a third of them leaves early
REQUESTS_PER_FAILURE = 8
LOOK_EVERY_S = 0.5
LAST_S = 120.0  # for what still runs when the time is up
SAME_DB = 30.0  # SNR against the solo run, at least; that of another stream's audio is about -3
SHOWN = 20  # complaints that are kept


@dataclass(frozen=True)
class Terms:
    """How long, how much, and what must hold."""

    minutes: float = 15.0
    streams: int = 4
    arrivals_hz: float | None = None  # None: for `LOAD`
    cases: int = 8
    least_snr_db: float = SAME_DB
    most_growth: float = 0.02  # of memory, after the warm-up
    warm_up: float = 1 / 3  # of the time
    settle_s: float = 10.0  # in the end, for the engine to become idle


@dataclass(frozen=True)
class Case:
    """Something to say, in a way that may vary without any effect on the audio."""

    request: SpeechRequest
    in_pieces: bool

    def ask(self, chance: Random, most_pause_s: float) -> SpeechRequest:
        """The request; a text in pieces is cut and comes as chance will have it."""
        if not self.in_pieces:
            return self.request
        assert isinstance(self.request.text, str)
        return replace(self.request, text=_arriving(self.request.text, chance, most_pause_s))


async def _arriving(text: str, chance: Random, most_pause_s: float) -> AsyncIterator[str]:
    while text:
        size = chance.randint(1, 12)
        yield text[:size]
        text = text[size:]
        await asyncio.sleep(most_pause_s * chance.random())


def some_cases(subject: Subject, count: int) -> list[Case]:
    """Cases that differ in text, chance, voice, speed and the way they are asked for."""
    found = []
    for number in range(count):
        seconds = subject.choice.seconds * (0.3 + 0.7 * number / max(count - 1, 1))
        voice = subject.voice.name + (f"#{number}" if number % 3 == 2 else "")
        request = subject.request(
            number, seconds, voice=voice, speed=1.2 if number % 4 == 1 else 1.0, stream=number % 5 != 3
        )
        found.append(Case(request, in_pieces=number % 4 == 2))
    return found


@dataclass
class Tally:
    """What became of the streams."""

    ends: Counter[str] = field(default_factory=Counter)
    worst_snr_db: float = float("inf")
    complaints: list[str] = field(default_factory=list)
    compared: int = 0

    def complain(self, text: str) -> None:
        self.ends["wrong"] += 1
        if len(self.complaints) < SHOWN:
            self.complaints.append(text)


def snr_db(got: Samples, alone: Samples, whole: bool) -> float:
    """Signal of the solo run against the difference from it; if not `whole`, over what there is of `got`.

    Minus infinity for audio of another length.
    """
    if len(got) > len(alone) or (whole and len(got) < len(alone)):
        return -np.inf
    if not len(alone) or not len(got):
        return np.inf
    error = float(np.mean((got - alone[: len(got)]) ** 2, dtype=np.float64))
    return float(10 * np.log10((float(np.mean(alone**2, dtype=np.float64)) + 1e-20) / (error + 1e-20)))


class Soak:
    """One engine under load."""

    def __init__(self, engine: AsyncEngine, cases: Sequence[Case], terms: Terms, chance: Random, chaos: Chaos) -> None:
        self.engine, self.cases, self.terms, self.chance, self.chaos = engine, cases, terms, chance, chaos
        self.tally = Tally()
        self.alone: list[Samples] = []
        self.alone_s: list[float] = []
        self.wall_s = 0.0
        self.served_audio_s = 0.0

    async def hear_alone(self) -> None:
        """Every case once (after a warm-up), nothing beside it.  Raises CosyError if one fails."""
        await self._collect(self.cases[0].ask(self.chance, 0.0), [])
        for case in self.cases:
            start, heard = perf_counter(), [np.zeros(0, dtype=np.float32)]
            await self._collect(case.ask(self.chance, 0.0), heard)
            self.alone_s.append(perf_counter() - start)
            self.alone.append(np.concatenate(heard))

    async def endure(self, watch: MemoryWatch) -> None:
        """Streams arrive for as long as the terms say; returns when the last one has ended."""
        start, end = perf_counter(), perf_counter() + 60 * self.terms.minutes
        self.chaos.arm(REQUESTS_PER_FAILURE / self.rate_hz)
        tasks: set[asyncio.Task[None]] = set()
        looking = asyncio.create_task(self._look(watch, start))
        while perf_counter() < end:
            task = asyncio.create_task(self._one(self.chance.randrange(len(self.cases))))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            await asyncio.sleep(self.chance.expovariate(self.rate_hz))
        self.chaos.disarm()
        await self._drain(tasks)
        looking.cancel()
        self.wall_s = perf_counter() - start
        watch.look(self.wall_s, self.engine.core.gauges())

    async def _look(self, watch: MemoryWatch, start: float) -> None:
        while True:
            watch.look(perf_counter() - start, self.engine.core.gauges())
            await asyncio.sleep(LOOK_EVERY_S)

    @property
    def rate_hz(self) -> float:
        """Arrivals a second."""
        return self.terms.arrivals_hz or LOAD * len(self.alone_s) / sum(self.alone_s)

    async def _drain(self, tasks: set[asyncio.Task[None]]) -> None:
        if not tasks:
            return
        _, lost = await asyncio.wait(tasks, timeout=LAST_S)
        for task in lost:
            task.cancel()
            self.tally.complain(f"a stream had not ended {LAST_S:.0f} s after the time was up")

    async def _one(self, number: int) -> None:
        """One stream; whatever happens to it is in the tally."""
        manner, heard = some_manner(self.chance), [np.zeros(0, dtype=np.float32)]
        try:
            end = await self._behave(number, manner, heard)
        except InjectedError:
            end = "failed"
        except OverloadedError:
            end = "refused"
        except AbortedError as error:
            end = "aborted"
            if manner is not Manner.ABORTS:
                self.tally.complain(f"case {number} was cancelled by nobody: {error}")
        except Exception as error:
            end = "wrong"
            self.tally.complain(f"case {number} failed of itself: {error!r}")
        if end != "wrong":
            self.tally.ends[end] += 1
        self._compare(number, np.concatenate(heard), end)

    async def _behave(self, number: int, manner: Manner, heard: list[Samples]) -> str:
        """Listen in some manner; returns how it ended unless that is an error."""
        request, patience = self.cases[number].ask(self.chance, 0.05), 1.5 * self.alone_s[number] * self.chance.random()
        if manner is Manner.IS_CANCELLED:
            try:
                await asyncio.wait_for(self._collect(request, heard), patience)
            except asyncio.TimeoutError:
                return "cancelled"
            return "finished"
        name, timer = f"soak-{id(heard):x}", None
        if manner is Manner.ABORTS:
            timer = asyncio.create_task(self._abort_later(name, patience))
        most = 1 + self.chance.randrange(3) if manner is Manner.LEAVES else None
        try:
            whole = await self._collect(request, heard, name, most)
        finally:
            if timer is not None:
                timer.cancel()
        return "finished" if whole else "left"

    async def _collect(
        self, request: SpeechRequest, heard: list[Samples], name: str | None = None, most: int | None = None
    ) -> bool:
        """Keep all chunks, or leave after `most` of them; whether the end was reached."""
        async with aclosing(self.engine.stream(request, name)) as chunks:
            async for chunk in chunks:
                heard.append(chunk.samples)
                if most is not None and len(heard) > most:
                    return False
        return True

    async def _abort_later(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        await self.engine.abort(name)

    def _compare(self, number: int, got: Samples, end: str) -> None:
        tally, whole = self.tally, end == "finished"
        snr = snr_db(got, self.alone[number], whole)
        tally.compared += bool(len(got))
        tally.worst_snr_db = min(tally.worst_snr_db, snr)
        if whole:
            self.served_audio_s += len(got) / self.engine.sample_rate_hz
        if snr < self.terms.least_snr_db:
            sizes = f"{len(got)} samples of {len(self.alone[number])}"
            tally.complain(f"case {number} ({end}) differs from its solo run: SNR {snr:.1f} dB, {sizes}")

    # --- the verdict -------------------------------------------------------------------------------------------

    async def returned(self, before: Mapping[str, float]) -> list[str]:
        """What is not as it was before, once the engine is idle."""
        names = ("streams_active", "streams_waiting", "rows_lm_free", "rows_acoustic_free")
        end = perf_counter() + self.terms.settle_s
        while True:
            now = self.engine.core.gauges()
            left = [f"{name} is {now[name]:g}, was {before[name]:g}" for name in names if now[name] != before[name]]
            if not left or perf_counter() > end:
                break
            await asyncio.sleep(0.1)
        return left if self.engine.health().ready else [*left, self.engine.health().reason]

    def violations(self, growth: Growth) -> list[str]:
        """What did not hold, and what could not be shown."""
        ends, found = self.tally.ends, list(self.tally.complaints)
        if ends["wrong"] > len(found):
            found.append(f"and {ends['wrong'] - len(found)} more of the kind")
        if not ends["finished"]:
            found.append("too short: no stream was heard to its end; give it more --minutes or fewer --seconds")
        for name, share in growth.items():
            if share is not None and share > self.terms.most_growth:
                found.append(
                    f"{name} grew by {share:.1%} after the warm-up, at most {self.terms.most_growth:.1%} may be"
                )
        return found


async def soak(subject: Subject, terms: Terms) -> Report:
    """Endure, and judge.  The report's failures are empty if everything held."""
    engine = subject.engine(terms.streams, prompt_bytes=1)  # one voice's state is kept: voices come and go
    return await judged(subject, engine, terms)


async def judged(subject: Subject, engine: AsyncEngine, terms: Terms, chaos: Chaos | None = None) -> Report:
    """`soak` of an engine that has not started."""
    chance, chaos = Random(subject.choice.seed), chaos or Chaos(Random(subject.choice.seed + 1))
    make_unreliable(engine.core, chaos)
    test = Soak(engine, some_cases(subject, terms.cases), terms, chance, chaos)
    watch = MemoryWatch()
    async with running(engine):
        before = engine.core.gauges()
        with unlogged():
            await test.hear_alone()
            await test.endure(watch)
        left = await test.returned(before)
    growth = watch.growth(terms.warm_up)
    settings = {**subject.described(), **engine_settings(engine), **vars(terms), "arrivals_hz": test.rate_hz}
    failures = [*test.violations(growth), *left]
    return Report("soak", settings, [_result(test, watch, growth, failures)], _notes(test, growth), failures)


def _result(test: Soak, watch: MemoryWatch, growth: Growth, failures: Sequence[str]) -> dict[str, Any]:
    tally = test.tally
    return {
        "streams": test.terms.streams,
        "verdict": _verdict(growth, failures),
        "wall_s": test.wall_s,
        "ends": dict(tally.ends),
        "injected": dict(test.chaos.failures),
        "compared": tally.compared,
        "worst_snr_db": tally.worst_snr_db if np.isfinite(tally.worst_snr_db) else None,
        "audio_s": test.served_audio_s,
        "memory_growth": dict(growth),
        "memory_bytes": dict(watch.last),
    }


def _verdict(growth: Growth, failures: Sequence[str]) -> str:
    if failures:
        return "failed"
    return "passed" if growth["process"] is not None else "passed, but for memory, which was not judged"


def _notes(test: Soak, growth: Growth) -> list[str]:
    notes = []
    if not test.chaos.failures:
        notes.append("no stage was made to fail: the time was too short for it")
    for name, share in growth.items():
        if share is None:
            notes.append(f"{name} memory: its growth cannot be told, for want of time or of a system that tells it")
    for manner in ("aborted", "left", "cancelled"):
        if not test.tally.ends[manner]:
            notes.append(f"no stream was {manner}")
    return notes
