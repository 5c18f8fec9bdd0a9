"""A request on its way out, over a real connection: first audio, failures, clients that leave."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import wave
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from cosy.errors import EngineError, OverloadedError, TextError, VoiceError
from cosy.server.auth import Caller
from cosy.server.context import Context
from cosy.server.errors import ApiError
from cosy.server.speech import Speech
from cosy.server.text import TextQueue
from cosy.types import SpeechRequest
from tests.server.calls import SPEECH, body, eventually, metric, open_stream, reset, speak, stream_until_cut
from tests.server.conftest import Serve
from tests.server.fake import FakeEngine, make_parts

LONG = "A text that takes a while to speak. " * 50


def in_app(
    folder: Path, run: Callable[[Context], Awaitable[None]], engine: FakeEngine | None = None, **settings: Any
) -> None:
    """Run a coroutine with an app's context, in a loop of its own."""
    with make_parts(folder, engine, **settings) as parts:
        asyncio.run(run(parts.app.state.context))  # type: ignore[arg-type]


async def opened(context: Context, text: object = "Hello there.", length: str = "unknown", **request: Any) -> Speech:
    wanted = SpeechRequest(text, voice="alex", **{"format": "pcm", **request})  # type: ignore[arg-type]
    return await Speech.open(context, Caller(), wanted, dialect="test", request_id="r1", length=length)  # type: ignore[arg-type]


def test_a_speech_tells_what_was_spoken(tmp_path: Path) -> None:
    async def run(context: Context) -> None:
        async with await opened(context, seed=3) as speech:
            packets = [packet async for packet in speech]
        assert packets[-1].last
        assert speech.audio_s == pytest.approx(0.96)
        assert (speech.text_tokens, speech.speech_tokens, speech.seed, speech.characters) == (12, 24, 3, 12)
        [sentence] = speech.sentences
        assert (sentence.text, sentence.start_s, round(sentence.end_s, 3)) == ("Hello there.", 0.0, 0.96)

    in_app(tmp_path, run)


@pytest.mark.parametrize("length", ["known", "unknown"])
def test_a_wav_that_is_read_whole_states_its_length(length: str, tmp_path: Path) -> None:
    async def run(context: Context) -> None:
        async with await opened(context, length=length, format="wav") as speech:
            data = await speech.read()
        with wave.open(BytesIO(data)) as file:
            assert file.getnframes() == round(0.96 * 24_000)
        assert len(data) == 44 + 2 * round(0.96 * 24_000)

    in_app(tmp_path, run)


@pytest.mark.parametrize(("format", "labelled"), [("flac", True), ("opus", True), ("wav", False), ("mp3", False)])
def test_whole_files_are_labelled_where_there_is_room(format: str, labelled: bool, tmp_path: Path) -> None:
    async def run(context: Context) -> None:
        async with await opened(context, length="known", format=format) as speech:
            data = await speech.read()
        with av.open(BytesIO(data)) as file:
            told = {**file.metadata, **file.streams.audio[0].metadata}
        assert ("AI-generated" in str(told)) is labelled

    in_app(tmp_path, run, ai_label=True)


@pytest.mark.parametrize(("format", "labelled"), [("flac", True), ("opus", False)])
def test_of_what_is_sent_in_parts_only_flac_is_a_whole_file(format: str, labelled: bool, tmp_path: Path) -> None:
    async def run(context: Context) -> None:
        async with await opened(context, format=format) as speech:
            data = b"".join([packet.data async for packet in speech])
        assert (b"AI-generated" in data) is labelled

    in_app(tmp_path, run, ai_label=True)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", TextError, "is empty"),
        (" \n", TextError, "is empty"),
        ("a\ud800", TextError, "half"),
        ("x" * 51, ApiError, "at most 50"),
    ],
)
def test_a_text_that_cannot_be_spoken_never_reaches_the_engine(
    text: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    engine = FakeEngine()

    async def run(context: Context) -> None:
        with pytest.raises(error, match=message):
            await opened(context, text)

    in_app(tmp_path, run, engine, max_text_characters=50)
    assert engine.requests == []


def test_text_goes_in_while_audio_comes_out(tmp_path: Path) -> None:
    async def run(context: Context) -> None:
        text = TextQueue(100)
        await text.put("Hello ")
        async with await opened(context, text) as speech:
            first = await anext(speech)
            assert (first.text, first.last) == ("Hello ", False)
            await text.put("there.")
            text.close()
            rest = [packet async for packet in speech]
        assert rest[-1].last
        assert [sentence.text for sentence in speech.sentences] == ["Hello ", "there."]
        assert speech.characters == 12

    in_app(tmp_path, run)


def test_closing_a_speech_stops_the_engine_and_frees_whoever_writes_text(tmp_path: Path) -> None:
    engine = FakeEngine()

    async def run(context: Context) -> None:
        text = TextQueue(10**6)
        await text.put("Hello ")
        speech = await opened(context, text)
        await text.put("x" * 10_000)
        writer = asyncio.create_task(text.put("y"))
        await asyncio.sleep(0)
        await speech.aclose()
        await speech.aclose()
        await writer
        assert (engine.running, engine.aborted, context.limits.active) == (0, 1, 0)
        assert len(asyncio.all_tasks()) == 1

    in_app(tmp_path, run, engine)


def test_a_cancelled_speech_waits_until_the_engine_has_let_go(tmp_path: Path) -> None:
    engine = FakeEngine(delay_s=0.01)

    async def run(context: Context) -> None:
        async def listen() -> None:
            async with await opened(context, LONG) as speech:
                async for _ in speech:
                    pass

        task = asyncio.create_task(listen())
        while not engine.made:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (engine.running, engine.aborted, context.limits.active) == (0, 1, 0)

    in_app(tmp_path, run, engine)


def test_a_slow_reader_holds_the_engine_back(tmp_path: Path) -> None:
    engine = FakeEngine()

    async def run(context: Context) -> None:
        async with await opened(context, LONG):
            await asyncio.sleep(0.05)
            assert engine.made <= 5

    in_app(tmp_path, run, engine)


def test_the_first_bytes_come_before_the_rest_is_made(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.05))
    with httpx.stream("POST", served.url + SPEECH, json=body(LONG)) as answer:
        next(answer.iter_raw())
        assert served.engine.made < 5
        assert answer.headers["x-accel-buffering"] == "no"
        assert answer.headers["x-sample-rate"] == "24000"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TextError("cannot be spoken"), 400),
        (VoiceError("damaged"), 400),
        (OverloadedError("full", 3.2), 503),
        (EngineError("a stage failed"), 500),
        (RuntimeError("secret details"), 500),
    ],
)
def test_an_error_before_the_first_audio_has_its_status(error: Exception, status: int, serve: Serve) -> None:
    answer = speak(serve(FakeEngine(error=error)).url)
    assert answer.status_code == status
    assert "secret" not in answer.text
    assert answer.headers.get("retry-after") == ("4" if status == 503 else None)


def test_an_error_in_mid_stream_cuts_the_connection(serve: Serve) -> None:
    served = serve(FakeEngine(error=EngineError("a stage failed"), fail_at=5))
    assert stream_until_cut(served.url, LONG)
    eventually(lambda: metric(served.url, 'cosy_errors_total{dialect="openai",kind="internal"}') == 1)


def test_a_client_that_hangs_up_stops_the_engine_within_a_chunk(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.05))
    connection = open_stream(served.url, LONG)
    connection.recv(100)
    made = served.engine.made
    reset(connection)
    eventually(lambda: served.engine.running == 0)
    assert served.engine.aborted == 1
    assert served.engine.made <= made + 2


def test_a_client_that_hangs_up_before_the_first_audio_is_noticed_too(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=30))
    connection = open_stream(served.url, LONG)
    eventually(lambda: served.engine.running == 1)
    connection.close()
    eventually(lambda: served.engine.running == 0)
    assert served.engine.made == 0


def test_a_client_that_waits_for_a_whole_file_can_hang_up_too(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.05))
    connection = open_stream(served.url, LONG, stream=False, response_format="wav")
    eventually(lambda: served.engine.made > 0)
    connection.close()
    eventually(lambda: served.engine.running == 0)


def test_a_client_that_stops_reading_is_cut_off(serve: Serve) -> None:
    served = serve(stall_s=0.2)
    with open_stream(served.url, LONG * 100):
        eventually(lambda: served.engine.made > 0)
        eventually(lambda: served.engine.running == 0)
    assert served.engine.aborted == 1


@pytest.mark.slow
def test_five_hundred_abrupt_ends_leave_nothing_behind(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.002))
    speak(served.url)  # what is made at first use is made now
    loop = served.engine.loop
    assert loop is not None

    def held() -> tuple[int, int, int]:
        threads = [thread for thread in threading.enumerate() if "AnyIO" not in thread.name]  # a pool of bounded size
        return len(asyncio.all_tasks(loop)), len(threads), len(os.listdir("/proc/self/fd"))

    def quiet() -> bool:
        return served.engine.running == 0 and not served.parts.app.state.context.limits.active

    eventually(quiet)
    gc.collect()
    before, objects = held(), len(gc.get_objects())
    for number in range(500):
        connection = open_stream(served.url, LONG)
        if number % 2:
            connection.recv(100)
        reset(connection)
    eventually(quiet)
    gc.collect()
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)))
    assert len(gc.get_objects()) < objects + 2250  # the fake engine keeps its requests; two more each would show
    assert served.engine.finished + served.engine.aborted == len(served.engine.requests)
    assert speak(served.url).status_code == 200
