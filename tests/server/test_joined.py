"""Runs of an engine joined into one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import anyio
import numpy as np
import pytest

from cosy.errors import EngineError
from cosy.server.joined import JoinedEngine, Part
from cosy.types import AudioChunk, SpeechRequest
from tests.server.fake import RATE_HZ, SECONDS_PER_CHARACTER, FakeEngine


def joined(engine: FakeEngine, parts: Sequence[Part], pitch: float = 1.0) -> JoinedEngine:
    async def plan(_: SpeechRequest) -> AsyncGenerator[Part, None]:
        for part in parts:
            yield part

    return JoinedEngine(engine, plan, pitch)


def chunks(engine: JoinedEngine, request: SpeechRequest | None = None) -> list[AudioChunk]:
    async def collect() -> list[AudioChunk]:
        return [chunk async for chunk in engine.stream(request or SpeechRequest("not read"), "id")]

    return anyio.run(collect)


def samples_of(text: str) -> int:
    return round(len(text) * SECONDS_PER_CHARACTER * RATE_HZ)


def test_offsets_and_segments_count_on() -> None:
    engine = FakeEngine()
    made = chunks(joined(engine, [Part("Hello there."), Part("And more.", 0.5)]))
    at = 0
    for chunk in made:
        assert chunk.offset_samples == at
        at += len(chunk.samples)
    assert at == samples_of("Hello there.And more.") + RATE_HZ // 2
    assert [chunk.text for chunk in made if chunk.text] == ["Hello there.", "And more."]
    assert sorted({chunk.segment for chunk in made}) == [0, 1]
    assert engine.ids == ["id", "id"]


def test_silence_leads_the_part_behind_it_and_ends_the_last_segment() -> None:
    made = chunks(joined(FakeEngine(), [Part("a", 0.25), Part("", 0.75)]))
    wave = np.concatenate([chunk.samples for chunk in made])
    lead, trail = RATE_HZ // 4, 3 * RATE_HZ // 4
    assert len(wave) == lead + samples_of("a") + trail
    assert not wave[:lead].any()
    assert wave[lead:-trail].any()
    assert not wave[-trail:].any()
    assert {chunk.segment for chunk in made} == {0}


def test_silence_is_longer_where_it_will_be_played_faster() -> None:
    made = chunks(joined(FakeEngine(), [Part("", 1.0)], pitch=1.5))
    assert sum(len(chunk.samples) for chunk in made) == 1.5 * RATE_HZ


def test_speed_and_loudness_are_each_parts_own() -> None:
    engine = FakeEngine()
    made = chunks(
        joined(engine, [Part("a", speed=2.0), Part("b", gain=0.5), Part("c", speed=4.0)]), SpeechRequest("x", speed=2.0)
    )
    assert [request.speed for request in engine.requests] == [4.0, 2.0, 4.0]  # at most 4
    assert [float(np.abs(chunk.samples).max()) for chunk in made] == pytest.approx([0.5, 0.25, 0.5], abs=0.01)


def test_closing_it_closes_the_engine() -> None:
    engine = FakeEngine()

    async def leave() -> None:
        async with aclosing(joined(engine, [Part("a" * 100), Part("b")]).stream(SpeechRequest("x"))) as stream:
            await anext(stream)

    anyio.run(leave)
    assert (engine.running, engine.aborted, len(engine.requests)) == (0, 1, 1)


def test_an_error_of_the_engine_passes() -> None:
    with pytest.raises(EngineError, match="broke"):
        chunks(joined(FakeEngine(error=EngineError("it broke"), fail_at=2), [Part("a" * 100)]))
