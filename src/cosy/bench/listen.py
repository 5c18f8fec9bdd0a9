"""Listeners of an engine: one after the other, several at once, or coming at random."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING

from cosy.bench.figures import Hearing
from cosy.engine.protocol import Engine
from cosy.errors import CosyError
from cosy.types import SpeechRequest

if TYPE_CHECKING:
    from cosy.engine.async_engine import AsyncEngine

Clock = Callable[[], float]
Requests = Callable[[int], SpeechRequest]
"""Number of a request -> the request."""


@dataclass(frozen=True)
class Round:
    """What several listeners heard, and how long all of it took."""

    hearings: Sequence[Hearing]
    wall_s: float


@asynccontextmanager
async def running(engine: AsyncEngine) -> AsyncIterator[AsyncEngine]:
    """The engine, started, and closed in the end.  Benchmarks warm it up themselves, with what they measure."""
    await engine.start(warm_up=False)
    try:
        yield engine
    finally:
        await engine.aclose()


async def listen(engine: Engine, request: SpeechRequest, clock: Clock = perf_counter) -> Hearing:
    """Hear a request to its end; an error is part of the hearing."""
    hearing = Hearing(clock())
    try:
        async for chunk in engine.stream(request):
            hearing.take(clock(), chunk)
    except CosyError as error:
        hearing.error = error
    hearing.ended_s = clock()
    return hearing


async def closed_loop(
    engine: Engine, requests: Requests, streams: int, runs: int, clock: Clock = perf_counter
) -> Round:
    """So many listeners at once; each asks again when it has heard all, `runs` times."""

    async def listener(place: int) -> list[Hearing]:
        return [await listen(engine, requests(place + streams * run), clock) for run in range(runs)]

    start = clock()
    heard = await asyncio.gather(*(listener(place) for place in range(streams)))
    return Round([hearing for hearings in heard for hearing in hearings], clock() - start)


async def open_loop(
    engine: Engine, requests: Requests, rate_hz: float, count: int, chance: Random, clock: Clock = perf_counter
) -> Round:
    """Listeners come at random, `rate_hz` a second on average (a Poisson process), whoever is still being served."""
    start, tasks = clock(), []
    for number in range(count):
        tasks.append(asyncio.create_task(listen(engine, requests(number), clock)))
        if number + 1 < count:
            await asyncio.sleep(chance.expovariate(rate_hz))
    heard = await asyncio.gather(*tasks)
    return Round(heard, clock() - start)
