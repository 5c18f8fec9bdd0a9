"""Requests as values: what both clients send, and how they read the answers.

The public API is the OpenAI dialect of the server with its extra fields (sample rate, gain, seed, references).
Nothing here touches the network, so the two clients differ only in how they wait.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote

from cosy.client.results import Health, Speech, VoiceEntry, WholeSamples
from cosy.errors import EngineError, ParameterError
from cosy.types import InlineVoice

if TYPE_CHECKING:
    import httpx

MODEL = "cosyvoice-v2"  # a name without a slash: with one, other defaults would hold
PCM = "audio/pcm"


class SpeechOptions(TypedDict, total=False):
    """How to speak; what is left out is the server's default."""

    format: str  # wav (default), mp3, opus, aac, flac or pcm
    sample_rate_hz: int  # 24000
    speed: float  # 0.25 .. 4, tempo without pitch
    gain_db: float  # -10 .. 10
    seed: int  # the same seed gives the same audio
    instructions: str  # how to speak, in words
    model: str


_FIELDS = {
    "format": "response_format",
    "sample_rate_hz": "sample_rate",
    "speed": "speed",
    "gain_db": "gain",
    "seed": "seed",
    "instructions": "instructions",
    "model": "model",
}


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    json: dict[str, Any] | None = None
    data: dict[str, str] | None = None
    files: dict[str, tuple[str, bytes]] | None = None
    accepted: tuple[int, ...] = field(default=(200,))  # statuses that are answers, not errors


def speech_call(text: str, voice: str | InlineVoice, options: Mapping[str, Any], *, stream: bool) -> Call:
    """The request for speech.  Raises ParameterError for an option there is not."""
    if unknown := sorted(set(options) - set(_FIELDS)):
        raise ParameterError(f"unknown option {unknown[0]!r}; choose from {', '.join(_FIELDS)}")
    named = {_FIELDS[name]: value for name, value in options.items() if value is not None}
    body = {"model": MODEL, "input": text, "response_format": "wav", "stream": stream, **_voice(voice), **named}
    return Call("POST", "/v1/audio/speech", json=body)


def upload_call(name: str, audio: bytes, transcript: str, consent: str) -> Call:
    """The request that registers a voice."""
    fields = {"name": name, "transcript": transcript, "consent": consent}
    data = {key: value for key, value in fields.items() if value}
    return Call("POST", "/v1/audio/voices", data=data, files={"audio_sample": ("recording", audio)})


def delete_call(voice_id: str) -> Call:
    """The request that removes a voice."""
    return Call("DELETE", f"/v1/audio/voices/{quote(voice_id, safe='')}")


VOICES = Call("GET", "/v1/audio/voices")
MODELS = Call("GET", "/v1/models")
HEALTH = Call("GET", "/health", accepted=(200, 503))


def speech_of(response: httpx.Response) -> Speech:
    """A complete answer."""
    return Speech(response.content, *_head(response))


def voices_of(response: httpx.Response) -> list[VoiceEntry]:
    return [VoiceEntry(each["id"], each["name"]) for each in _json(response, "voices")["voices"]]


def voice_of(response: httpx.Response) -> VoiceEntry:
    found = _json(response, "id")
    return VoiceEntry(found["id"], found["name"])


def models_of(response: httpx.Response) -> list[str]:
    return [each["id"] for each in _json(response, "data")["data"]]


def health_of(response: httpx.Response) -> Health:
    return Health(response.status_code == 200, str(_json(response, "status")["status"]))


class Incoming:
    """An answer whose head is here and whose audio is on its way."""

    def __init__(self, response: httpx.Response, base_url: str, timeout_s: float) -> None:
        self._response, self._base_url, self._timeout_s = response, base_url, timeout_s
        self.media_type, self.rate_hz, self.request_id = _head(response)

    def _cutter(self) -> Callable[[bytes], bytes]:
        return WholeSamples().push if self.media_type == PCM else bytes


def _head(response: httpx.Response) -> tuple[str, int, str]:
    """Media type, rate in Hz and request id."""
    headers = response.headers
    media_type = headers.get("content-type", "").partition(";")[0]
    return media_type, int(headers.get("x-sample-rate", "0")), headers.get("x-request-id", "")


def server_root(base_url: str) -> str:
    """The address before `/v1`.  Raises ParameterError unless it is http or https."""
    if not base_url.startswith(("http://", "https://")):
        raise ParameterError(f"base_url must start with http:// or https://, got {base_url!r}")
    return base_url.rstrip("/").removesuffix("/v1")


def _voice(voice: str | InlineVoice) -> dict[str, Any]:
    if isinstance(voice, str):
        return {"voice": voice}
    audio = "data:application/octet-stream;base64," + base64.b64encode(voice.audio).decode("ascii")
    return {"voice": "", "references": [{"audio": audio, "text": voice.transcript}]}


def _json(response: httpx.Response, key: str) -> dict[str, Any]:
    """The JSON object of an answer.  Raises EngineError where it is none: then it was no Cosy server."""
    try:
        found = json.loads(response.content)
    except ValueError:
        found = None
    if isinstance(found, dict) and key in found:
        return found
    raise EngineError(f"{response.url} did not answer as a Cosy server does: {response.text[:80]!r}; check base_url")
