"""Admission: rates, places, the queue, and what the client is told."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from cosy.server.auth import Caller
from cosy.server.errors import ApiError, Kind
from cosy.server.limits import Limits
from cosy.server.settings import Settings
from tests.server.calls import eventually, open_stream, speak
from tests.server.conftest import Serve
from tests.server.fake import FakeEngine

ANYBODY = Caller()
LONG = "A text that takes a while to speak. " * 20


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limits(clock: Clock | None = None, **settings: Any) -> Limits:
    return Limits(Settings(**settings), clock or Clock())


def test_a_bucket_refills_with_time() -> None:
    clock, caller = Clock(), Caller("k", requests_per_minute=2)
    some = limits(clock)
    some.count(caller)
    some.count(caller)
    with pytest.raises(ApiError) as caught:
        some.count(caller)
    assert caught.value.problem.kind is Kind.RATE_LIMITED
    assert caught.value.problem.retry_after_s == pytest.approx(30)
    clock.now = 30.0
    some.count(caller)


def test_a_bucket_never_holds_more_than_a_minute() -> None:
    clock, caller = Clock(), Caller("k", requests_per_minute=2)
    some = limits(clock)
    clock.now = 1e6
    some.count(caller)
    some.count(caller)
    with pytest.raises(ApiError):
        some.count(caller)


def test_keys_have_buckets_of_their_own_and_callers_without_key_have_none() -> None:
    some = limits()
    some.count(Caller("a", requests_per_minute=1))
    some.count(Caller("b", requests_per_minute=1))
    for _ in range(9):
        some.count(ANYBODY)


def test_a_key_has_so_many_answers_at_once() -> None:
    async def run() -> None:
        some, caller = limits(), Caller("k", requests_at_once=1)
        await some.enter(caller)
        with pytest.raises(ApiError, match="may not have more") as caught:
            await some.enter(caller)
        assert caught.value.problem.status == 429
        some.leave(caller)
        await some.enter(caller)

    asyncio.run(run())


def test_whoever_waits_longest_gets_the_next_place() -> None:
    async def run() -> None:
        some, order = limits(max_active=1), []
        await some.enter(ANYBODY)

        async def wait(name: str) -> None:
            await some.enter(ANYBODY)
            order.append(name)
            some.leave(ANYBODY)

        tasks = [asyncio.create_task(wait(name)) for name in "abc"]
        await asyncio.sleep(0)
        assert (some.active, some.queued) == (1, 3)
        some.leave(ANYBODY)
        await asyncio.gather(*tasks)
        assert order == ["a", "b", "c"]
        assert (some.active, some.queued) == (0, 0)

    asyncio.run(run())


def test_waiting_has_an_end() -> None:
    async def run() -> None:
        some = limits(max_active=1, queue_timeout_s=0.01)
        await some.enter(ANYBODY)
        with pytest.raises(ApiError, match=r"within 0\.01 s"):
            await some.enter(ANYBODY)
        assert (some.active, some.queued) == (1, 0)

    asyncio.run(run())


def test_one_who_gives_up_gives_the_place_on() -> None:
    async def run() -> None:
        some = limits(max_active=1)
        await some.enter(ANYBODY)
        first, second = (asyncio.create_task(some.enter(ANYBODY)) for _ in range(2))
        await asyncio.sleep(0)
        some.leave(ANYBODY)  # the place is the first one's now ...
        first.cancel()  # ... who goes before knowing
        await second
        assert (some.active, some.queued) == (1, 0)

    asyncio.run(run())


def test_draining_sends_everybody_away() -> None:
    async def run() -> None:
        some = limits(max_active=1)
        await some.enter(ANYBODY)
        waiting = asyncio.create_task(some.enter(ANYBODY))
        await asyncio.sleep(0)
        some.drain()
        for late in (waiting, some.enter(ANYBODY)):
            with pytest.raises(ApiError, match="shutting down"):
                await late
        some.leave(ANYBODY)
        assert some.active == 0

    asyncio.run(run())


SHAPES = {  # path -> a request for speech, and how its dialect says what went wrong
    "/v1/audio/speech": ({"json": {"model": "tts-1", "voice": "alloy", "input": "Hi."}}, ("error", "message")),
    "/inference_sft": ({"data": {"tts_text": "Hi.", "spk_id": "alex"}}, ("detail",)),
    "/synthesize": ({"data": {"text": "Hi."}}, ("detail",)),
}


@pytest.mark.parametrize("path", SHAPES)
def test_overload_is_told_in_the_shape_of_the_dialect(path: str, serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.05), max_active=1, max_queued=0)
    request, keys = SHAPES[path]
    with open_stream(served.url, LONG):
        eventually(lambda: served.engine.running == 1)
        answer = httpx.post(served.url + path, **request)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    told = answer.json()
    for key in keys:
        told = told[key]
    assert "overloaded" in told


def test_the_queue_lets_a_request_wait_for_its_turn(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02), max_active=1, max_queued=1)
    with open_stream(served.url, "Hello there, this takes some time."):
        eventually(lambda: served.engine.running == 1)
        assert speak(served.url).status_code == 200
    assert served.engine.aborted == 0


def test_one_who_hangs_up_in_the_queue_leaves_it(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.05), max_active=1, max_queued=1)
    crowd = served.parts.app.state.context.limits
    with open_stream(served.url, LONG):
        eventually(lambda: crowd.active == 1)
        waiting = open_stream(served.url, LONG)
        eventually(lambda: crowd.queued == 1)
        waiting.close()
        eventually(lambda: crowd.queued == 0)
    assert len(served.engine.requests) == 1


def test_a_text_that_is_too_long_is_refused(serve: Serve) -> None:
    answer = speak(serve(max_text_characters=10).url, "x" * 11)
    assert answer.status_code in (400, 413)
    assert "at most 10" in answer.json()["error"]["message"]
