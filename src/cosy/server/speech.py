"""One request on its way out: engine, output chain, packets; and around them admission, measuring and the log line.

A task of its own takes chunks from the engine, so that whatever ends a request early (its client, its dialect, the
server's end) ends that task, and with it the engine's work, at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Literal

import anyio

from cosy.audio.encode import FORMATS, find_format, wav_header
from cosy.audio.output import OutputChain, engine_request, label
from cosy.errors import TextError
from cosy.server.boundary import ClientGoneError, Visit, visit
from cosy.server.channel import Channel
from cosy.server.packets import Packer, Packet, Sentence, Tally
from cosy.server.report import Report
from cosy.server.responses import audio_response, sse_response
from cosy.server.text import TextQueue, too_long
from cosy.types import AudioChunk, SpeechRequest

if TYPE_CHECKING:
    from cosy.server.auth import Caller
    from cosy.server.context import Context

__all__ = ["Packet", "Sentence", "Speech", "audio_response", "sse_response"]

AHEAD = 2  # chunks that wait for a slow client before the engine does


class Speech(AsyncIterator[Packet]):
    """The audio of one request.  Iterate over it or `read` it, once; close it, best by `async with`."""

    def __init__(self, context: Context, caller: Caller, request: SpeechRequest, report: Report, length: str) -> None:
        rate_hz = context.engine.sample_rate_hz
        chain = OutputChain(request, rate_hz, "known" if length == "known" else "unknown")
        self.request_id = report.request_id
        self.media_type = chain.media_type
        self.rate_hz = chain.rate_hz
        self.stall_s = context.settings.stall_s  # a client may take so long for a packet
        self.tally = Tally(rate_hz * request.pitch)
        self._context = context
        self._caller = caller
        self._request = request
        self._engine_request = engine_request(request)
        self._report = report
        self._whole = length == "known" or find_format(request.format) is FORMATS["flac"]
        self._packer = Packer(chain, rate_hz * request.pitch)
        self._ready: list[Packet] = []
        self._chunks: Channel[tuple[AudioChunk, float]] = Channel(AHEAD)
        self._tasks: list[asyncio.Task[None]] = []
        self._finished = self._closed = False

    @classmethod
    async def open(
        cls,
        context: Context,
        caller: Caller,
        request: SpeechRequest,
        *,
        dialect: str,
        request_id: str,
        length: Literal["unknown", "known"] = "unknown",
    ) -> Speech:
        """Admit a request and wait for its first packet, so that what is wrong with it shows before any audio.

        `length` "known" is for answers sent whole: a WAV then comes in one packet, with its true sizes.  Raises
        CosyError or ApiError; ClientGoneError, to be left alone, if the client has hung up.
        """
        current = visit.get()
        report = Report(context, caller, request, dialect, request_id)
        if current is not None:
            current.spoke = True
        try:
            _check_text(request.text, context.settings.max_text_characters)
            speech = cls(context, caller, request, report, length)
        except Exception as error:
            report.close(error, Tally(1.0), current)
            raise
        try:
            await speech._start(current)
        except BaseException as error:
            await speech._close(error)
            raise
        return speech

    # After the last packet.

    @property
    def text_tokens(self) -> int:
        """Of the text and the instruction."""
        return self.tally.text_tokens

    @property
    def speech_tokens(self) -> int:
        return self.tally.speech_tokens

    @property
    def audio_s(self) -> float:
        return self.tally.audio_s

    @property
    def seed(self) -> int | None:
        return self.tally.seed

    @property
    def warnings(self) -> list[str]:
        return self.tally.warnings

    @property
    def sentences(self) -> list[Sentence]:
        """Segments of the text so far, with their times in the audio."""
        return [self.tally.sentences[index] for index in sorted(self.tally.sentences)]

    @property
    def characters(self) -> int:
        """Of the text so far."""
        return self._report.characters

    async def __anext__(self) -> Packet:
        try:
            while not self._ready:
                if self._finished:
                    raise StopAsyncIteration
                await self._advance()
        except Exception as error:
            if not isinstance(error, StopAsyncIteration):
                await self._close(error)
            raise
        return self._ready.pop(0)

    async def read(self) -> bytes:
        """The complete file; a WAV states its true length, and the AI label is in where the settings ask for it."""
        data = b"".join([packet.data async for packet in self])
        kind = find_format(self._request.format)
        if kind is FORMATS["wav"]:
            head = len(wav_header(self.rate_hz, 0))
            return wav_header(self.rate_hz, len(data) - head) + data[head:]
        if self._context.settings.ai_label and kind is FORMATS["opus"]:
            return await anyio.to_thread.run_sync(label, data, self._request.format)
        return data

    async def aclose(self) -> None:
        """Stop the engine's work on this request, if it is not done, and write the log line.  May be called again."""
        await self._close(None)

    def abort(self, reason: BaseException) -> None:
        """End it from outside; whoever iterates gets `reason` next."""
        self._chunks.close(reason, at_once=True)
        for task in self._tasks[:1]:
            task.cancel()

    async def __aenter__(self) -> Speech:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(None)

    async def _start(self, current: Visit | None) -> None:
        self._context.limits.busy += 1
        self._tasks.append(asyncio.create_task(self._make()))
        if current is not None and current.receive is not None:
            self._tasks.append(asyncio.create_task(self._watch(current)))
        while not self._ready and not self._finished:
            await self._advance()
        if not self._ready:
            raise TextError("the text holds nothing that can be spoken")

    async def _make(self) -> None:
        """The task: a place, then chunks from the engine, each with the time it was waited for."""
        try:
            await self._context.limits.enter(self._caller)
        except BaseException as error:
            self._chunks.close(error)
            return
        self._context.limits.running.add(self)
        stream = self._context.engine.stream(self._engine_request, self.request_id)
        try:
            started = time.perf_counter()
            async for chunk in stream:
                now = time.perf_counter()
                self._report.chunk(chunk, now - started, now)
                if not await self._chunks.put((chunk, now - started)):
                    break
                started = time.perf_counter()
            self._chunks.close()
        except BaseException as error:  # told by whoever reads
            self._chunks.close(error)
        finally:
            await self._release(stream)

    async def _release(self, stream: AsyncIterator[AudioChunk]) -> None:
        try:
            if hasattr(stream, "aclose"):
                await stream.aclose()
            else:
                await self._context.engine.abort(self.request_id)
        finally:
            self._context.limits.running.discard(self)
            self._context.limits.leave(self._caller)

    async def _watch(self, current: Visit) -> None:
        await current.client_gone()
        self.abort(ClientGoneError())

    async def _advance(self) -> None:
        """Turn the next chunk into packets."""
        try:
            chunk, waited_s = await anext(self._chunks)
        except StopAsyncIteration:
            self._ready += await self._last_packets()
            self._finished = True
            return
        self.tally.note(chunk)
        self._ready += self._packer.push(chunk, waited_s)

    async def _last_packets(self) -> list[Packet]:
        """Whole files are encoded here, which takes long enough to leave the event loop."""
        if not self._whole:
            return list(self._packer.finish())
        return await anyio.to_thread.run_sync(lambda: [self._labelled(each) for each in self._packer.finish()])

    def _labelled(self, packet: Packet) -> Packet:
        """A FLAC file comes in one packet however it is sent, and so has its AI label here."""
        if self._context.settings.ai_label and find_format(self._request.format) is FORMATS["flac"]:
            return replace(packet, data=label(packet.data, "flac"))
        return packet

    async def _close(self, error: BaseException | None) -> None:
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):  # a cancelled caller still waits for the engine to let go
            self._chunks.close(ClientGoneError(), at_once=True)
            for task in self._tasks:
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks)
        self._context.limits.busy -= 1
        if isinstance(self._request.text, TextQueue):
            self._request.text.close()  # its writer may be waiting
        if error is None and not (self._finished and not self._ready):
            error = ClientGoneError()
        self._report.close(error, self.tally, visit.get())


def _check_text(text: object, most: int) -> None:
    if not isinstance(text, str):
        return
    if len(text) > most:
        raise too_long(len(text), most)
    if not text.strip():
        raise TextError("the text is empty; send what is to be spoken")
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise TextError("the text holds half of a surrogate pair, which stands for no character; send proper Unicode")
