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
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlencode, urlsplit

from cosy.dependencies import optional
from cosy.errors import EngineError

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

Message = dict[str, Any]

VOICE = "alex"  # a name that every server fills or gives its default voice
RATE_HZ = 24_000
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
CRLF = "\r\n"
WAV_HEAD = 44  # bytes
STARTED, FINISHED = "started", "finished"


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
    audio_of: Callable[[bytes], int]  # body so far -> bytes of audio
    media_type: str = JSON
    header: str = ""  # one more


def http(call: HttpCall) -> Callable[[str], Awaitable[Connection]]:
    async def connect(url: str) -> Connection:
        address = urlsplit(url)
        make, host, port = partial(_HttpConnection, call, address.netloc), address.hostname or "", address.port or 80
        _, connection = await asyncio.get_running_loop().create_connection(make, host, port)
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
            f"Content-Length: {len(body)}\r\n{self._call.header and self._call.header + CRLF}\r\n"
        )
        if self._lost is not None:
            raise self._lost
        self._parser = self._parser_type(self)
        self._body = b""
        self._done = asyncio.get_running_loop().create_future()
        self._answer = Answer(perf_counter())
        self._transport.write(head.encode() + body)
        await self._done
        return self._finished(self._body)

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
        self._body += data
        if not self._answer.first_audio_s and self._call.audio_of(self._body):
            self._answer.first_audio_s = self._now_s

    def on_message_complete(self) -> None:
        self._answer.ended_s = self._now_s
        assert self._done is not None, "nothing was asked"
        if not self._done.done():
            self._done.set_result(None)


@dataclass(frozen=True)
class Dialogue:
    """What is said over a WebSocket."""

    path: str
    messages: Callable[[str], tuple[Message, list[Message]]]  # text -> the first one, and those once that is answered
    read: Callable[[Answer, str | bytes], str]  # notes what came; STARTED, FINISHED or nothing


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
    """Starts, waits until that is answered, as the protocols want it, then sends all the text."""

    def __init__(self, connection: ClientConnection, dialogue: Dialogue) -> None:
        self._connection, self._dialogue = connection, dialogue

    async def speak(self, text: str) -> Answer:
        start, rest = self._dialogue.messages(text)
        answer = Answer(perf_counter())
        await self._connection.send(json.dumps(start))
        while not answer.ended_s:
            message = await self._connection.recv()
            now_s = perf_counter()
            answer.first_byte_s = answer.first_byte_s or now_s
            before = answer.audio_bytes
            event = self._dialogue.read(answer, message)
            if answer.audio_bytes > before == 0:
                answer.first_audio_s = now_s
            if event == STARTED:
                for each in rest:
                    await self._connection.send(json.dumps(each))
            elif event == FINISHED:
                answer.ended_s = now_s
        return answer

    async def close(self) -> None:
        await self._connection.close()


def _tasks(start: Message) -> Callable[[str], tuple[Message, list[Message]]]:
    """Messages of the two duplex protocols; `start` is the payload of run-task."""

    def messages(text: str) -> tuple[Message, list[Message]]:
        task = uuid.uuid4().hex

        def message(action: str, payload: Message) -> Message:
            return {"header": {"action": action, "task_id": task, "streaming": "duplex"}, "payload": payload}

        rest = [message("continue-task", {"input": {"text": text}}), message("finish-task", {"input": {}})]
        return message("run-task", start), rest

    return messages


def _own(text: str) -> tuple[Message, list[Message]]:
    return {"type": "start", "voice": VOICE, "seed": 1}, [{"type": "text", "text": text}, {"type": "end"}]


def _read_pai(answer: Answer, message: str | bytes) -> str:
    envelope = json.loads(message)
    if audio := envelope["payload"].get("output", {}).get("audio"):
        answer.audio_bytes += len(base64.b64decode(audio["data"]))
        answer.request_id = audio["id"].removeprefix("audio_")
    return _event_of(envelope["header"])


def _read_dashscope(answer: Answer, message: str | bytes) -> str:
    if isinstance(message, bytes):
        answer.audio_bytes += len(message)
        return ""
    header = json.loads(message)["header"]
    answer.request_id = header["attributes"].get("request_uuid", answer.request_id)
    return _event_of(header)


def _event_of(header: Message) -> str:
    if header["event"] == "task-failed":
        raise EngineError(f"{header.get('error_code')}: {header.get('error_message')}")
    return {"task-started": STARTED, "task-finished": FINISHED}.get(header["event"], "")


def _read_own(answer: Answer, message: str | bytes) -> str:
    if isinstance(message, bytes):
        answer.audio_bytes += len(message)
        return ""
    event = json.loads(message)
    if event["type"] == "error":
        raise EngineError(f"{event['code']}: {event['message']}")
    answer.request_id = event.get("request_id", answer.request_id)
    return {"started": STARTED, "done": FINISHED}.get(event["type"], "")


def _openai(text: str, **more: Any) -> bytes:
    body = {"model": "tts-1", "voice": VOICE, "input": text, "response_format": "pcm", "seed": 1, **more}
    return json.dumps(body).encode()


def _pai(text: str, stream: bool) -> bytes:
    return json.dumps({"model": "CosyVoice2-0.5B", "stream": stream, "input": {**PAI_OPTIONS, "text": text}}).encode()


def _dashscope(text: str) -> bytes:
    spoken = {"text": text, "voice": VOICE, "format": "pcm", "sample_rate": RATE_HZ, "seed": 1}
    return json.dumps({"model": "cosyvoice-v2", "input": spoken}).encode()


def _form(**fields: Any) -> bytes:
    return urlencode({"seed": 1, **fields}).encode()


def _events(key: Callable[[Message], str]) -> Callable[[bytes], int]:
    """Finds audio in all events that are complete."""

    def audio(body: bytes) -> int:
        lines = body.rpartition(b"\n\n")[0].split(b"\n")
        found = (json.loads(line.removeprefix(b"data:")) for line in lines if line.startswith(b"data:"))
        return sum(len(base64.b64decode(key(each))) for each in found)

    return audio


def _whole(body: bytes) -> int:
    try:
        return len(base64.b64decode(json.loads(body)["output"]["audio"]["data"]))
    except ValueError:  # not all of it yet
        return 0


def _wav(body: bytes) -> int:
    return max(0, len(body) - WAV_HEAD)


def _output(event: Message) -> str:
    return str(event["output"]["audio"]["data"])


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
SPEECH, PAI_SPEECH = "/v1/audio/speech", "/api/v1/audio/speech"
DASHSCOPE_SPEECH = "/api/v1/services/audio/tts/SpeechSynthesizer"
PAI_SOCKET, DASHSCOPE_SOCKET, OWN_SOCKET = "/api-ws/v1/audio/speech", "/api-ws/v1/inference", "/cosy/v1/speech"
SOCKETS = (PAI_SOCKET, DASHSCOPE_SOCKET, OWN_SOCKET)

CALLS = {
    "OpenAI, raw": HttpCall(SPEECH, _openai, len),
    "OpenAI, WAV": HttpCall(SPEECH, lambda text: _openai(text, response_format="wav"), _wav),
    "OpenAI, SSE": HttpCall(
        SPEECH, lambda text: _openai(text, stream_format="sse"), _events(lambda event: event.get("audio", ""))
    ),
    "Compute Nest, raw": HttpCall("/inference_sft", lambda text: _form(tts_text=text, spk_id=VOICE), len, FORM),
    "/synthesize, raw": HttpCall("/synthesize", lambda text: _form(text=text), len, FORM),
    "PAI-EAS, SSE": HttpCall(PAI_SPEECH, lambda text: _pai(text, stream=True), _events(_output)),
    "DashScope, SSE": HttpCall(DASHSCOPE_SPEECH, _dashscope, _events(_output), header="X-DashScope-SSE: enable"),
}
DIALOGUES = {
    "PAI-EAS, socket": Dialogue(PAI_SOCKET, _tasks({"parameters": PAI_OPTIONS, "input": {}}), _read_pai),
    "DashScope, socket": Dialogue(DASHSCOPE_SOCKET, _tasks(DASHSCOPE_TASK), _read_dashscope),
    "Cosy, socket": Dialogue(OWN_SOCKET, _own, _read_own),
}
FRAMINGS = (
    *(Framing(name, http(call)) for name, call in CALLS.items()),
    *(Framing(name, websocket(dialogue)) for name, dialogue in DIALOGUES.items()),
    Framing("PAI-EAS, JSON", http(HttpCall(PAI_SPEECH, lambda text: _pai(text, stream=False), _whole)), whole=True),
)
