"""`AsyncClient`: the twin of `Client` for asyncio, and speech from text that is still being written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from cosy.client import calls
from cosy.client.calls import Call, Incoming
from cosy.client.errors import error_of, pause_before_retry, told
from cosy.client.results import Health, Speech, VoiceEntry
from cosy.client.speak import SpokenStream, speak
from cosy.errors import CosyError
from cosy.types import InlineVoice

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from cosy.client.calls import SpeechOptions
    from cosy.client.speak import SpeakOptions


class AsyncSpeechStream(Incoming):
    """As `SpeechStream`, for `async for`."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        cut = self._cutter()
        with told(self._base_url, self._timeout_s):
            async for data in self._response.aiter_bytes():
                if whole := cut(data):
                    yield whole


class AsyncClient:
    """As `Client`, with the same arguments, methods and errors; each method is awaited.

    Belongs to one event loop.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str = "",
        *,
        timeout_s: float = 120.0,
        connect_timeout_s: float = 5.0,
        retries: int = 0,
    ) -> None:
        self._base_url, self._timeout_s, self._retries = calls.server_root(base_url), timeout_s, retries
        self._connect_timeout_s, self._api_key = connect_timeout_s, api_key
        self._http = httpx.AsyncClient(
            base_url=self._base_url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
        )

    async def speech(self, text: str, voice: str | InlineVoice, **options: Unpack[SpeechOptions]) -> Speech:
        """A whole audio file; see `Client.speech`."""
        return calls.speech_of(await self._send(calls.speech_call(text, voice, options, stream=False)))

    @asynccontextmanager
    async def stream(
        self, text: str, voice: str | InlineVoice, **options: Unpack[SpeechOptions]
    ) -> AsyncIterator[AsyncSpeechStream]:
        """The same while it is being made; see `Client.stream`."""
        response = await self._open(calls.speech_call(text, voice, options, stream=True))
        try:
            yield AsyncSpeechStream(response, self._base_url, self._timeout_s)
        finally:
            await response.aclose()

    def speak(
        self, pieces: AsyncIterable[str], voice: str, **options: Unpack[SpeakOptions]
    ) -> AbstractAsyncContextManager[SpokenStream]:
        """Speak a text while it is being written: audio comes before `pieces` has ended.

        Needs the package `websockets`.  Pieces may be of any size; what lies between two of them must stay under
        the 23 s after which the server takes the writer for gone.  An exception of `pieces` is raised where the
        audio is read.  Raises MissingDependencyError, else as `speech`.
        """
        url = f"ws{self._base_url.removeprefix('http')}/api-ws/v1/inference"
        return speak(url, self._api_key, pieces, voice, options, self._connect_timeout_s, self._timeout_s)

    async def voices(self) -> list[VoiceEntry]:
        """All voices this API key may see."""
        return calls.voices_of(await self._send(calls.VOICES))

    async def upload_voice(self, name: str, audio: bytes, transcript: str = "", consent: str = "") -> VoiceEntry:
        """Register the voice of a recording; see `Client.upload_voice`."""
        return calls.voice_of(await self._send(calls.upload_call(name, audio, transcript, consent)))

    async def delete_voice(self, voice_id: str) -> None:
        """Remove an uploaded voice.  Raises UnknownVoiceError if there is none."""
        await self._send(calls.delete_call(voice_id))

    async def models(self) -> list[str]:
        """The model names the server answers to."""
        return calls.models_of(await self._send(calls.MODELS))

    async def health(self) -> Health:
        """Whether the server can speak now; needs no API key."""
        return calls.health_of(await self._send(calls.HEALTH))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _send(self, call: Call) -> httpx.Response:
        response = await self._open(call)
        try:
            with told(self._base_url, self._timeout_s):
                await response.aread()
        finally:
            await response.aclose()
        return response

    async def _open(self, call: Call) -> httpx.Response:
        """An answer whose head has come.  Sends again as often as allowed."""
        attempt = 0
        while True:
            try:
                return await self._attempt(call)
            except CosyError as error:
                pause_s = pause_before_retry(error, attempt, self._retries)
                if pause_s is None:
                    raise
            await asyncio.sleep(pause_s)
            attempt += 1

    async def _attempt(self, call: Call) -> httpx.Response:
        with told(self._base_url, self._timeout_s):
            request = self._http.build_request(call.method, call.path, json=call.json, data=call.data, files=call.files)
            response = await self._http.send(request, stream=True)
            if response.status_code in call.accepted:
                return response
            try:
                body = await response.aread()
            finally:
                await response.aclose()
        raise error_of(response.status_code, response.headers, body)
