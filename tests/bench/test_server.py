"""`cosy bench server`: its load, its clients for each framing, its arithmetic."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest

from cosy.bench.framings import CALLS, DIALOGUES, FRAMINGS, Answer, Framing
from cosy.bench.server import MOST_SOCKETS_BYTES, Heard, Load, Measured, _failures, figures, open_loop
from cosy.bench.standins import SilentEngine, WatchedEngine, first_audio_s
from cosy.cli.bench_server import _await
from cosy.errors import EngineError
from cosy.types import SpeechRequest

COMMAND = [sys.executable, "-c", "from cosy.cli.app import main; main()", "bench", "server"]


class Deaf:
    """A connection that says when it was asked, and answers at once or not at all."""

    def __init__(self, answer: Answer | None) -> None:
        self.answer, self.closed = answer, False

    async def speak(self, text: str) -> Answer:
        await asyncio.sleep(0)
        if self.answer is None:
            raise EngineError("status 503")
        return self.answer

    async def close(self) -> None:
        self.closed = True


def heard_over(answer: Answer | None, requests: int = 20) -> tuple[Heard, list[Deaf]]:
    opened: list[Deaf] = []

    async def connect(url: str) -> Deaf:
        opened.append(Deaf(answer))
        return opened[-1]

    framing = Framing("test", connect)
    return asyncio.run(open_loop(framing, "http://x", Load(1e6, requests, 0))), opened


def answer(**fields: float) -> Answer:
    times = {"first_byte_s": 10.1, "first_audio_s": 10.2, "ended_s": 10.5, **fields}
    return Answer(10.0, **times, request_id="r", audio_bytes=2)  # type: ignore[arg-type]


def test_connections_are_kept_for_later_requests_and_closed_in_the_end() -> None:
    heard, opened = heard_over(answer())
    assert (len(heard.answers), heard.errors, heard.connections) == (20, [], len(opened))
    assert len(opened) < 20
    assert all(connection.closed for connection in opened)


def test_a_refusal_is_an_error_of_the_table() -> None:
    heard, _ = heard_over(None)
    assert (heard.answers, heard.errors) == ([], ["status 503"] * 20)


def test_an_answer_without_audio_is_an_error() -> None:
    heard, _ = heard_over(Answer(10.0))
    assert heard.errors == ["an answer without audio"] * 20


@pytest.mark.parametrize(("whole", "added_s"), [(False, 0.2 - 0.15), (True, 0.5 - 0.45)])
def test_what_is_added_is_counted_from_the_engines_first_or_last_audio(whole: bool, added_s: float) -> None:
    framing = Framing("test", FRAMINGS[0].connect, whole)
    row = figures(framing, Heard([answer()], cpu_s=0.1), {"r": (0.15, 0.45)})
    assert row["added_s"]["p50"] == pytest.approx(added_s)
    assert row["server_cpu_s"] == 0.1


def event(audio: bytes) -> bytes:
    return b"id:1\ndata:" + json.dumps({"output": {"audio": {"data": b64encode(audio).decode()}}}).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("framing", "body", "audio_bytes"),
    [
        ("OpenAI, raw", b"12", 2),
        ("OpenAI, WAV", bytes(44), 0),
        ("OpenAI, WAV", bytes(46), 2),
        ("DashScope, SSE", event(b""), 0),
        ("DashScope, SSE", event(b"") + event(b"12")[:-1], 0),
        ("DashScope, SSE", event(b"") + event(b"12"), 2),
    ],
)
def test_the_first_audio_is_audio_and_not_just_the_first_of_the_body(
    framing: str, body: bytes, audio_bytes: int
) -> None:
    assert CALLS[framing].audio_of(body) == audio_bytes


def test_a_socket_whose_task_fails_is_an_error() -> None:
    failure = {"header": {"event": "task-failed", "error_code": "E", "error_message": "no", "attributes": {}}}
    with pytest.raises(EngineError, match="E: no"):
        DIALOGUES["DashScope, socket"].read(Answer(0.0), json.dumps(failure))


def test_missing_the_goals_is_a_failure() -> None:
    slow = figures(FRAMINGS[0], Heard([answer()]), {"r": (0.15, 0.45)})
    assert _failures([slow], {"/a": int(MOST_SOCKETS_BYTES)}) == [
        "OpenAI, raw: 50.00 ms were added, at most 3.00 are wanted"
    ]
    assert _failures([{**slow, "whole": True}], {"/a": 60_000_000}) == ["idle sockets at /a took more than 50 MB"]
    failed = figures(FRAMINGS[0], Heard(errors=["no"]), {})
    assert _failures([failed], {}) == ["OpenAI, raw: 1 of 1 failed"]


def test_memory_and_processor_time_are_those_of_the_process() -> None:
    this = Measured("", os.getpid(), {}, [])
    assert 10e6 < this.resident_bytes() < 100e9
    assert 0 < this.cpu_s() < 1e6


def test_the_silent_engine_waits_for_the_end_of_the_text() -> None:
    async def run() -> list[int]:
        made: list[int] = []

        async def pieces() -> AsyncIterator[str]:
            yield "one"
            await asyncio.sleep(0)
            made.append(-1)

        async for chunk in SilentEngine().stream(SpeechRequest(pieces())):
            made.append(chunk.offset_samples)
        return made

    assert asyncio.run(run()) == [0, 4800, 9600, 14400, -1, 19200]


def test_a_watched_engine_tells_what_each_request_took() -> None:
    told: list[tuple[str, float, float]] = []

    async def run() -> None:
        watched = WatchedEngine(SilentEngine(), lambda *values: told.append(values))
        async for _ in watched.stream(SpeechRequest("a"), "id"):
            await asyncio.sleep(0.01)

    asyncio.run(run())
    [(name, first_s, last_s)] = told
    assert name == "id"
    assert 0 < first_s < 0.01 < last_s


def test_the_engine_alone_answers_at_once() -> None:
    assert max(asyncio.run(first_audio_s(SilentEngine(), SpeechRequest("a"), 3))) < 0.1


@pytest.mark.slow
def test_every_framing_is_measured_and_the_last_line_is_json() -> None:
    options = ["--requests", "3", "--arrivals", "100", "--sockets", "10"]
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (0, 1), done.stderr  # 1: this machine is busy with other tests
    report = json.loads(done.stdout.splitlines()[-1])
    assert [row["framing"] for row in report["results"]] == [framing.name for framing in FRAMINGS]
    assert all((row["requests"], row["errors"]) == (3, 0) for row in report["results"])
    assert all(row["added_s"]["p50"] > 0 for row in report["results"])
    assert report["settings"]["engine_alone_s"]["p50"] < 0.01
    assert max(report["settings"]["idle_sockets_bytes"].values()) < 20e6


def test_a_server_that_does_not_start_is_an_error_with_its_last_word() -> None:
    async def events() -> AsyncIterator[dict[str, str]]:
        yield {"event": "", "text": "Traceback (most recent call last):"}
        yield {"event": "", "text": "cosy.errors.MissingFileError: no such model"}

    with pytest.raises(EngineError, match="no such model"):
        asyncio.run(_await(events(), "listening"))
