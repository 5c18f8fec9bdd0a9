"""Puts a server together: database, recordings, model, engine, app.  The only place that knows all of them."""

from __future__ import annotations

import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import anyio
from anyio import to_thread

from cosy.engine.protocol import VoiceSummary
from cosy.errors import VoiceError
from cosy.server.app import check_exposure, create_app
from cosy.server.store.admission import admit
from cosy.server.store.consents import Consents
from cosy.server.store.database import Database
from cosy.server.store.keys import KeyRing
from cosy.server.store.objects import ObjectStore
from cosy.server.store.presets import Preset
from cosy.server.store.records import Prepared, VoiceLimits, VoiceRecord
from cosy.server.store.usage import Usage
from cosy.server.store.voices import VoiceRegistry

if TYPE_CHECKING:
    from fastapi import FastAPI

    from cosy.api import Cosy
    from cosy.engine.async_engine import AsyncEngine
    from cosy.server.settings import Settings
    from cosy.types import InlineVoice
    from cosy.voices.voice import Voice

T = TypeVar("T")
KEPT_VOICES = 256  # read from their files; some hundred kilobytes each


@contextmanager
def opened_database(settings: Settings) -> Iterator[Database]:
    """The metadata database, its tables up to date.  Blocks; raises DatabaseError, ParameterError."""
    database = Database(settings.database)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


@asynccontextmanager
async def composed(settings: Settings) -> AsyncIterator[FastAPI]:
    """The app with a started engine.  Raises CosyError that says what is missing or wrong."""
    with opened_database(settings) as database:
        keys = KeyRing(database, settings.api_keys)
        await check_exposure(settings, keys)  # before the work of loading a model
        cosy = await to_thread.run_sync(_load, settings)
        objects = ObjectStore(settings.objects)
        voices = _registry(settings, database, objects, cosy)
        await voices.start()
        async with _engine(cosy, voices, _limits(settings)) as engine:
            consents, usage = Consents(database, objects, _limits(settings)), Usage(database)
            await consents.start()
            yield create_app(settings, engine, voices=voices, consents=consents, keys=keys, usage=usage)


def _load(settings: Settings) -> Cosy:
    """Everything at once: two requests must not find a part half loaded."""
    from cosy.nn.threads import apart

    return apart(partial(_loaded, settings))


def _loaded(settings: Settings) -> Cosy:
    from cosy.api import Cosy
    from cosy.checkpoint.load import LOADABLE

    cosy = Cosy.load(settings.model or None, settings.device, settings.precision, recipe=settings.recipe)
    for part in LOADABLE:
        getattr(cosy.model, part)
    return cosy


@asynccontextmanager
async def _engine(cosy: Cosy, voices: VoiceRegistry, limits: VoiceLimits) -> AsyncIterator[AsyncEngine]:
    from cosy.engine.build import build_engine
    from cosy.nn.threads import apart

    frontend = cosy.synthesizer.frontend
    source = RegistryVoices(voices, lambda given: _inline_voice(cosy, given, limits))
    engine = await to_thread.run_sync(apart, partial(build_engine, cosy.model, source, frontend=frontend))
    await engine.start()
    try:
        yield engine
    finally:
        with anyio.CancelScope(shield=True):
            await engine.aclose()


def _registry(settings: Settings, database: Database, objects: ObjectStore, cosy: Cosy) -> VoiceRegistry:
    def prepare(audio: bytes, transcript: str, name: str) -> Prepared:
        voice = prepared_voice(cosy, audio, transcript, name, _limits(settings))
        return Prepared(voice.to_bytes(), voice.info.duration_s, voice.info.warnings)

    return VoiceRegistry(
        database,
        objects,
        prepare,
        presets=[_preset(cosy.voices.load(info.name)) for info in cosy.voices.list()],
        presets_dir=settings.presets_dir,
        default_voice=settings.default_voice,
        well_known_fallback=settings.voice_fallback,
        require_consent=settings.require_consent,
        limits=_limits(settings),
        model=_fingerprint(cosy.model.directory),
    )


def prepared_voice(cosy: Cosy, audio: bytes, transcript: str, name: str, limits: VoiceLimits) -> Voice:
    """A recording as the model wants it.  Blocks; raises AudioError."""
    from cosy.voices.prepare import prepare_voice

    normalise = cosy.synthesizer.frontend.prompt_text
    return prepare_voice(audio, transcript, cosy.model, name=name, normalise=normalise, min_s=limits.min_s)


def _inline_voice(cosy: Cosy, given: InlineVoice, limits: VoiceLimits) -> Voice:
    """A recording that came with a request, under the rules of uploads."""
    recording = admit(given.audio, given.transcript, limits)
    return prepared_voice(cosy, recording.readable, recording.transcript, "inline", limits)


def _preset(voice: Voice) -> Preset:
    info = voice.info
    return Preset(voice.name, voice.to_bytes, info.duration_s, info.transcript, info.warnings, sha256=info.sha256)


def _limits(settings: Settings) -> VoiceLimits:
    return VoiceLimits(max_bytes=settings.max_upload_bytes, max_voices=settings.max_voices)


def _fingerprint(directory: Path) -> str:
    """Changes when the networks that prepare voices do; reading all of them would take seconds."""
    from cosy.checkpoint.layout import SPEAKER_ENCODER, SPEECH_TOKENIZER, Layout

    layout = Layout(directory)
    files = [layout.file(name) for name in (SPEAKER_ENCODER, SPEECH_TOKENIZER)]
    told = [f"{file.name} {file.stat().st_size} {_digest(file)}" for file in files]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _digest(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while block := opened.read(2**20):
            digest.update(block)
    return digest.hexdigest()


class RegistryVoices:
    """The server's voices for the engine, which asks from threads.  Implements `VoiceSource`."""

    def __init__(self, registry: VoiceRegistry, prepare: Callable[[InlineVoice], Voice]) -> None:
        self._registry = registry
        self._prepare = prepare
        self._kept: OrderedDict[bytes, Voice] = OrderedDict()
        self._lock = Lock()

    def load(self, voice_id: str | None) -> Voice:
        """A voice by its id; None: the default.  Raises UnknownVoiceError, or VoiceError without a default."""
        name = voice_id or self._registry.default
        if not name:
            raise VoiceError("there is no default voice; name one, or set default_voice")
        data = self._registry.prepared(name)  # asked every time: it may have been replaced or removed
        key = hashlib.blake2b(data, digest_size=16).digest()
        with self._lock:
            if key not in self._kept:
                self._kept[key] = _read(data)
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT_VOICES:
                self._kept.popitem(last=False)
            return self._kept[key]

    def prepare(self, recording: InlineVoice) -> Voice:
        """A voice from a recording.  Raises AudioError."""
        return self._prepare(recording)

    def list(self) -> Sequence[VoiceSummary]:
        return [_summary(record) for record in _elsewhere(self._registry.list)]

    def get(self, voice_id: str) -> VoiceSummary:
        return _summary(_elsewhere(lambda: self._registry.get(voice_id)))


def _read(data: bytes) -> Voice:
    from cosy.voices.voice import Voice

    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        file.write(data)
        file.flush()
        return Voice.load(file.name)


def _summary(record: VoiceRecord) -> VoiceSummary:
    preset, made = record.kind == "preset", record.created_at.isoformat()
    return VoiceSummary(record.id, record.name, record.transcript, preset, record.duration_s, made)


def _elsewhere(ask: Callable[[], Awaitable[T]]) -> T:
    """The answer of a coroutine function to plain code, wherever that runs: in a loop of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(anyio.run, ask).result()
