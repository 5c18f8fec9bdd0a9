"""Engines to measure a server with: one that answers at once, and a watch to put around any engine.

No torch here: a server with the silent engine weighs what the server itself does.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import numpy as np

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.engine.protocol import Health, VoiceSummary
from cosy.errors import UnknownVoiceError
from cosy.types import AudioChunk, FinishReason, SpeechRequest

if TYPE_CHECKING:
    from cosy.engine.protocol import Engine, VoiceCatalog

CHUNKS, CHUNK_S = 5, 0.2  # what the silent engine says
TONE_HZ, LEVEL = 300.0, 0.3


class NoVoices:
    """A server asks its registry for voices, not the engine."""

    def list(self) -> Sequence[VoiceSummary]:
        return []

    def get(self, voice_id: str) -> VoiceSummary:
        raise UnknownVoiceError(f"there is no voice {voice_id!r}")


class SilentEngine:
    """Computes nothing: a second of the same tone for every text, in five chunks, at once.  Implements `Engine`."""

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self) -> None:
        self.voices = NoVoices()
        self._step = round(CHUNK_S * SAMPLE_RATE_HZ)
        positions = np.arange(CHUNKS * self._step)
        tone = LEVEL * np.sin(2 * np.pi * TONE_HZ / SAMPLE_RATE_HZ * positions)
        self._tone = tone.astype(np.float32).reshape(CHUNKS, self._step)

    async def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncIterator[AudioChunk]:
        """The tone; of a text in pieces the first one starts it, and the last one lets it end."""
        text = request.text if isinstance(request.text, str) else await anext(request.text)
        for number, samples in enumerate(self._tone):
            if number + 1 == CHUNKS and not isinstance(request.text, str):
                async for _ in request.text:
                    pass
            yield self._chunk(number, samples, text)

    def _chunk(self, number: int, samples: np.ndarray, text: str) -> AudioChunk:
        last = number + 1 == CHUNKS
        return AudioChunk(
            samples,
            SAMPLE_RATE_HZ,
            offset_samples=number * self._step,
            segment=0,
            text="" if number else text,
            finish_reason=FinishReason.STOP if last else None,
            details={"seed": 0, "text_tokens": 1, "speech_tokens": 25, "warnings": []} if last else {},
        )

    async def abort(self, request_id: str) -> bool:
        return False

    def stats(self) -> Mapping[str, float]:
        return {}

    def health(self) -> Health:
        return Health(ready=True)


Told = Callable[[str, float, float], None]
"""Of a finished request: its id, seconds to its first audio, seconds to its last."""


class WatchedEngine:
    """Another engine, and how long it took for each request.  Implements `Engine`."""

    def __init__(self, engine: Engine, tell: Told) -> None:
        self._engine, self._tell = engine, tell

    @property
    def sample_rate_hz(self) -> int:
        return self._engine.sample_rate_hz

    @property
    def voices(self) -> VoiceCatalog:
        return self._engine.voices

    async def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncIterator[AudioChunk]:
        asked_s, first_s, last_s = time.perf_counter(), 0.0, 0.0
        stream = cast("AsyncGenerator[AudioChunk, None]", self._engine.stream(request, request_id))
        async with aclosing(stream):
            async for chunk in stream:
                last_s = time.perf_counter() - asked_s
                first_s = first_s or last_s
                yield chunk
        self._tell(request_id or "", first_s, last_s)

    async def abort(self, request_id: str) -> bool:
        return await self._engine.abort(request_id)

    def stats(self) -> Mapping[str, float]:
        return self._engine.stats()

    def health(self) -> Health:
        return self._engine.health()


async def first_audio_s(engine: Engine, request: SpeechRequest, runs: int) -> list[float]:
    """Seconds from asking the engine to its first audio, one run after another, with nothing in between."""
    found: list[float] = []

    def note(_: str, first_s: float, last_s: float) -> None:
        found.append(first_s)

    watched = WatchedEngine(engine, note)
    for _ in range(runs):
        async for _ in watched.stream(request):
            pass
    return found
