"""Files that HTTP answers point to: kept for a day beside the recordings, fetched by a name nobody can guess.

All that is known of a file is in its name (token, time of expiry, size), so any process of the server can
serve it, and none has to remember it.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from cosy.server.store.objects import ObjectStore

KIND = "results"  # of the objects
MAX_BYTES = 2**30  # of all files; beyond that the oldest go before their time
SWEEP_S = 60.0  # between two looks at what is there
_NAME = re.compile(r"([0-9a-f]{32})-(\d{1,12})-(\d{1,12})\.(wav|mp3|pcm|opus)")


@dataclass(frozen=True)
class ResultFile:
    """A file by its name."""

    token: str
    expires_at: int  # seconds since 1970
    size: int  # bytes
    format: str

    @property
    def name(self) -> str:
        return f"{self.token}-{self.expires_at}-{self.size}.{self.format}"

    @classmethod
    def parse(cls, name: str) -> ResultFile | None:
        """None for what is no such name."""
        found = _NAME.fullmatch(name)
        return cls(found[1], int(found[2]), int(found[3]), found[4]) if found else None


class ResultFiles:
    """Keeps results for `ttl_s`, all together at most `max_bytes`.  Methods block."""

    def __init__(
        self, objects: ObjectStore, ttl_s: float, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        self._objects = objects
        self._ttl_s = ttl_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._swept_at = -SWEEP_S
        self._size = 0  # of all files, as far as this process knows

    def expiry(self) -> int:
        """When a file that is added now expires, in seconds since 1970."""
        return int(self._clock() + self._ttl_s)

    def add(self, data: bytes, format: str, expires_at: int) -> ResultFile:
        """Keep a file.  Raises StorageError, or OverloadedError if there is no space."""
        file = ResultFile(secrets.token_hex(16), expires_at, len(data), format)
        self._size += file.size
        if self._size > self._max_bytes or self._clock() - self._swept_at >= SWEEP_S:
            self.sweep(file.size)
        self._objects.write(f"{KIND}/{file.name}", data)
        return file

    def read(self, name: str) -> bytes:
        """The file.  Raises FileNotFoundError if there is none of that name, or no longer."""
        file = ResultFile.parse(name)
        if file is None or file.expires_at <= self._clock():
            raise FileNotFoundError(name)
        return self._objects.read(f"{KIND}/{name}")

    def sweep(self, room: int = 0) -> None:
        """Remove what has expired, then the oldest until there is `room` for so many bytes."""
        self._swept_at = self._clock()
        names = (each.key.rpartition("/")[2] for each in self._objects.list(KIND))
        files = sorted(filter(None, map(ResultFile.parse, names)), key=lambda file: file.expires_at)
        self._size = room + sum(file.size for file in files)
        for file in files:
            if file.expires_at > self._swept_at and self._size <= self._max_bytes:
                break
            with suppress(FileNotFoundError):  # another process was faster
                self._objects.remove(f"{KIND}/{file.name}")
            self._size -= file.size
