"""Text on its way into the engine."""

from __future__ import annotations

import asyncio

import pytest

from cosy.server.errors import ApiError, Kind
from cosy.server.text import MOST_WAITING, TextQueue


async def read(queue: TextQueue) -> list[str]:
    return [piece async for piece in queue]


def test_pieces_come_out_as_they_went_in() -> None:
    async def run() -> None:
        queue = TextQueue(100)
        reader = asyncio.create_task(read(queue))
        for piece in ("Hé", "", "llo"):
            await queue.put(piece)
            await asyncio.sleep(0)
        assert not queue.closed
        queue.close()
        assert await reader == ["Hé", "llo"]
        assert (queue.characters, queue.utf8_bytes) == (5, 6)

    asyncio.run(run())


def test_a_writer_waits_for_a_slow_reader() -> None:
    async def run() -> None:
        queue = TextQueue(10 * MOST_WAITING)
        await queue.put("x" * MOST_WAITING)
        writer = asyncio.create_task(queue.put("y"))
        await asyncio.sleep(0.01)
        assert not writer.done()
        assert await anext(queue) == "x" * MOST_WAITING
        await writer
        assert await anext(queue) == "y"

    asyncio.run(run())


def test_closing_frees_a_waiting_writer_and_loses_nothing_that_was_put() -> None:
    async def run() -> None:
        queue = TextQueue(10 * MOST_WAITING)
        await queue.put("x" * MOST_WAITING)
        writer = asyncio.create_task(queue.put("y"))
        await asyncio.sleep(0)
        queue.close()
        await writer
        assert await read(queue) == ["x" * MOST_WAITING]

    asyncio.run(run())


def test_too_much_text_is_refused() -> None:
    async def run() -> None:
        queue = TextQueue(5)
        await queue.put("12345")
        with pytest.raises(ApiError) as caught:
            await queue.put("6")
        assert caught.value.problem.kind is Kind.TOO_LARGE

    asyncio.run(run())


def test_a_failure_overtakes_what_is_left() -> None:
    async def run() -> None:
        queue = TextQueue(100)
        await queue.put("never read")
        queue.fail(ValueError("the client went wrong"))
        with pytest.raises(ValueError, match="went wrong"):
            await read(queue)

    asyncio.run(run())
