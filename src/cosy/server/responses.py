"""Audio on its way through HTTP: raw bytes or server-sent events, cut off in mid-stream where they fail there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING

import anyio
from starlette.responses import Response

from cosy.server.boundary import ClientGoneError

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from cosy.server.speech import Speech

STREAM_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # no proxy may collect it first


def audio_response(speech: Speech, extra_headers: Mapping[str, str] | None = None) -> Response:
    """The packets as a raw body, each sent at once.  `extra_headers` add to the usual ones or replace them.

    A failure in mid-stream cuts the connection without the terminating chunk, so that no client takes what it got
    for the whole.
    """
    return SpeechResponse(speech, _bytes_of(speech), {"Content-Type": speech.media_type, **(extra_headers or {})})


def sse_response(
    events: AsyncIterator[bytes], speech: Speech, extra_headers: Mapping[str, str] | None = None
) -> Response:
    """Events that a dialect makes of a speech, each sent at once.  How a failure is told is the dialect's business."""
    headers = {"Content-Type": "text/event-stream; charset=utf-8", **(extra_headers or {})}
    return SpeechResponse(speech, events, headers)


async def _bytes_of(speech: Speech) -> AsyncIterator[bytes]:
    async for packet in speech:
        yield packet.data


class SpeechResponse(Response):
    """A body that is made while it is sent; whatever ends it closes the speech."""

    def __init__(self, speech: Speech, body: AsyncIterator[bytes], headers: Mapping[str, str]) -> None:
        self._speech = speech
        self._body = body
        self.status_code = 200
        self.background = None
        told = {"X-Sample-Rate": str(speech.rate_hz), "X-Request-Id": speech.request_id}
        self.init_headers({**told, **STREAM_HEADERS, **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises what the body raises, with the answer incomplete; ClientGoneError if nobody reads it."""
        async with self._speech:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                async for data in self._body:
                    await self._send(send, data)
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send, data: bytes) -> None:
        try:
            with anyio.fail_after(self._speech.stall_s):
                await send({"type": "http.response.body", "body": data, "more_body": True})
        except TimeoutError:
            raise ClientGoneError from None
