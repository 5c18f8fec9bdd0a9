"""Clients that leave in the middle: every way to ask for something, cut off anywhere, in every way a socket can end."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random
from typing import Any

import httpx
import websocket

from tests.server.calls import SPEECH, body, reset
from tests.server.dialects.recordings import clip

LONG = "A text that takes a while to speak. " * 50
CLIP, LONG_CLIP = clip(2.0), clip(40.0)  # the latter is more than a form parser keeps in memory
MOST_READ = 200_000  # bytes of an answer, some seconds of sound
PAI_SPEECH, REFERENCES = "/api/v1/audio/speech", "/api/v1/audio/reference_audio"
PAI_SOCKET, DASHSCOPE_SOCKET, OWN_SOCKET = "/api-ws/v1/audio/speech", "/api-ws/v1/inference", "/cosy/v1/speech"
DASHSCOPE_SPEECH = "/api/v1/services/audio/tts/SpeechSynthesizer"
PAI = {"mode": "fast_replication", "reference_audio_id": "alex", "output_format": "pcm", "sample_rate": 24_000}
DASHSCOPE = {"voice": "longxiaochun", "format": "pcm", "sample_rate": 24_000}

Way = Callable[[str, Random], tuple[socket.socket, bytes]]
"""(base URL, chance) -> a connection, and what to send over it."""


def asks(path: str, method: str = "POST", **content: Any) -> Way:
    """A request that is sent, perhaps in part; of its answer some is read."""

    def way(url: str, chance: Random) -> tuple[socket.socket, bytes]:
        return connect(url), raw(httpx.Request(method, url + path, **content))

    return way


def uploads(path: str, **content: Any) -> Way:
    """A request that never gets as far as its end, so that it leaves no voice."""

    def way(url: str, chance: Random) -> tuple[socket.socket, bytes]:
        connection, data = asks(path, **content)(url, chance)
        return connection, data[: chance.randrange(len(data))]

    return way


def talks(path: str, *messages: dict[str, Any]) -> Way:
    """A WebSocket over which messages are sent at once."""

    def way(url: str, chance: Random) -> tuple[socket.socket, bytes]:
        opened = websocket.create_connection(url.replace("http", "ws", 1) + path, timeout=20)
        frames = [websocket.ABNF.create_frame(json.dumps(each), websocket.ABNF.OPCODE_TEXT) for each in messages]
        return opened.sock, b"".join(frame.format() for frame in frames)

    return way


def task(run: dict[str, Any]) -> list[dict[str, Any]]:
    """The messages of the two duplex protocols."""
    actions = {"run-task": run, "continue-task": {"input": {"text": LONG}}, "finish-task": {"input": {}}}
    header = {"task_id": "1", "streaming": "duplex"}
    return [{"header": {**header, "action": action}, "payload": payload} for action, payload in actions.items()]


def speaking_socket(ws_url: str, text: str, voice: str) -> websocket.WebSocket:
    """A socket with a running task, all of its text sent."""
    connection = websocket.create_connection(ws_url + PAI_SOCKET, timeout=20)
    run, go_on, finish = task({"parameters": {**PAI, "reference_audio_id": voice}, "input": {}})
    go_on["payload"]["input"]["text"] = text
    for message in (run, go_on, finish):
        connection.send(json.dumps(message))
    assert "task-started" in connection.recv()
    return connection


def last_event(connection: websocket.WebSocket) -> dict[str, Any]:
    """Read on until the task has ended; the header of what says so."""
    while (header := json.loads(connection.recv())["header"])["event"] == "result-generated":
        pass
    return dict(header)


DASHSCOPE_RUN = {
    "task_group": "audio",
    "task": "tts",
    "function": "SpeechSynthesizer",
    "model": "cosyvoice-v2",
    "parameters": {"text_type": "PlainText", **DASHSCOPE},
    "input": {},
}
OWN = [{"type": "start", "voice": "alex"}, {"type": "text", "text": LONG}, {"type": "end"}]

WAYS: dict[str, Way] = {
    "raw": asks(SPEECH, json=body(LONG)),
    "mp3": asks(SPEECH, json=body(LONG, response_format="mp3")),
    "flac, whole": asks(SPEECH, json=body(LONG, response_format="flac")),
    "OpenAI's events": asks(SPEECH, json=body(LONG, stream_format="sse")),
    "PAI-EAS's events": asks(PAI_SPEECH, json={"model": "m", "input": {**PAI, "text": LONG}}),
    "PAI-EAS, whole": asks(PAI_SPEECH, json={"model": "m", "stream": False, "input": {**PAI, "text": LONG}}),
    "DashScope's events": asks(
        DASHSCOPE_SPEECH,
        json={"model": "cosyvoice-v2", "input": {**DASHSCOPE, "text": LONG}},
        headers={"X-DashScope-SSE": "enable"},
    ),
    "Compute Nest": asks("/inference_sft", "GET", data={"tts_text": LONG, "spk_id": "alex"}),
    "a recording along": asks(
        "/inference_zero_shot", data={"tts_text": LONG, "prompt_text": "Hi."}, files={"prompt_wav": ("a.wav", CLIP)}
    ),
    "stream service": asks("/synthesize", data={"text": LONG}),
    "PAI-EAS's socket": talks(PAI_SOCKET, *task({"parameters": PAI, "input": {}})),
    "DashScope's socket": talks(DASHSCOPE_SOCKET, *task(DASHSCOPE_RUN)),
    "own socket": talks(OWN_SOCKET, *OWN),
    "list": asks(REFERENCES, "GET"),
    "form": uploads(REFERENCES, data={"text": "Hi."}, files={"file": ("a.wav", CLIP)}),
    "long form": uploads(REFERENCES, data={"text": "Hi."}, files={"file": ("a.wav", LONG_CLIP)}),
    "base64": uploads(
        "/v1/uploads/audio/voice",
        json={
            "model": "FunAudioLLM/CosyVoice2-0.5B",
            "customName": "a",
            "text": "Hi.",
            "audio": "data:audio/wav;base64," + base64.b64encode(CLIP).decode(),
        },
    ),
}


def vanish(url: str, way: Way, chance: Random, patience_s: float) -> None:
    """Ask, and leave at some point: during the request, before the answer, or during it."""
    connection, data = way(url, chance)
    if chance.random() < 0.3:
        data = data[: chance.randrange(len(data) + 1)]
    with suppress(OSError):  # it may have been refused by then
        connection.sendall(data)
        if chance.random() < 0.6:
            receive(connection, round(MOST_READ ** chance.random()), patience_s)
    chance.choice(ENDINGS)(connection)


def half_close(connection: socket.socket) -> None:
    """Say that nothing more will be sent; the server then has to end the connection, sooner or later."""
    connection.settimeout(20)
    with suppress(ConnectionError):
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(2**16):
            pass
    connection.close()


def drop(connection: socket.socket) -> None:
    """Close as a program that ends does; what was not read makes it a reset."""
    connection.close()


ENDINGS: Sequence[Callable[[socket.socket], None]] = (reset, half_close, drop)


def connect(url: str) -> socket.socket:
    host, port = url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def receive(connection: socket.socket, most: int, patience_s: float) -> None:
    """Read so many bytes, or until nothing comes for a while."""
    connection.settimeout(patience_s)
    with suppress(TimeoutError):
        while most > 0 and (got := connection.recv(most)):
            most -= len(got)


def raw(request: httpx.Request) -> bytes:
    """As it goes over the wire."""
    content = request.read()
    lines = [f"{request.method} {request.url.raw_path.decode()} HTTP/1.1".encode()]
    lines += [name + b": " + value for name, value in request.headers.raw]
    return b"\r\n".join([*lines, b"", content])
