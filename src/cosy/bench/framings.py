"""One way to ask a server for speech for each framing in which it answers, and when its parts arrive.

HTTP is spoken here by a bare parser and not by a client library, whose own milliseconds would be taken for the
server's.  A connection serves one request after another.
"""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlencode, urlsplit

from cosy.dependencies import optional
from cosy.errors import EngineError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

VOICE = "alex"  # a name that every server fills or gives its default voice
RATE_HZ = 24_000
JSON = "application/json"


@dataclass
class Answer:
    """What came, and when; times are of `time.perf_counter`."""

    asked_s: float
    first_byte_s: float = 0.0  # of anything
    first_audio_s: float = 0.0
    ended_s: float = 0.0
    request_id: str = ""  # the server's
    audio_bytes: int = 0
    error: str = ""


class Connection(Protocol):
    """Asks over one kept connection."""

    async def speak(self, text: str) -> Answer:
        """Raises OSError or EngineError where there is no whole answer."""
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Framing:
    """A way to answer."""

    name: str
    connect: Callable[[str], Awaitable[Connection]]  # base URL -> connection
    whole: bool = False  # the first audio comes when the last has been made


@dataclass(frozen=True)
class HttpCall:
    """What is posted, and how audio is found in the answer's body."""

    path: str
    body: Callable[[str], bytes]
    audio_of: Callable[[bytes], int]  # body -> bytes of audio
    media_type: str = JSON


def http(call: HttpCall) -> Callable[[str], Awaitable[Connection]]:
    async def connect(url: str) -> Connection:
        address = urlsplit(url)
        make = lambda: _HttpConnection(call, address.netloc)  # noqa: E731
        _, connection = await asyncio.get_running_loop().create_connection(make, address.hostname, address.port)
        return connection

    return connect


class _HttpConnection(asyncio.Protocol):
    """HTTP/1.1 without anything that takes time."""

    def __init__(self, call: HttpCall, host: str) -> None:
        self._call, self._host = call, host
        self._parser_type = optional("httptools", "server").HttpResponseParser
        self._lost: Exception | None = None
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    async def speak(self, text: str) -> Answer:
        body = self._call.body(text)
        head = (
            f"POST {self._call.path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {self._call.media_type}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        if self._lost is not None:
            raise self._lost
        self._parser = self._parser_type(self)
        self._body: list[bytes] = []
        self._done = asyncio.get_running_loop().create_future()
        self._answer = Answer(perf_counter())
        self._transport.write(head.encode() + body)
        await self._done
        return self._finished(b"".join(self._body))

    async def close(self) -> None:
        self._transport.abort()

    def _finished(self, body: bytes) -> Answer:
        answer, status = self._answer, self._parser.get_status_code()
        if status != 200:
            raise EngineError(f"status {status}: {body[:200]!r}")
        answer.audio_bytes = self._call.audio_of(body)
        return answer

    def data_received(self, data: bytes) -> None:
        self._now_s = perf_counter()
        self._answer.first_byte_s = self._answer.first_byte_s or self._now_s
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or ConnectionResetError("the server closed the connection")
        if self._done is not None and not self._done.done():
            self._done.set_exception(self._lost)

    # Called by the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-request-id":
            self._answer.request_id = value.decode()

    def on_body(self, data: bytes) -> None:
        self._answer.first_audio_s = self._answer.first_audio_s or self._now_s
        self._body.append(data)

    def on_message_complete(self) -> None:
        self._answer.ended_s = self._now_s
        assert self._done is not None, "nothing was asked"
        if not self._done.done():
            self._done.set_result(None)


@dataclass(frozen=True)
class Dialogue:
    """What differs between the two duplex WebSocket protocols."""

    path: str
    start: dict[str, Any]  # payload of run-task
    read: Callable[[Answer, str | bytes], dict[str, Any]]  # notes a message, returns its header


def websocket(dialogue: Dialogue) -> Callable[[str], Awaitable[Connection]]:
    async def connect(url: str) -> Connection:
        return _Socket(await open_socket(url + dialogue.path), dialogue)

    return connect


async def open_socket(url: str, compression: str | None = None) -> ClientConnection:
    """A WebSocket; `compression` "deflate" offers what browsers do."""
    connect = optional("websockets.asyncio.client", "server").connect
    address = url.replace("http", "ws", 1)
    return cast("ClientConnection", await connect(address, compression=compression, max_size=None, proxy=None))


class _Socket:
    """Sends run-task, waits until the task has started as the protocols want it, then all the text."""

    def __init__(self, connection: ClientConnection, dialogue: Dialogue) -> None:
        self._connection, self._dialogue = connection, dialogue

    async def speak(self, text: str) -> Answer:
        task = uuid.uuid4().hex
        answer = Answer(perf_counter())
        await self._send("run-task", task, self._dialogue.start)
        while not answer.ended_s:
            message = await self._connection.recv()
            now_s = perf_counter()
            answer.first_byte_s = answer.first_byte_s or now_s
            before = answer.audio_bytes
            header = self._dialogue.read(answer, message)
            if answer.audio_bytes > before == 0:
                answer.first_audio_s = now_s
            match header.get("event"):
                case "task-started":
                    await self._send("continue-task", task, {"input": {"text": text}})
                    await self._send("finish-task", task, {"input": {}})
                case "task-finished":
                    answer.ended_s = now_s
                case "task-failed":
                    raise EngineError(f"{header.get('error_code')}: {header.get('error_message')}")
        return answer

    async def close(self) -> None:
        await self._connection.close()

    async def _send(self, action: str, task: str, payload: dict[str, Any]) -> None:
        header = {"action": action, "task_id": task, "streaming": "duplex"}
        await self._connection.send(json.dumps({"header": header, "payload": payload}))


def _read_pai(answer: Answer, message: str | bytes) -> dict[str, Any]:
    envelope = json.loads(message)
    if audio := envelope["payload"].get("output", {}).get("audio"):
        answer.audio_bytes += len(base64.b64decode(audio["data"]))
        answer.request_id = audio["id"].removeprefix("audio_")
    return cast(dict[str, Any], envelope["header"])


def _read_dashscope(answer: Answer, message: str | bytes) -> dict[str, Any]:
    if isinstance(message, bytes):
        answer.audio_bytes += len(message)
        return {}
    header = cast(dict[str, Any], json.loads(message)["header"])
    answer.request_id = header["attributes"].get("request_uuid", answer.request_id)
    return header


def _openai(text: str, **more: Any) -> bytes:
    body = {"model": "tts-1", "voice": VOICE, "input": text, "response_format": "pcm", "seed": 1, **more}
    return json.dumps(body).encode()


def _pai(text: str, stream: bool) -> bytes:
    return json.dumps({"model": "CosyVoice2-0.5B", "stream": stream, "input": {**PAI_OPTIONS, "text": text}}).encode()


def _events(body: bytes, key: Callable[[dict[str, Any]], str]) -> int:
    found = (json.loads(block.removeprefix(b"data: ")) for block in body.split(b"\n\n") if block)
    return sum(len(base64.b64decode(key(each))) for each in found)


PAI_OPTIONS = {
    "mode": "fast_replication",
    "reference_audio_id": VOICE,
    "output_format": "pcm",
    "sample_rate": RATE_HZ,
    "seed": 1,
}
DASHSCOPE_TASK = {
    "task_group": "audio",
    "task": "tts",
    "function": "SpeechSynthesizer",
    "model": "cosyvoice-v2",
    "parameters": {"text_type": "PlainText", "voice": VOICE, "format": "pcm", "sample_rate": RATE_HZ, "seed": 1},
    "input": {},
}
PAI_SOCKET, DASHSCOPE_SOCKET = "/api-ws/v1/audio/speech", "/api-ws/v1/inference"

FRAMINGS = (
    Framing("OpenAI, raw", http(HttpCall("/v1/audio/speech", _openai, len))),
    Framing(
        "Compute Nest, raw",
        http(
            HttpCall(
                "/inference_sft",
                lambda text: urlencode({"tts_text": text, "spk_id": VOICE, "seed": 1}).encode(),
                len,
                "application/x-www-form-urlencoded",
            )
        ),
    ),
    Framing(
        "OpenAI, SSE",
        http(
            HttpCall(
                "/v1/audio/speech",
                lambda text: _openai(text, stream_format="sse"),
                lambda body: _events(body, lambda event: event.get("audio", "")),
            )
        ),
    ),
    Framing(
        "PAI-EAS, SSE",
        http(
            HttpCall(
                "/api/v1/audio/speech",
                lambda text: _pai(text, stream=True),
                lambda body: _events(body, lambda event: event["output"]["audio"]["data"]),
            )
        ),
    ),
    Framing(
        "PAI-EAS, JSON",
        http(
            HttpCall(
                "/api/v1/audio/speech",
                lambda text: _pai(text, stream=False),
                lambda body: len(base64.b64decode(json.loads(body)["output"]["audio"]["data"])),
            )
        ),
        whole=True,
    ),
    Framing(
        "PAI-EAS, socket",
        websocket(Dialogue(PAI_SOCKET, {"parameters": PAI_OPTIONS, "input": {}}, _read_pai)),
    ),
    Framing(
        "DashScope, socket",
        websocket(Dialogue(DASHSCOPE_SOCKET, DASHSCOPE_TASK, _read_dashscope)),
    ),
)
