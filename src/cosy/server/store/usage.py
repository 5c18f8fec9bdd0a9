"""What each key has used, by day: counted in memory, added to the database now and then.

Any number of processes add to the same rows.  What was counted since the last flush is lost if a process is killed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime
from typing import Any

import anyio
import sqlalchemy as sa
from anyio import to_thread
from sqlalchemy.dialects import postgresql, sqlite

from cosy.server.store.database import Database
from cosy.server.store.errors import StorageError
from cosy.server.store.tables import now
from cosy.server.store.tables import usage as table

logger = logging.getLogger(__name__)

FLUSH_S = 5.0


@dataclass(frozen=True)
class Amounts:
    """What was used."""

    requests: int = 0
    characters: int = 0
    utf8_bytes: int = 0
    audio_s: float = 0.0
    errors: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*(mine + its for mine, its in zip(astuple(self), astuple(other), strict=True)))


AMOUNTS = tuple(field.name for field in fields(Amounts))


@dataclass(frozen=True)
class UsageRow(Amounts):
    """What a key has used in a day."""

    key_id: str = ""  # empty: calls without a key
    day: date = date.min  # UTC


class Usage:
    """Counts from any thread; only `flush` and `report` touch the database."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = now) -> None:
        self._database, self._clock = database, clock
        self._counted: dict[tuple[str, date], Amounts] = {}
        self._guard = threading.Lock()

    def add(
        self,
        key_id: str,
        *,
        requests: int = 1,
        characters: int = 0,
        utf8_bytes: int = 0,
        audio_s: float = 0.0,
        errors: int = 0,
    ) -> None:
        """Count for a key, without waiting for anything."""
        self._count({(key_id, self._clock().date()): Amounts(requests, characters, utf8_bytes, audio_s, errors)})

    async def flush(self) -> None:
        """Add what was counted to the database.  Raises StorageError; then it stays counted for the next time."""
        with self._guard:
            counted, self._counted = self._counted, {}
        if counted:
            with anyio.CancelScope(shield=True):  # what is neither here nor there would be lost
                await to_thread.run_sync(self._flush, counted)

    async def keep_flushing(self, interval_s: float = FLUSH_S) -> None:
        """Flush until cancelled, and a last time then.  A database that does not work is logged and tried again."""
        try:
            while True:
                await anyio.sleep(interval_s)
                await self._try_to_flush()
        finally:
            with anyio.CancelScope(shield=True):
                await self._try_to_flush()

    async def report(
        self, *, key_id: str | None = None, since: date | None = None, until: date | None = None
    ) -> Sequence[UsageRow]:
        """What the database knows, by day and key; `since` and `until` are included."""
        return await to_thread.run_sync(self._report, key_id, since, until)

    async def _try_to_flush(self) -> None:
        try:
            await self.flush()
        except StorageError as error:
            logger.warning("usage stays in memory for now: %s", error)

    def _count(self, counted: dict[tuple[str, date], Amounts]) -> None:
        with self._guard:
            for place, amounts in counted.items():
                self._counted[place] = self._counted.get(place, Amounts()) + amounts

    def _flush(self, counted: dict[tuple[str, date], Amounts]) -> None:
        insert = (sqlite if self._database.sqlite else postgresql).insert(table)
        added = {name: table.c[name] + insert.excluded[name] for name in AMOUNTS}
        upsert = insert.on_conflict_do_update(index_elements=["key_id", "day"], set_=added)
        rows: list[dict[str, Any]] = [
            {"key_id": key_id, "day": day, **{name: getattr(counted[key_id, day], name) for name in AMOUNTS}}
            for key_id, day in sorted(counted)  # in one order everywhere, or two processes could wait for each other
        ]
        try:
            with self._database.write() as connection:
                connection.execute(upsert, rows)
        except BaseException:
            self._count(counted)
            raise

    def _report(self, key_id: str | None, since: date | None, until: date | None) -> list[UsageRow]:
        query = sa.select(table).order_by(table.c.day, table.c.key_id)
        if key_id is not None:
            query = query.where(table.c.key_id == key_id)
        if since is not None:
            query = query.where(table.c.day >= since)
        if until is not None:
            query = query.where(table.c.day <= until)
        with self._database.read() as connection:
            return [UsageRow(**row._mapping) for row in connection.execute(query)]
