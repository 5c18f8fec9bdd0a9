"""An engine that hums instead of speaking, a way to prepare voices without networks, and the parts of an app."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import numpy as np
from fastapi import FastAPI

from cosy.audio.io import load_audio
from cosy.engine.protocol import Health, VoiceSummary
from cosy.errors import AudioError, UnknownVoiceError
from cosy.server.app import create_app
from cosy.server.settings import Settings
from cosy.server.store.consents import Consents
from cosy.server.store.database import Database
from cosy.server.store.keys import KeyRing
from cosy.server.store.objects import ObjectStore
from cosy.server.store.presets import Preset
from cosy.server.store.records import Prepared
from cosy.server.store.usage import Usage
from cosy.server.store.voices import VoiceRegistry
from cosy.types import AudioChunk, FinishReason, SpeechRequest

RATE_HZ = 24_000
PRESET = "alex"  # the fake model's only voice, and so the default one
SECONDS_PER_CHARACTER = 0.08
CHUNK_S = 0.2
TONE_HZ = 300.0
LEVEL = 0.5


class NoVoices:
    """The server asks its registry, never the engine's catalogue."""

    def list(self) -> Sequence[VoiceSummary]:
        return []

    def get(self, voice_id: str) -> VoiceSummary:
        raise UnknownVoiceError(f"there is no voice {voice_id!r}")


@dataclass(eq=False)
class FakeEngine:
    """0.08 s of a sine for each character, in chunks of 0.2 s; a text in pieces is one segment per piece."""

    delay_s: float = 0.0  # before each chunk
    error: Exception | None = None  # raised instead of a chunk ...
    fail_at: int = 0  # ... of this number, from 0
    ready: bool = True
    requests: list[SpeechRequest] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)  # of all texts, as they came
    made: int = 0  # chunks
    running: int = 0
    finished: int = 0
    aborted: int = 0  # streams closed before their end
    loop: asyncio.AbstractEventLoop | None = None  # of the server

    @property
    def sample_rate_hz(self) -> int:
        return RATE_HZ

    @property
    def voices(self) -> NoVoices:
        return NoVoices()

    async def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncIterator[AudioChunk]:
        self.loop = asyncio.get_running_loop()
        self.requests.append(request)
        self.ids.append(request_id)
        self.running += 1
        complete = False
        number = position = 0
        try:
            index = 0
            async for text in _pieces(request.text):
                self.pieces.append(text)
                for chunk in self._segment(request, text, index, position):
                    await asyncio.sleep(self.delay_s)
                    if self.error is not None and number >= self.fail_at:
                        raise self.error
                    number, self.made = number + 1, self.made + 1
                    position += len(chunk.samples)
                    yield chunk
                index += 1
            complete = True
        finally:
            self.running -= 1
            self.finished += complete
            self.aborted += not complete

    def _segment(self, request: SpeechRequest, text: str, index: int, start: int) -> Iterator[AudioChunk]:
        n = round(len(text) * SECONDS_PER_CHARACTER * RATE_HZ / request.speed)
        step = round(CHUNK_S * RATE_HZ)
        seed = request.seed if request.seed is not None else 7
        for at in range(0, n, step):
            positions = np.arange(start + at, start + min(at + step, n))
            samples = (LEVEL * np.sin(2 * np.pi * TONE_HZ / RATE_HZ * positions)).astype(np.float32)
            last = at + step >= n
            yield AudioChunk(
                samples,
                RATE_HZ,
                start + at,
                index,
                text if at == 0 else "",
                FinishReason.STOP if last else None,
                {"lm": 0.001},
                {"seed": seed, "text_tokens": len(text), "speech_tokens": n // 960, "warnings": []} if last else {},
            )

    async def abort(self, request_id: str) -> bool:
        return request_id in self.ids

    def stats(self) -> Mapping[str, float]:
        return {"running": float(self.running), "chunks": float(self.made)}

    def health(self) -> Health:
        return Health(self.ready, "" if self.ready else "the model is loading")


async def _pieces(text: str | AsyncIterator[str]) -> AsyncIterator[str]:
    if isinstance(text, str):
        yield text
        return
    async for piece in text:
        yield piece


def prepare(audio: bytes, transcript: str, name: str) -> Prepared:
    """Accepts a second or more of anything that is not silence."""
    wave, rate_hz = load_audio(audio)
    if len(wave) < rate_hz:
        raise AudioError(f"the recording is {len(wave) / rate_hz:.1f} s long, at least 1 s is needed")
    if np.abs(wave).max() < 1e-3:
        raise AudioError("the recording holds nothing but silence")
    return Prepared(hashlib.sha256(audio).digest(), len(wave) / rate_hz)


@dataclass(frozen=True)
class Parts:
    """What an app is made of."""

    app: FastAPI
    settings: Settings
    engine: FakeEngine
    voices: VoiceRegistry
    consents: Consents
    keys: KeyRing
    usage: Usage


@contextmanager
def make_parts(folder: Path, engine: FakeEngine | None = None, **settings: Any) -> Iterator[Parts]:
    """An app on an empty store in `folder`; `settings` are fields of Settings.  Its voices: the preset `alex`."""
    chosen = Settings(data_dir=folder, **settings)
    engine = engine or FakeEngine()
    database = Database(chosen.database)
    database.migrate()
    objects = ObjectStore(chosen.objects)
    voices = VoiceRegistry(
        database,
        objects,
        prepare,
        presets=[Preset(PRESET, lambda: b"prepared", duration_s=3.0)],
        presets_dir=chosen.presets_dir,
        default_voice=chosen.default_voice,
        well_known_fallback=chosen.voice_fallback,
        require_consent=chosen.require_consent,
    )
    anyio.run(voices.start)
    consents, keys, usage = Consents(database, objects), KeyRing(database, chosen.api_keys), Usage(database)
    app = create_app(chosen, engine, voices=voices, consents=consents, keys=keys, usage=usage)
    try:
        yield Parts(app, chosen, engine, voices, consents, keys, usage)
    finally:
        database.close()
