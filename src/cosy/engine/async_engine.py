"""The engine for one event loop: requests become async iterators of audio.

Whatever takes time beside the networks, reading text, loading or preparing a voice, is done in threads before a
request reaches the engine's own thread.  An iterator that is closed, cancelled or forgotten cancels its request.
"""

from __future__ import annotations

import asyncio
import gc
import hashlib
import secrets
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Protocol

import torch

from cosy.audio.constants import MEL_BANDS, SAMPLE_RATE_HZ, SPEAKER_DIM
from cosy.engine.core import Core
from cosy.engine.protocol import Health, VoiceCatalog
from cosy.engine.stream import Submission, TextPart
from cosy.errors import AbortedError, ParameterError, TextError
from cosy.text.frontend import TextFrontend
from cosy.text.incremental import IncrementalText
from cosy.types import AudioChunk, InlineVoice, SpeechRequest
from cosy.voices.conditions import Conditions, conditions
from cosy.voices.voice import Voice, VoiceInfo

FIRST_AUDIO_S = 0.3  # after which the first audio of a request is due unless it says otherwise
WHOLE_S = 20.0  # the same for one that nobody listens to while it is made
INLINE_VOICES = 32  # reference recordings that came with requests, kept prepared


class VoiceSource(VoiceCatalog, Protocol):
    """Where an engine gets voices from.  Called from threads."""

    def load(self, voice_id: str | None) -> Voice:
        """A voice by its id; None: the default.  Raises UnknownVoiceError."""
        ...

    def prepare(self, recording: InlineVoice) -> Voice:
        """A voice from a recording.  Raises AudioError."""
        ...


@dataclass(frozen=True)
class _Prepared:
    conditions: Conditions
    key: str
    warnings: tuple[str, ...]
    parts: list[TextPart] | None


class AsyncEngine:
    """Speaks with one model.  Implements `protocol.Engine`; `start` before the first request, `aclose` at the end."""

    def __init__(self, core: Core, frontend: TextFrontend, voices: VoiceSource) -> None:
        self.core, self.frontend, self._voices = core, frontend, voices
        self._open: dict[str, _Listener] = {}
        self._inline: OrderedDict[str, Voice] = OrderedDict()
        self._text_thread = ThreadPoolExecutor(1, "cosy-text")
        self._voice_thread = ThreadPoolExecutor(1, "cosy-voice")

    @property
    def sample_rate_hz(self) -> int:
        return SAMPLE_RATE_HZ

    @property
    def voices(self) -> VoiceCatalog:
        return self._voices

    async def start(self, warm_up: bool = True) -> None:
        """Begin to serve.

        `warm_up` speaks a word to nobody first: grammars and kernels are then loaded, and what things cost is known.
        Until the end, Python's collector of garbage passes over what is there by then: to look through it takes more
        than a tenth of a second, and now and then it would be a listener's.
        """
        self.core.start()
        if warm_up:
            nobody = Voice(
                VoiceInfo("nobody"),
                torch.zeros(0, dtype=torch.int64),
                torch.zeros(0, MEL_BANDS),
                torch.zeros(SPEAKER_DIM),
            )
            async for _ in self._serve("warm-up", SpeechRequest("Hello.", seed=0), nobody):
                pass
            self.core.stats.clear()
        gc.freeze()

    async def aclose(self) -> None:
        """Cancel all requests and end the engine's threads; a voice or a text that is being prepared is waited for."""
        gc.unfreeze()
        for end in (self.core.close, self._text_thread.shutdown, self._voice_thread.shutdown):
            await asyncio.to_thread(end)

    async def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncGenerator[AudioChunk, None]:
        """See `protocol.Engine.stream`."""
        serving = self._serve(request_id or uuid.uuid4().hex, request)
        try:
            async for chunk in serving:
                yield chunk
        finally:
            await serving.aclose()

    async def _serve(
        self, name: str, request: SpeechRequest, voice: Voice | None = None
    ) -> AsyncGenerator[AudioChunk, None]:
        if name in self._open:
            raise ParameterError(f"a request with the id {name!r} is being served; choose another id")
        listener = self._open[name] = _Listener(asyncio.get_running_loop())
        arrived = monotonic()
        writer: asyncio.Task[None] | None = None
        try:
            prepared = await self._prepare(request, voice)
            listener.check()  # it may have been cancelled meanwhile
            self.core.submit(_submission(name, request, prepared, listener, arrived))
            if not isinstance(request.text, str):
                writer = asyncio.create_task(self._write(name, request))
            while (chunk := await listener.take()) is not None:
                self.core.heard(name, len(chunk.samples))
                yield chunk
        finally:
            del self._open[name]
            self.core.abort(name)
            if writer is not None:
                writer.cancel()
                with suppress(asyncio.CancelledError):
                    await writer

    async def abort(self, request_id: str) -> bool:
        listener = self._open.get(request_id)
        if listener is None:
            return False
        error = AbortedError(f"request {request_id} was cancelled")
        self.core.abort(request_id, error)
        listener.end(error)
        return True

    async def segments(self, text: str, language: str = "", normalise: bool = True) -> list[str]:
        """The stretches in which a text would be spoken.  Raises TextError."""
        loop = asyncio.get_running_loop()
        read = partial(self.frontend.segments, text, language, normalise=normalise)
        return [segment.text for segment in await loop.run_in_executor(self._text_thread, read)]

    def stats(self) -> Mapping[str, float]:
        return {**self.core.stats.take(), **self.core.gauges()}

    def health(self) -> Health:
        return self.core.health()

    # --- preparation -------------------------------------------------------------------------------------------

    async def _prepare(self, request: SpeechRequest, voice: Voice | None) -> _Prepared:
        loop = asyncio.get_running_loop()
        if voice is None:
            voice = await loop.run_in_executor(self._voice_thread, self._voice, request.voice)
        return await loop.run_in_executor(self._text_thread, self._read, request, voice)

    def _voice(self, wanted: str | InlineVoice | None) -> Voice:
        if not isinstance(wanted, InlineVoice):
            return self._voices.load(wanted)
        key = hashlib.sha256(wanted.audio + wanted.transcript.encode()).hexdigest()
        if key not in self._inline:
            self._inline[key] = self._voices.prepare(wanted)
        self._inline.move_to_end(key)
        while len(self._inline) > INLINE_VOICES:
            self._inline.popitem(last=False)
        return self._inline[key]

    def _read(self, request: SpeechRequest, voice: Voice) -> _Prepared:
        instruction = request.instruction.strip() and self.frontend.instruction(request.instruction)
        given = conditions(voice, self.frontend.tokenizer, request.mode, instruction)
        parts = None
        if isinstance(request.text, str):
            segments = self.frontend.segments(request.text, request.language, normalise=request.normalise)
            parts = [TextPart(segment.text, segment.ids) for segment in segments]
        return _Prepared(given, _key(given), voice.info.warnings, parts)

    async def _write(self, name: str, request: SpeechRequest) -> None:
        """Send text on as it comes; whatever goes wrong with it ends the request."""
        assert not isinstance(request.text, str), "a text that is known was sent at once"
        reader, loop = IncrementalText(self.frontend, request.language, request.normalise), asyncio.get_running_loop()
        spoke = False
        try:
            async for piece in request.text:
                for part in await loop.run_in_executor(self._text_thread, reader.push, piece):
                    spoke = True
                    self.core.text(name, TextPart(part.text, part.ids, part.ends_segment))
            for part in await loop.run_in_executor(self._text_thread, reader.finish):
                spoke = spoke or bool(part.ids)
                self.core.text(name, TextPart(part.text, part.ids, part.ends_segment))
            if not spoke:
                raise TextError("there is nothing to speak: the text is empty")
            self.core.text(name, None)
        except Exception as error:
            self.core.abort(name, error)


class _Listener:
    """Hands chunks from the engine's thread to the event loop.  Implements `stream.Sink`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._items: asyncio.Queue[AudioChunk | BaseException | None] = asyncio.Queue()
        self._ended: BaseException | None = None

    def put(self, chunk: AudioChunk) -> None:
        self._send(chunk)

    def end(self, error: BaseException | None) -> None:
        self._ended = error
        self._send(error)

    def _send(self, item: AudioChunk | BaseException | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self._items.put_nowait, item)

    def check(self) -> None:
        if self._ended is not None:
            raise self._ended

    async def take(self) -> AudioChunk | None:
        """The next chunk; None at the end.  Raises what ended the request."""
        item = await self._items.get()
        if isinstance(item, BaseException):
            raise item
        return item


def _submission(
    name: str, request: SpeechRequest, prepared: _Prepared, listener: _Listener, arrived: float
) -> Submission:
    wait = request.deadline_s or (FIRST_AUDIO_S if request.stream else WHOLE_S)
    return Submission(
        id=name,
        request=request if isinstance(request.text, str) else replace(request, text=""),
        conditions=prepared.conditions,
        voice_key=prepared.key,
        parts=prepared.parts,
        seed=secrets.randbits(32) if request.seed is None else request.seed,
        warnings=prepared.warnings,
        sink=listener,
        arrived_s=arrived,
        due_s=arrived + wait,
    )


def _key(given: Conditions) -> str:
    """Equal for prompts that leave the flow in the same state."""
    digest = hashlib.blake2b(digest_size=16)
    for tensor in given.flow:
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
