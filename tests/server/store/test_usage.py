"""What keys use: counted in memory, added up in the database."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timezone

import anyio
import pytest

from cosy.server.store.database import Database
from cosy.server.store.errors import DatabaseError
from cosy.server.store.usage import Usage, UsageRow
from tests.server.store.watched import Watched

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
DAY = NOON.date()


def report(usage: Usage, **selection: date | str) -> list[UsageRow]:
    async def ask() -> list[UsageRow]:
        return list(await usage.report(**selection))  # type: ignore[arg-type]

    return anyio.run(ask)


def test_what_was_counted_is_added_up_by_key_and_day(database: Database) -> None:
    usage = Usage(database, clock=lambda: NOON)
    usage.add("a", characters=5, utf8_bytes=15, audio_s=1.5)
    anyio.run(usage.flush)
    usage.add("a", characters=2, utf8_bytes=2, audio_s=0.5, errors=1)
    usage.add("b", requests=3)
    anyio.run(usage.flush)
    assert report(usage) == [
        UsageRow(key_id="a", day=DAY, requests=2, characters=7, utf8_bytes=17, audio_s=2.0, errors=1),
        UsageRow(key_id="b", day=DAY, requests=3),
    ]


def test_counting_touches_no_database(database: Database) -> None:
    watched = Watched(database)
    Usage(watched.as_database).add("a", characters=5)
    assert watched.transactions == 0


def test_two_servers_add_to_the_same_rows(database: Database) -> None:
    servers = [Usage(database, clock=lambda: NOON) for _ in range(2)]
    for usage in servers:
        usage.add("a", characters=5)
        anyio.run(usage.flush)
    assert [row.characters for row in report(servers[0])] == [10]


def test_a_day_is_that_of_utc(database: Database) -> None:
    usage = Usage(database, clock=lambda: datetime(2026, 3, 1, 23, 59, tzinfo=timezone.utc))
    usage.add("a")
    anyio.run(usage.flush)
    assert [row.day for row in report(usage)] == [date(2026, 3, 1)]


def test_a_report_can_be_narrowed(database: Database) -> None:
    day = NOON
    usage = Usage(database, clock=lambda: day)
    for number in (1, 2, 3):
        day = NOON.replace(day=number)
        usage.add("a")
        usage.add("b")
    anyio.run(usage.flush)
    found = report(usage, key_id="a", since=date(2026, 3, 2), until=date(2026, 3, 2))
    assert [(row.key_id, row.day.day) for row in found] == [("a", 2)]


def test_nothing_is_lost_while_the_database_is_away(database: Database) -> None:
    watched = Watched(database)
    usage = Usage(watched.as_database, clock=lambda: NOON)
    usage.add("a", characters=5)
    watched.down = True
    with pytest.raises(DatabaseError):
        anyio.run(usage.flush)
    usage.add("a", characters=1)
    watched.down = False
    anyio.run(usage.flush)
    assert [(row.requests, row.characters) for row in report(usage)] == [(2, 6)]


def test_flushing_goes_on_until_the_end_and_then_once_more(database: Database) -> None:
    usage = Usage(database, clock=lambda: NOON)

    async def serve() -> None:
        flushing = asyncio.create_task(usage.keep_flushing(0.01))
        usage.add("a", characters=1)
        with anyio.fail_after(5):
            while not await usage.report():
                await anyio.sleep(0.01)
        flushing.cancel()
        usage.add("a", characters=2)
        with pytest.raises(asyncio.CancelledError):
            await flushing

    anyio.run(serve)
    assert [row.characters for row in report(usage)] == [3]
