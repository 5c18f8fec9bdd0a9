"""Text that arrives over a WebSocket, piece by piece, on its way into the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator

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


def utf8_length(text: str) -> int:
    """Bytes of a text in UTF-8."""
    return len(text.encode("utf-8", "replace"))


def too_long(characters: int, most: int) -> ApiError:
    """The refusal of a text."""
    message = f"the text has at least {characters} characters, at most {most} are allowed; send it in parts"
    return ApiError(Kind.TOO_LARGE, message, "text")
