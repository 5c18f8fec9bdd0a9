"""A bounded queue between two tasks of one event loop that can end, well or with an error."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Channel(AsyncIterator[T], Generic[T]):
    """One writer, one reader.  `put` waits once the items in it have `capacity` together, by `size`."""

    def __init__(self, capacity: int, size: Callable[[T], int] = lambda item: 1) -> None:
        self._capacity = capacity
        self._size = size
        self._items: deque[T] = deque()
        self._level = 0
        self._filled, self._room = asyncio.Event(), asyncio.Event()
        self._error: BaseException | None = None
        self.closed = False

    @property
    def empty(self) -> bool:
        return not self._items

    async def put(self, item: T) -> bool:
        """Add an item when there is room.  False if the channel was closed first: nobody wants it."""
        while self._level >= self._capacity and not self.closed:
            self._room.clear()
            await self._room.wait()
        if self.closed:
            return False
        self._level += self._size(item)
        self._items.append(item)
        self._filled.set()
        return True

    def close(self, error: BaseException | None = None, *, at_once: bool = False) -> None:
        """Nothing more comes.  The reader gets what is left (unless `at_once`), then the error."""
        if self.closed:
            return
        self.closed, self._error = True, error
        if at_once:
            self._items.clear()
        self._filled.set()
        self._room.set()

    async def __anext__(self) -> T:
        while not self._items and not self.closed:
            self._filled.clear()
            await self._filled.wait()
        if self._items:
            item = self._items.popleft()
            self._level -= self._size(item)
            self._room.set()
            return item
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration
