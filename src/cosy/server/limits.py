"""How much is let in: answers at a time, requests waiting, requests per key, bytes per upload.

All counts are of this process; the server runs as one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cosy.server.errors import ApiError, Kind

if TYPE_CHECKING:
    from starlette.datastructures import UploadFile

    from cosy.server.auth import Caller
    from cosy.server.context import Context
    from cosy.server.settings import Settings

MINUTE_S = 60.0
BUSY_RETRY_S = 2.0  # told to a client for whom there is no place; answers take seconds
DRAIN_RETRY_S = 10.0  # by then another server has taken over, or this one is back


class Abortable(Protocol):
    """An answer being made."""

    def abort(self, reason: BaseException) -> None: ...


@dataclass
class Bucket:
    """A key's allowance: `rate` requests a minute, as many at once after a quiet minute."""

    level: float
    updated_s: float


class Limits:
    """Admission to the engine.  Whoever enters must leave."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._buckets: dict[str, Bucket] = {}
        self._per_key: Counter[str] = Counter()
        self.active = 0
        self.busy = 0  # requests, answers and messages that have not been handed to their clients in full
        self.draining = False
        self.running: set[Abortable] = set()

    @property
    def queued(self) -> int:
        """Requests waiting for a place."""
        return len(self._waiting)

    def count(self, caller: Caller) -> None:
        """Take one request off a key's allowance.  Raises ApiError RATE_LIMITED that says when the next is allowed."""
        rate = caller.requests_per_minute
        if not rate or not caller.key_id:
            return
        now = self._clock()
        bucket = self._buckets.setdefault(caller.key_id, Bucket(rate, now))
        bucket.level = min(rate, bucket.level + (now - bucket.updated_s) * rate / MINUTE_S)
        bucket.updated_s = now
        if bucket.level < 1:
            wait_s = (1 - bucket.level) * MINUTE_S / rate
            message = f"rate limit of this API key reached: {rate} requests per minute; wait {wait_s:.0f} s"
            raise ApiError(Kind.RATE_LIMITED, message, retry_after_s=wait_s)
        bucket.level -= 1

    async def enter(self, caller: Caller) -> None:
        """Wait for a place among the active answers.

        Raises ApiError RATE_LIMITED if the key has too many, OVERLOADED if too many wait or it takes too long.
        """
        if self.draining:
            raise _leaving()
        self.count(caller)
        most = caller.requests_at_once
        if most and self._per_key[caller.key_id] >= most:
            message = f"this API key has {most} requests running, and may not have more; wait for one to end"
            raise ApiError(Kind.RATE_LIMITED, message, retry_after_s=BUSY_RETRY_S)
        self._per_key[caller.key_id] += 1
        try:
            await self._take_place()
        except BaseException:
            self._forget(caller)
            raise

    def leave(self, caller: Caller) -> None:
        """Give the place back."""
        self._forget(caller)
        self._pass_on()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Something the end of the server should wait for."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    def drain(self) -> None:
        """Let nobody in any more, those who wait included."""
        self.draining = True
        while self._waiting:
            self._waiting.popleft().set_exception(_leaving())

    def abort_all(self) -> None:
        """End all answers at once, each in the way its dialect tells failures."""
        for each in list(self.running):
            each.abort(_leaving())

    async def _take_place(self) -> None:
        settings = self._settings
        if self.active < settings.max_active:
            self.active += 1
            return
        if len(self._waiting) >= settings.max_queued:
            raise _busy(f"{settings.max_active} requests are running and {len(self._waiting)} wait")
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await asyncio.wait({place}, timeout=settings.queue_timeout_s)
        except asyncio.CancelledError:
            self._give_up(place)
            raise
        if not place.done():
            self._waiting.remove(place)
            raise _busy(f"no place became free within {settings.queue_timeout_s:g} s")
        place.result()

    def _give_up(self, place: asyncio.Future[None]) -> None:
        """The one who waited is gone; the place may have been given to them in the same moment."""
        if not place.done():
            self._waiting.remove(place)
        elif not place.exception():
            self._pass_on()

    def _pass_on(self) -> None:
        """A place is free: for whoever waits longest."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self.active -= 1

    def _forget(self, caller: Caller) -> None:
        self._per_key[caller.key_id] -= 1
        if not self._per_key[caller.key_id]:
            del self._per_key[caller.key_id]


def _leaving() -> ApiError:
    return ApiError(Kind.OVERLOADED, "the server is shutting down; try again", retry_after_s=DRAIN_RETRY_S)


def _busy(reason: str) -> ApiError:
    return ApiError(Kind.OVERLOADED, f"the server is overloaded: {reason}; try again", retry_after_s=BUSY_RETRY_S)


async def read_upload(file: UploadFile, context: Context) -> bytes:
    """The content of a file part.  Raises ApiError TOO_LARGE; its name is data and never a path."""
    most = context.settings.max_upload_bytes
    if file.size is not None and file.size > most:
        raise upload_too_large(most)
    data = await file.read(most + 1)
    if len(data) > most:
        raise upload_too_large(most)
    return data


def upload_too_large(most: int) -> ApiError:
    """The refusal of a recording."""
    message = f"the recording is larger than {most / 2**20:g} MiB; cut it to some seconds, or send it as FLAC or MP3"
    return ApiError(Kind.TOO_LARGE, message)
