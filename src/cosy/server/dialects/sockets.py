"""What every WebSocket of speech does alike, whatever its messages say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from cosy.server.dialects.envelope import compact_json
from cosy.server.errors import ApiError, Kind


def text_of(message: Message) -> str:
    """What a text frame holds.  Raises ApiError for a binary frame, WebSocketDisconnect at the end."""
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    text: str | None = message.get("text")
    if text is None:
        raise ApiError(Kind.INVALID, "a binary frame came; send JSON in text frames only")
    return text


async def send_frame(websocket: WebSocket, frame: dict[str, Any] | bytes) -> None:
    """An object as a JSON text frame, bytes as a binary frame."""
    if isinstance(frame, bytes):
        await websocket.send_bytes(frame)
    else:
        await websocket.send_text(compact_json(frame))


@contextmanager
def while_read(stall_s: float) -> Iterator[None]:
    """Around what is sent.  Raises WebSocketDisconnect if it takes longer: the client reads nothing any more."""
    try:
        with anyio.fail_after(stall_s):
            yield
    except TimeoutError:
        raise WebSocketDisconnect(1006, f"nothing was read for {stall_s:g} s") from None


async def cut_short(speaking: asyncio.Task[None], sending: asyncio.Lock | None) -> None:
    """Cancel a task that speaks, and wait until its engine request is gone.

    `sending`: held while frames that belong together leave, so that the end comes between none of them; None: nobody
    reads them any more.
    """
    if sending is None:
        speaking.cancel()
    else:
        async with sending:
            speaking.cancel()
    await asyncio.wait({speaking})
