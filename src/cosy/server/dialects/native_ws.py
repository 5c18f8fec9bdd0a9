"""Cosy's own WebSocket: text in as it is written, audio out as it is made.

Text frames hold JSON objects with a `type`, binary frames 16-bit little-endian mono samples.

    client   start {voice, mode, text, ...}, text {text}, end, stop
    server   started, binary frames with `progress` after each, `segment` after the last of one, done or error

One request runs at a time; after `done` the socket takes the next `start`.  An error closes it.  Text goes to the
engine as it comes: nothing waits for `end`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket, WebSocketDisconnect

from cosy.errors import TextError
from cosy.server.auth import SPEECH, Caller, allow, credentials
from cosy.server.boundary import POLICY_VIOLATION, note_failure
from cosy.server.context import Context, context_of
from cosy.server.dialects.envelope import parse_object, text_field
from cosy.server.dialects.native_run import Event, Run, Start
from cosy.server.dialects.sockets import cut_short, send_frame, text_of, while_read
from cosy.server.dialects.v1_body import parse
from cosy.server.errors import ApiError, Kind
from cosy.server.speech import Speech
from cosy.server.text import TextQueue

NAME = "cosy"
NORMAL = 1000  # close code
TYPES = ("start", "text", "end", "stop")

speaker = allow(SPEECH)


async def speaker_or_stranger(
    connection: HTTPConnection, context: Annotated[Context, Depends(context_of)]
) -> Caller | None:
    """A dependency: the caller, or None if there are keys and the handshake brought none.

    Browsers can set no header here, and an address with a key in it may be logged: `start` may bring the key.
    """
    if await context.keys.required() and not any(credentials(connection)):
        return None
    return await speaker(connection, context)


class SpeechSocket:
    """One socket, not yet accepted; `caller` None: `start` must bring a key."""

    def __init__(self, websocket: WebSocket, context: Context, caller: Caller | None) -> None:
        self._websocket = websocket
        self._context = context
        self._caller = caller
        self._run: Run | None = None
        self._started = False  # ever
        self._sending = asyncio.Lock()

    async def serve(self) -> None:
        """Obey the client until either side closes the socket."""
        try:
            await self._websocket.accept()
            while (message := await self._next()) is not None:
                await self._obey(message)
            await self._websocket.close()
        except WebSocketDisconnect:
            pass
        except Exception as error:  # whatever goes wrong with a request is told to its client
            await self._fail(error)
        finally:
            await self._drop(at_once=True)

    # What the client says.

    async def _obey(self, message: dict[str, Any]) -> None:
        kind = text_field(message, "type")
        if kind not in TYPES:
            raise ApiError(Kind.INVALID, f"unknown message type {kind[:40]!r}; send {', '.join(TYPES)}", "type")
        if kind == "start":
            await self._stop()
            await self._start(message)
        elif not self._started:
            raise ApiError(Kind.INVALID, f"{kind} came before start; send start first", "type")
        elif kind == "stop":
            await self._stop()
        elif self._run is not None:  # else it is done, and the message was on its way
            self._go_on(self._run, kind, message)

    async def _start(self, message: dict[str, Any]) -> None:
        start = parse(Start, {name: value for name, value in message.items() if value is not None})
        if self._caller is None:
            self._caller = await self._by_key(start.key)
        text = TextQueue(self._context.settings.max_text_characters)
        voice = await self._context.voices.resolve(start.voice) if start.voice else None
        run = Run(text, start.request(text, voice))
        if start.text is not None:
            run.whole(start.text)
        await self._send(run.started(self._context.engine.sample_rate_hz))
        run.speaking = asyncio.create_task(self._speak(run, self._caller))
        self._started, self._run = True, run

    async def _by_key(self, key: str) -> Caller:
        """The caller of a key, judged as if the handshake had brought it.  Raises ApiError."""
        if not key:
            raise ApiError(Kind.UNAUTHORIZED, 'API key missing: send it as "key" in start, or as ?token=', "key")
        query = urlencode({"token": key}).encode()
        connection = HTTPConnection({**self._websocket.scope, "headers": [], "query_string": query})
        return await speaker(connection, self._context)

    def _go_on(self, run: Run, kind: str, message: dict[str, Any]) -> None:
        if not run.accepting:
            raise ApiError(Kind.INVALID, f"{kind} came after end; send start first", "type")
        if kind == "end":
            run.end()
        else:
            run.take(text_field(message, "text"), self._context.settings.max_text_characters)

    # What the server says.

    async def _speak(self, run: Run, caller: Caller) -> None:
        """The engine is asked only when there is something to say: a waiting request holds no place in it."""
        await run.ready.wait()
        if not run.has_text:
            raise TextError('there is no text to speak: send {"type": "text", "text": "..."} before end')
        async with (
            run.handing_on(),
            await Speech.open(self._context, caller, run.request, dialect=NAME, request_id=run.id) as run.speech,
        ):
            async for packet in run.speech:
                await self._send(*run.ended(packet.segment), packet.data, run.progress(packet))
        await self._send(*run.ended(), run.done())

    async def _send(self, *frames: Event | bytes) -> None:
        """With nothing else between them.  WebSocketDisconnect if the client is gone, or reads nothing any more."""
        async with self._sending:
            with while_read(self._context.settings.stall_s):
                for frame in frames:
                    await send_frame(self._websocket, frame)

    # Waiting and ending.

    async def _next(self) -> dict[str, Any] | None:
        """The client's next message; None if it sent nothing for too long while no request ran.

        Raises what ended the running request, and ApiError if text was due and nothing came.
        """
        waiting = asyncio.ensure_future(self._websocket.receive())
        try:
            while not waiting.done():
                speaking = self._run.speaking if self._run else None
                both: set[asyncio.Future[Any]] = {waiting, speaking} if speaking else {waiting}
                done, _ = await asyncio.wait(both, timeout=self._patience_s(), return_when=asyncio.FIRST_COMPLETED)
                if speaking is not None and speaking in done:
                    self._run = None
                    speaking.result()
                elif not done and self._run is None:
                    return None
                elif not done:
                    silence = f"nothing came for {self._context.settings.idle_timeout_s:g} s; send more text, or end"
                    raise ApiError(Kind.INVALID, silence)
            return parse_object(text_of(waiting.result()))
        finally:
            waiting.cancel()

    def _patience_s(self) -> float | None:
        return self._context.settings.idle_timeout_s if self._run is None or self._run.accepting else None

    async def _stop(self) -> None:
        """End the running request, if any, and say what was made of it."""
        run = self._run
        if run is not None and await self._drop():
            await self._send(run.done(stopped=True))

    async def _drop(self, at_once: bool = False) -> bool:
        """End the running request and wait until the engine has let go of it.  Whether that cut it short.

        Not between the frames of one `_send`, unless `at_once`: then nobody reads them any more.
        Raises what the request failed with, if it did so in the same moment and somebody can be told.
        """
        run, self._run = self._run, None
        if run is None or run.speaking is None:
            return False
        await cut_short(run.speaking, None if at_once else self._sending)
        if run.speaking.cancelled():
            return True
        error = run.speaking.exception()
        if error is not None and not at_once:
            raise error
        return False

    async def _fail(self, error: Exception) -> None:
        """Tell the client why, and close."""
        try:
            await self._drop(at_once=True)
            problem = note_failure(error, NAME, self._context.metrics)
            told = {"code": problem.kind.value, "message": problem.message, "param": problem.param}
            await self._send({"type": "error", **told, "retry_after_s": problem.retry_after_s})
            unwelcome = problem.kind in (Kind.UNAUTHORIZED, Kind.FORBIDDEN)
            await self._websocket.close(POLICY_VIOLATION if unwelcome else NORMAL)
        except WebSocketDisconnect:
            pass  # nobody is left to be told
