"""Several runs of an engine, one after the other, as if they were one: for text with silences or seams inside.

The server's output chain takes the result for one request: segments and offsets count on from run to run.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from cosy.types import MAX_SPEED, MIN_SPEED, AudioChunk, Samples, SpeechRequest

if TYPE_CHECKING:
    from cosy.engine.protocol import Engine, Health, VoiceCatalog


@dataclass(frozen=True)
class Part:
    """Silence, then one run of the engine; nothing but silence if the text is empty."""

    text: str | AsyncIterator[str]
    pause_s: float = 0.0
    speed: float = 1.0  # factor
    gain: float = 1.0  # factor


Plan = Callable[[SpeechRequest], AsyncGenerator[Part, None]]
"""The parts of a request, as far as they are known: the next one is asked for when the last one was spoken."""


class JoinedEngine:
    """An engine for one request, whose samples will be played `pitch` times as fast (see `cosy.audio.output`)."""

    def __init__(self, engine: Engine, plan: Plan, pitch: float = 1.0) -> None:
        self._engine = engine
        self._plan = plan
        self._pitch = pitch

    @property
    def sample_rate_hz(self) -> int:
        return self._engine.sample_rate_hz

    @property
    def voices(self) -> VoiceCatalog:
        return self._engine.voices

    async def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncIterator[AudioChunk]:
        """As `Engine.stream`; what is spoken is the plan, not the text of the request."""
        position = segments = 0
        async with aclosing(self._plan(request)) as parts:
            async for part in parts:
                first_segment = segments if part.text else max(0, segments - 1)
                async with aclosing(self._run(part, request, request_id)) as run:
                    async for chunk in run:
                        segment = first_segment + chunk.segment
                        yield replace(chunk, offset_samples=position, segment=segment)
                        position += len(chunk.samples)
                        segments = segment + 1

    async def _run(
        self, part: Part, request: SpeechRequest, request_id: str | None
    ) -> AsyncGenerator[AudioChunk, None]:
        """The chunks of one part, its silence at the front of the first one."""
        lead: Samples = np.zeros(round(part.pause_s * self._pitch * self.sample_rate_hz), dtype=np.float32)
        if part.text == "":
            yield AudioChunk(lead, self.sample_rate_hz, 0, 0)
            return
        stream = self._engine.stream(_request(request, part), request_id)
        async with aclosing(cast("AsyncGenerator[AudioChunk, None]", stream)):
            async for chunk in stream:
                yield replace(chunk, samples=np.concatenate([lead, chunk.samples * np.float32(part.gain)]))
                lead = lead[:0]

    async def abort(self, request_id: str) -> bool:
        return await self._engine.abort(request_id)

    def stats(self) -> Mapping[str, float]:
        return self._engine.stats()

    def health(self) -> Health:
        return self._engine.health()


def _request(request: SpeechRequest, part: Part) -> SpeechRequest:
    speed = min(max(request.speed * part.speed, MIN_SPEED), MAX_SPEED)
    return replace(request, text=part.text, speed=speed)
