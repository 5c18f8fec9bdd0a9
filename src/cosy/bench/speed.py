"""How soon and how fast: one stream after another, and many at once.

Every engine serves a request like the others first, which is not counted: it loads code, lets the engine learn what
things cost and grow to the length and, for a cached voice, computes what depends on the voice alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from random import Random
from time import process_time
from typing import Any

from cosy.bench.figures import Hearing, cautions, ratios, summary
from cosy.bench.listen import Round, closed_loop, listen, open_loop, running
from cosy.bench.reference import Official, official
from cosy.bench.report import Report
from cosy.bench.subject import Subject, engine_settings
from cosy.engine.async_engine import AsyncEngine
from cosy.engine.scheduler import Limits
from cosy.errors import EngineError, OverloadedError, ParameterError
from cosy.nn.threads import apart

WARM_UP = 1_000_000  # number of the first request that is not counted


async def latency(subject: Subject, runs: int, reference: bool = False) -> Report:
    """One stream after another; with `reference` each is followed by the official computation of the same length.

    Raises EngineError if nothing can be heard at all.
    """
    plain = apart(lambda: official(subject)) if reference else None
    ours: list[Hearing] = []
    theirs: list[Hearing] = []
    settings = subject.described()
    for numbers in [range(runs)] if plain is None else [range(i, i + 1) for i in range(runs)]:
        engine = subject.engine()
        settings |= engine_settings(engine)
        ours += await _alone(subject, engine, numbers)
        if plain is not None and ours[-1].complete:  # with no engine beside it, see `apart`
            theirs.append(apart(partial(plain.hear, numbers[-1], ours[-1].tokens)))
    result = {"streams": 1, **summary(ours, sum(hearing.total_s for hearing in ours))}
    notes = cautions(ours)
    if plain is not None:
        result |= _against(ours, theirs, notes)
    settings |= {"loop": "closed", "runs": runs}
    return Report("latency", settings, [result], notes, _failures([result]))


async def _alone(subject: Subject, engine: AsyncEngine, numbers: range) -> list[Hearing]:
    """The requests of these numbers, one after another."""
    hearings = []
    async with running(engine):
        await _warm_up(subject, engine, 1)
        for number in numbers:
            cpu_s = process_time()
            hearing = await listen(engine, subject.request(number))
            hearing.cpu_s = process_time() - cpu_s
            hearings.append(hearing)
    return hearings


async def throughput(
    subject: Subject, streams: Sequence[int], runs: int, arrivals_hz: float | None = None, reference: bool = False
) -> Report:
    """Several streams at once, for each number of `streams` in an engine of its own; `runs` requests for each stream.

    With `arrivals_hz` requests come at random at that rate and the engine may refuse some (open loop); without,
    every listener asks again when it has heard all (closed loop).  With `reference` the official computation of one
    stream follows each number.  Raises EngineError if nothing can be heard at all.
    """
    if not streams or min(streams) < 1:
        raise ParameterError(f"numbers of streams must be above 0, got {list(streams)}")
    if arrivals_hz is not None and not arrivals_hz > 0:
        raise ParameterError(f"arrivals must come at a rate above 0 a second, got {arrivals_hz}")
    plain = apart(lambda: official(subject)) if reference else None
    results, notes, settings = [], [], subject.described()
    for count in streams:
        engine = subject.engine(count, None if arrivals_hz is None else Limits(streams=count))
        settings |= engine_settings(engine)
        async with running(engine):
            await _warm_up(subject, engine, count if arrivals_hz is None else 1)
            heard = await _round(subject, engine, count, runs, arrivals_hz)
        result, of_these = _result(count, heard)
        if plain is not None:
            result |= _beside(plain, result, heard.hearings)
        results.append(result)
        notes += [f"{count} streams: {note}" for note in of_these]
    settings |= {"loop": "closed" if arrivals_hz is None else "open", "arrivals_hz": arrivals_hz, "runs": runs}
    return Report("throughput", settings, results, notes, _failures(results))


async def _round(subject: Subject, engine: AsyncEngine, streams: int, runs: int, arrivals_hz: float | None) -> Round:
    if arrivals_hz is None:
        return await closed_loop(engine, subject.request, streams, runs)
    return await open_loop(engine, subject.request, arrivals_hz, streams * runs, Random(subject.choice.seed))


async def _warm_up(subject: Subject, engine: AsyncEngine, streams: int) -> None:
    heard = await closed_loop(engine, lambda number: subject.request(WARM_UP + number), streams, 1)
    for hearing in heard.hearings:
        if hearing.error is not None:
            raise hearing.error
        if not hearing.complete:
            raise EngineError("the warm-up brought no audio at all: there is nothing to measure")


def _result(streams: int, heard: Round) -> tuple[dict[str, Any], list[str]]:
    """Figures and notes; a refusal is no failure."""
    served = [hearing for hearing in heard.hearings if not isinstance(hearing.error, OverloadedError)]
    refused = len(heard.hearings) - len(served)
    return {"streams": streams, "refused": refused, **summary(served, heard.wall_s)}, cautions(served)


def _against(ours: Sequence[Hearing], theirs: Sequence[Hearing], notes: list[str]) -> dict[str, Any]:
    """The official way's own figures, and how many times longer it took."""
    found = ratios([hearing for hearing in ours if hearing.complete], theirs)
    if not found["same_tokens"]:
        notes.append("the official computation spoke another number of tokens: the ratios compare different work")
    return {"reference": summary(theirs, sum(hearing.total_s for hearing in theirs)), "ratio": found}


def _beside(plain: Official, result: dict[str, Any], hearings: Sequence[Hearing]) -> dict[str, Any]:
    """The official computation of one stream, and how many times more audio ours made in a second."""
    counts = next((hearing.tokens for hearing in hearings if hearing.complete), None)
    if counts is None:
        return {}
    alone = apart(partial(plain.hear, 0, counts))
    theirs = summary([alone], alone.total_s)
    return {"reference": theirs, "ratio": {"audio_s_per_s": result["audio_s_per_s"] / theirs["audio_s_per_s"]}}


def _failures(results: Sequence[dict[str, Any]]) -> list[str]:
    return [
        f"{result['failed']} of {result['requests']} requests brought no whole audio, {result['streams']} at once"
        for result in results
        if result["failed"]
    ]
