"""`Client`: blocking calls.  Its twin for asyncio is in `asynchronous`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING

import httpx

from cosy.client import calls
from cosy.client.calls import Call, Incoming
from cosy.client.errors import error_of, pause_before_retry, told
from cosy.client.results import Health, Speech, VoiceEntry
from cosy.errors import CosyError
from cosy.types import InlineVoice

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from cosy.client.calls import SpeechOptions


class SpeechStream(Incoming):
    """An answer while it is being made: iterate over it for its bytes, as they come, of one audio file.

    Every chunk of `pcm` holds whole 16-bit samples.  Raises InterruptedAnswerError if the server breaks it off.
    """

    def __iter__(self) -> Iterator[bytes]:
        with told(self._base_url, self._timeout_s):
            yield from filter(None, map(self._cutter(), self._response.iter_bytes()))


class Client:
    """A connection to one server; use it as a context manager, or call `close`.

    `base_url` is the server's address, with or without `/v1`.  `timeout_s` is the longest silence to bear while
    an answer is on its way: a whole file is silent until it is made, a stream only until its first audio.
    `retries` is how often a request is sent again after OverloadedError (once `retry_after_s` has passed) or
    UnreachableError; nothing is retried by default.  May be shared by threads.

    Every method raises AuthenticationError, UnreachableError, OverloadedError, InterruptedAnswerError or EngineError.
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
        self._http = httpx.Client(
            base_url=self._base_url,
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
        )

    def speech(self, text: str, voice: str | InlineVoice, **options: Unpack[SpeechOptions]) -> Speech:
        """A whole audio file in the voice of that id or name, or in that of a recording.

        Raises UnknownVoiceError, TextError, AudioError (the recording) or ParameterError (an option).
        """
        return calls.speech_of(self._send(calls.speech_call(text, voice, options, stream=False)))

    @contextmanager
    def stream(self, text: str, voice: str | InlineVoice, **options: Unpack[SpeechOptions]) -> Iterator[SpeechStream]:
        """The same while it is being made; leaving the block early cancels the rest.  Raises as `speech`."""
        response = self._open(calls.speech_call(text, voice, options, stream=True))
        try:
            yield SpeechStream(response, self._base_url, self._timeout_s)
        finally:
            response.close()

    def voices(self) -> list[VoiceEntry]:
        """All voices this API key may see."""
        return calls.voices_of(self._send(calls.VOICES))

    def upload_voice(self, name: str, audio: bytes, transcript: str = "", consent: str = "") -> VoiceEntry:
        """Register the voice of a recording (an audio file of 1 to 30 s); `transcript` is what it says.

        Raises AudioError for a recording that cannot be used, InputError for another mistake.
        """
        return calls.voice_of(self._send(calls.upload_call(name, audio, transcript, consent)))

    def delete_voice(self, voice_id: str) -> None:
        """Remove an uploaded voice.  Raises UnknownVoiceError if there is none."""
        self._send(calls.delete_call(voice_id))

    def models(self) -> list[str]:
        """The model names the server answers to."""
        return calls.models_of(self._send(calls.MODELS))

    def health(self) -> Health:
        """Whether the server can speak now; needs no API key."""
        return calls.health_of(self._send(calls.HEALTH))

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: Call) -> httpx.Response:
        response = self._open(call)
        try:
            with told(self._base_url, self._timeout_s):
                response.read()
        finally:
            response.close()
        return response

    def _open(self, call: Call) -> httpx.Response:
        """An answer whose head has come.  Sends again as often as allowed."""
        attempt = 0
        while True:
            try:
                return self._attempt(call)
            except CosyError as error:
                pause_s = pause_before_retry(error, attempt, self._retries)
                if pause_s is None:
                    raise
            time.sleep(pause_s)
            attempt += 1

    def _attempt(self, call: Call) -> httpx.Response:
        with told(self._base_url, self._timeout_s):
            request = self._http.build_request(call.method, call.path, json=call.json, data=call.data, files=call.files)
            response = self._http.send(request, stream=True)
            if response.status_code in call.accepted:
                return response
            try:
                body = response.read()
            finally:
                response.close()
        raise error_of(response.status_code, response.headers, body)
