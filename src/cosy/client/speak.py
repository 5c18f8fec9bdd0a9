"""Speech from text in pieces: one task over the server's duplex WebSocket (the DashScope dialect).

run-task -> task-started -> continue-task per piece ... finish-task
                         <- binary frames with the bytes of one audio file ... task-finished or task-failed
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from cosy.client.errors import (
    DEFAULT_RETRY_AFTER_S,
    AuthenticationError,
    InterruptedAnswerError,
    UnreachableError,
    error_of,
)
from cosy.errors import (
    CosyError,
    EngineError,
    MissingDependencyError,
    OverloadedError,
    ParameterError,
    UnknownVoiceError,
)

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

MODEL = "cosyvoice-v2"
UNKNOWN_VOICE = "418"  # the number by which the dialect's message tells an unknown voice
MAX_SEED = 65535


class SpeakOptions(TypedDict, total=False):
    """How to speak; what is left out is its default."""

    format: str  # pcm (default), wav, mp3 or opus
    sample_rate_hz: int  # 8000, 16000, 22050, 24000 (default), 44100 or 48000
    speed: float  # 0.5 .. 2
    pitch: float  # 0.5 .. 2
    seed: int  # 1 .. 65535
    instructions: str  # how to speak, in words


_PARAMETERS = {
    "format": "format",
    "sample_rate_hz": "sample_rate",
    "speed": "rate",
    "pitch": "pitch",
    "seed": "seed",
    "instructions": "instruction",
}


class SpokenStream:
    """The audio of one task: `async for` yields its bytes as they come, whole samples where the format is pcm."""

    def __init__(self, socket: ClientConnection, sender: asyncio.Task[None], timeout_s: float, rate_hz: int) -> None:
        self._socket, self._sender, self._timeout_s = socket, sender, timeout_s
        self.rate_hz = rate_hz

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message = await _message(self._socket, self._sender, self._timeout_s)
            if isinstance(message, bytes):
                yield message
            elif _event(message) == "task-finished":
                return


@asynccontextmanager
async def speak(
    url: str,
    api_key: str,
    pieces: AsyncIterable[str],
    voice: str,
    options: Mapping[str, Any],
    connect_timeout_s: float,
    timeout_s: float,
) -> AsyncIterator[SpokenStream]:
    """Open a task and feed it `pieces` in the background; leaving the block ends both."""
    parameters, task_id = _parameters(voice, options), uuid.uuid4().hex
    async with _connected(url, api_key, connect_timeout_s) as socket:
        sender = asyncio.create_task(_send(socket, task_id, parameters, pieces))
        try:
            yield SpokenStream(socket, sender, timeout_s, parameters["sample_rate"])
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)


@asynccontextmanager
async def _connected(url: str, api_key: str, timeout_s: float) -> AsyncIterator[ClientConnection]:
    try:
        from websockets.asyncio.client import connect
        from websockets.exceptions import InvalidHandshake, InvalidStatus
    except ImportError as error:
        raise MissingDependencyError("speech from text in pieces needs 'websockets': pip install websockets") from error
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    try:
        socket = await connect(url, additional_headers=headers, open_timeout=timeout_s, max_size=None)
    except InvalidStatus as error:
        answer = error.response
        raise error_of(answer.status_code, answer.headers, bytes(answer.body or b"")) from error
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise UnreachableError(f"no connection to {url} ({error}): is the server running there?") from error
    async with socket:
        yield socket


async def _send(
    socket: ClientConnection, task_id: str, parameters: Mapping[str, Any], pieces: AsyncIterable[str]
) -> None:
    """Run the task.  The server holds back the socket while it is far behind, which holds back `pieces`."""
    task = {"task_group": "audio", "task": "tts", "function": "SpeechSynthesizer", "model": MODEL}
    await socket.send(_instruction("run-task", task_id, {**task, "parameters": parameters, "input": {}}))
    async for piece in pieces:
        if piece:
            await socket.send(_instruction("continue-task", task_id, {"input": {"text": piece}}))
    await socket.send(_instruction("finish-task", task_id, {"input": {}}))


async def _message(socket: ClientConnection, sender: asyncio.Task[None], timeout_s: float) -> str | bytes:
    """The next message.  An error of the writer goes before a message, and explains a closed socket."""
    from websockets.exceptions import ConnectionClosed

    reader = asyncio.ensure_future(socket.recv())
    working: set[asyncio.Future[Any]] = {reader} if sender.done() else {reader, sender}
    try:
        await asyncio.wait(working, return_when=asyncio.FIRST_COMPLETED)  # whoever writes the text may take long
        if sender.done() and (fault := sender.exception()) and not isinstance(fault, ConnectionClosed):
            raise fault
        return await asyncio.wait_for(asyncio.shield(reader), timeout_s)
    except ConnectionClosed as error:
        raise InterruptedAnswerError("the server closed the connection before the speech was complete") from error
    except asyncio.TimeoutError as error:
        raise InterruptedAnswerError(f"the server sent nothing for {timeout_s:g} s") from error
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


def _parameters(voice: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The task's parameters.  Raises ParameterError for an option there is not, or a seed beyond the dialect's."""
    if unknown := sorted(set(options) - set(_PARAMETERS)):
        raise ParameterError(f"unknown option {unknown[0]!r}; choose from {', '.join(_PARAMETERS)}")
    seed = options.get("seed")
    if seed is not None and not 1 <= seed <= MAX_SEED:
        raise ParameterError(f"seed must be between 1 and {MAX_SEED} where text comes in pieces, got {seed}")
    named = {_PARAMETERS[name]: value for name, value in options.items() if value is not None}
    return {"text_type": "PlainText", "voice": voice, "format": "pcm", "sample_rate": 24_000, **named}


def _instruction(action: str, task_id: str, payload: Mapping[str, Any]) -> str:
    header = {"action": action, "task_id": task_id, "streaming": "duplex"}
    return json.dumps({"header": header, "payload": payload}, ensure_ascii=False)


def _event(message: str) -> str:
    """The name of an event.  Raises the exception of a task that failed."""
    header = json.loads(message)["header"]
    if header["event"] == "task-failed":
        raise _failure(header.get("error_code", ""), header.get("error_message", ""))
    return str(header["event"])


def _failure(code: str, message: str) -> CosyError:
    if code == "InvalidParameter":
        known = UNKNOWN_VOICE not in message
        return ParameterError(message) if known else UnknownVoiceError(f"there is no such voice ({message})")
    if code == "InvalidApiKey":
        return AuthenticationError(message)
    if code.startswith("Throttling"):
        return OverloadedError(message, DEFAULT_RETRY_AFTER_S)
    return EngineError(f"{code}: {message}")
