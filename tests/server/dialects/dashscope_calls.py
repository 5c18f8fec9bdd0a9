"""What the DashScope tests send, and how they read what comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import websocket

from tests.server.calls import close_code, reset, web_socket
from tests.server.conftest import Served
from tests.server.fake import SECONDS_PER_CHARACTER

PATH = "/api-ws/v1/inference"
TTS = "/api/v1/services/audio/tts"
TEXT = "A gift from a friend far away."


def seconds_of(text: str, rate: float = 1.0) -> float:
    return len(text) * SECONDS_PER_CHARACTER / rate


@dataclass
class Outcome:
    """All that a task sent."""

    audio: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)  # payloads of result-generated
    last: dict[str, Any] = field(default_factory=dict)  # the message that ended it

    @property
    def end(self) -> str:
        return str(self.last["header"]["event"])

    def outputs(self, type: str) -> list[dict[str, Any]]:
        return [event["output"] for event in self.events if event["output"]["type"] == type]

    @property
    def texts(self) -> list[str]:
        return [output["original_text"] for output in self.outputs("sentence-end")]


class Socket:
    """A client that says what it is told to, and checks the order of what it gets."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.connection = connection
        self.task = "task-1"

    def send(self, action: str, payload: Any = None, task: str | None = None) -> None:
        header = {"action": action, "task_id": task or self.task, "streaming": "duplex"}
        self.raw(json.dumps({"header": header, "payload": payload or {}}))

    def raw(self, data: str | bytes, opcode: int = websocket.ABNF.OPCODE_TEXT) -> None:
        self.connection.send(data, opcode)

    def run(self, task: str | None = None, given: Any = None, **parameters: Any) -> None:
        self.task = task or self.task
        fixed = {"task_group": "audio", "task": "tts", "function": "SpeechSynthesizer", "model": "cosyvoice-v2"}
        asked = {"text_type": "PlainText", "voice": "longxiaochun", "format": "pcm", "sample_rate": 24000, **parameters}
        self.send("run-task", {**fixed, "parameters": asked, "input": given or {}})

    def start(self, task: str | None = None, **parameters: Any) -> None:
        self.run(task, **parameters)
        header = {"task_id": self.task, "event": "task-started", "attributes": {}}
        assert self.get() == {"header": header, "payload": {}}

    def say(self, text: Any) -> None:
        self.send("continue-task", {"model": "cosyvoice-v2", "input": {"text": text}})

    def flush(self) -> None:
        self.send("continue-task", {"input": {"flush": True}})

    def finish(self, **given: Any) -> None:
        self.send("finish-task", {"input": given})

    def receive(self) -> dict[str, Any] | bytes:
        opcode, data = self.connection.recv_data()
        if opcode == websocket.ABNF.OPCODE_BINARY:
            return bytes(data)
        assert opcode == websocket.ABNF.OPCODE_TEXT, f"a frame of opcode {opcode}: {data!r}"
        message = json.loads(data)
        assert message.keys() == {"header", "payload"}
        assert isinstance(message["payload"], dict)
        assert message["header"]["task_id"] == self.task
        return message

    def get(self) -> dict[str, Any]:
        message = self.receive()
        assert not isinstance(message, bytes), "a binary frame without its event"
        return message

    def audio(self) -> bytes:
        """The next audio; the events before it are dropped."""
        while not isinstance(message := self.receive(), bytes):
            assert message["header"]["event"] == "result-generated", message
        return message

    def rest(self) -> Outcome:
        """Everything up to the end of the task, checked for the order of its events."""
        outcome = Outcome()
        while (message := self.get())["header"]["event"] == "result-generated":
            assert message["header"] == {"task_id": self.task, "event": "result-generated", "attributes": {}}
            outcome.events.append(message["payload"])
            if message["payload"]["output"]["type"] == "sentence-synthesis":
                data = self.receive()
                assert isinstance(data, bytes)
                assert data
                outcome.audio += data
        outcome.last = message
        return outcome

    def closed(self) -> int:
        """The code with which the server closes, which it must do next."""
        return close_code(self.connection)

    def hang_up(self) -> None:
        """Vanish without a word, as a killed process does."""
        reset(self.connection.sock)


@contextmanager
def connected(served: Served, path: str = PATH, **given: Any) -> Iterator[Socket]:
    with web_socket(served.ws_url + path, **given) as connection:
        yield Socket(connection)
