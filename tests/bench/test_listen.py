from __future__ import annotations

import asyncio
from random import Random
from typing import cast

import pytest

from cosy.bench.listen import closed_loop, listen, open_loop
from cosy.engine.protocol import Engine
from cosy.errors import EngineError
from cosy.types import SpeechRequest
from tests.bench.fakes import Clock, Timed


def request(number: int) -> SpeechRequest:
    return SpeechRequest(f"request {number}")


def test_a_hearing_has_the_times_of_the_clock() -> None:
    clock = Clock()
    engine = cast(Engine, Timed(clock, [(0.25, 1.0), (0.5, 2.0)]))
    hearing = asyncio.run(listen(engine, request(0), clock))
    assert hearing.first_audio_s == 0.25
    assert hearing.total_s == 0.75
    assert hearing.audio_s == 3.0
    assert hearing.slacks_s == [0.5]
    assert hearing.tokens == [25]


def test_an_error_is_part_of_the_hearing() -> None:
    clock = Clock()
    engine = cast(Engine, Timed(clock, [(0.25, 1.0), (0.5, 2.0)], fails=EngineError("gone")))
    hearing = asyncio.run(listen(engine, request(0), clock))
    assert str(hearing.error) == "gone"
    assert not hearing.complete


def test_a_closed_loop_asks_every_request_once() -> None:
    clock = Clock()
    engine = Timed(clock, [(0.5, 1.0)])
    heard = asyncio.run(closed_loop(cast(Engine, engine), request, 2, 3, clock))
    assert sorted(str(asked.text) for asked in engine.asked) == [f"request {number}" for number in range(6)]
    assert len(heard.hearings) == 6
    assert heard.wall_s == pytest.approx(3.0)


def test_an_open_loop_lets_so_many_come() -> None:
    clock = Clock()
    engine = Timed(clock, [(0.5, 1.0)])
    heard = asyncio.run(open_loop(cast(Engine, engine), request, 1000.0, 5, Random(0), clock))
    assert len(heard.hearings) == len(engine.asked) == 5
