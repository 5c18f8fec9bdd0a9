"""Text that arrives over a WebSocket, piece by piece, on its way into the engine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from cosy.server.channel import Channel
from cosy.server.errors import ApiError, Kind

MOST_WAITING = 4096  # characters the engine has not taken yet; beyond that `put` waits


class TextQueue(AsyncIterator[str]):
    """A bounded queue of text for one reader and one writer in the same event loop; give it to `SpeechRequest.text`."""

    def __init__(self, max_characters: int) -> None:
        self._max_characters = max_characters
        self._pieces: Channel[str] = Channel(MOST_WAITING, len)
        self.characters = 0  # ever put
        self.utf8_bytes = 0  # the same as UTF-8

    @property
    def closed(self) -> bool:
        """Whether no more text will come."""
        return self._pieces.closed

    @property
    def starving(self) -> bool:
        """Whether whoever reads can only wait for the client."""
        return self._pieces.empty and not self._pieces.closed

    async def put(self, piece: str) -> None:
        """Add text; waits while the engine is far behind.  After `close` it does nothing.

        Raises ApiError TOO_LARGE beyond the longest text allowed.
        """
        if self.characters + len(piece) > self._max_characters:
            raise too_long(self.characters + len(piece), self._max_characters)
        if piece and await self._pieces.put(piece):
            self.characters += len(piece)
            self.utf8_bytes += utf8_length(piece)

    def close(self) -> None:
        """No more text comes; what is there will still be read."""
        self._pieces.close()

    def fail(self, error: Exception) -> None:
        """The reader gets this error instead of what is left."""
        self._pieces.close(error, at_once=True)

    async def __anext__(self) -> str:
        return await anext(self._pieces)


@dataclass(eq=False)
class Intake:
    """The text of one request on a socket, which must be read also while the engine is far behind."""

    text: TextQueue  # the engine's
    pieces: asyncio.Queue[str | None] = field(default_factory=asyncio.Queue, kw_only=True)  # before it; None: no more
    characters: int = field(default=0, kw_only=True)  # that have come
    has_text: bool = field(default=False, kw_only=True)  # something that is not blank has come
    accepting: bool = field(default=True, kw_only=True)  # the client has not said that this was all
    ready: asyncio.Event = field(default_factory=asyncio.Event, kw_only=True)  # there is text, or there will be none
    ready_s: float = field(default=0.0, kw_only=True)  # time.perf_counter() at that moment

    def take(self, piece: str, most: int) -> None:
        """Text of the client.  Raises ApiError TOO_LARGE beyond so many characters in all."""
        self.characters += len(piece)
        if self.characters > most:
            raise too_long(self.characters, most)
        if piece:
            self.pieces.put_nowait(piece)
        if piece.strip():
            self.has_text = True
            self._make_ready()

    def end(self) -> None:
        """No more text comes."""
        self.accepting = False
        self.pieces.put_nowait(None)
        self._make_ready()

    @asynccontextmanager
    async def handing_on(self) -> AsyncIterator[None]:
        """Meanwhile pieces move into `text`, which makes its writer wait."""
        moving = asyncio.create_task(self._hand_on())
        try:
            yield
        finally:
            moving.cancel()

    async def _hand_on(self) -> None:
        while (piece := await self.pieces.get()) is not None:
            await self.text.put(piece)
        self.text.close()

    def _make_ready(self) -> None:
        if not self.ready.is_set():
            self.ready_s = time.perf_counter()
            self.ready.set()


def utf8_length(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text.encode("utf-8", "replace"))


def too_long(characters: int, most: int) -> ApiError:
    """The refusal of a text."""
    message = f"the text has at least {characters} characters, at most {most} are allowed; send it in parts"
    return ApiError(Kind.TOO_LARGE, message, "text")
