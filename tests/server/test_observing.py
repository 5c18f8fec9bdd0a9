"""Metrics, log lines, usage: what they say, and what they never say."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
from websockets.sync.client import connect

from cosy.server import logs
from cosy.server.boundary import Visit
from tests.server.calls import eventually, metric, open_stream, reset, speak
from tests.server.conftest import Serve
from tests.server.fake import FakeEngine

SECRET_TEXT = "Nobody may read these words in a log."


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the server logs, with all logging as it was afterwards."""
    names = ("cosy", "uvicorn", "alembic")
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in names}
    levels = {name: logging.getLogger(name).level for name in names}
    stream = io.StringIO()
    logs.set_up("debug", stream)
    yield stream
    for name in names:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = before[name]
        logger.setLevel(levels[name])


def lines(log: io.StringIO, event: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in found if line["event"] == event]


def test_a_finished_speech_is_one_line_with_everything_but_the_text(serve: Serve, log: io.StringIO) -> None:
    served = serve()
    answer = speak(served.url, SECRET_TEXT, instructions="Whisper the secret instruction.")
    eventually(lambda: bool(lines(log, "speech")))
    [line] = lines(log, "speech")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert (line["dialect"], line["voice"], line["outcome"], line["characters"]) == ("openai", "alex", "ok", 37)
    assert line["audio_s"] == pytest.approx(2.96)
    assert line["first_chunk_ms"] > 0
    assert line["rtf"] > 0
    assert lines(log, "request") == []
    assert "Nobody" not in log.getvalue()
    assert "Whisper" not in log.getvalue()


def test_a_refused_request_is_one_line_with_its_status(serve: Serve, log: io.StringIO) -> None:
    answer = httpx.post(serve().url + "/v1/audio/speech?token=hush", json={"input": SECRET_TEXT})
    [line] = lines(log, "request")
    assert (line["status"], line["method"], line["path"]) == (400, "POST", "/v1/audio/speech")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "Nobody" not in log.getvalue()
    assert "hush" not in log.getvalue()


def test_a_key_in_the_address_of_a_socket_is_not_logged(serve: Serve, log: io.StringIO) -> None:
    with connect(serve(api_keys=["hush-hush"]).ws_url + "/api-ws/v1/audio/speech?token=hush-hush"):
        pass
    eventually(lambda: bool(lines(log, "request")))
    assert lines(log, "request")[0]["status"] == 101
    assert "hush" not in log.getvalue()


def test_a_bug_is_logged_with_its_place_and_told_without(serve: Serve, log: io.StringIO) -> None:
    answer = speak(serve(FakeEngine(error=RuntimeError("the inside"))).url, SECRET_TEXT)
    assert answer.status_code == 500
    assert "the inside" not in answer.text
    failures = lines(log, "failure")
    assert failures
    assert all("the inside" in line["traceback"] for line in failures)
    assert failures[0]["request_id"] == answer.headers["x-request-id"]
    assert "Nobody" not in log.getvalue()


def test_probes_are_not_logged(serve: Serve, log: io.StringIO) -> None:
    url = serve().url
    for path in ("/health", "/ready", "/metrics", "/"):
        assert httpx.get(url + path).status_code == 200
    assert lines(log, "request") == []


def test_metrics_tell_what_was_spoken(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.01), api_keys=["k1"], open_metrics=True)
    speak(served.url, "Hallo, schöne Welt.", headers={"X-API-Key": "k1"})
    url = served.url
    eventually(lambda: metric(url, 'cosy_requests_total{dialect="openai",outcome="ok"}') == 1)
    assert metric(url, 'cosy_characters_total{key="static-1"}') == 19
    assert metric(url, 'cosy_text_bytes_total{key="static-1"}') == 20
    assert metric(url, 'cosy_audio_seconds_total{key="static-1"}') == pytest.approx(1.52)
    assert metric(url, 'cosy_first_audio_seconds_count{dialect="openai"}') == 1
    assert metric(url, 'cosy_real_time_factor_count{dialect="openai"}') == 1
    assert metric(url, 'cosy_chunk_slack_seconds_count{dialect="openai"}') == 7
    assert metric(url, 'cosy_underruns_total{dialect="openai"}') == 0
    assert metric(url, "cosy_active_streams") == 0
    assert metric(url, "cosy_queued_requests") == 0
    assert metric(url, 'cosy_engine{stat="chunks"}') == 8


def test_chunks_that_come_too_late_are_underruns(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.25))
    speak(served.url, "12345")
    eventually(lambda: metric(served.url, 'cosy_underruns_total{dialect="openai"}') == 1)


def test_metrics_tell_errors_once_by_dialect_and_class(serve: Serve) -> None:
    url = serve().url
    speak(url, voice="nobody at all")
    httpx.get(url + "/inference_nothing")
    assert metric(url, 'cosy_errors_total{dialect="compute_nest",kind="not_found"}') == 1
    page = httpx.get(url + "/metrics").text
    told = [line for line in page.splitlines() if line.startswith('cosy_errors_total{dialect="openai"')]
    assert told == ['cosy_errors_total{dialect="openai",kind="unknown_voice"} 1.0']


def test_a_client_that_leaves_is_no_error(serve: Serve) -> None:
    served = serve(FakeEngine(delay_s=0.02))
    connection = open_stream(served.url, "A text that takes a while to speak. " * 10)
    connection.recv(10)
    reset(connection)
    eventually(lambda: metric(served.url, 'cosy_requests_total{dialect="openai",outcome="disconnect"}') == 1)
    assert "cosy_errors_total{" not in httpx.get(served.url + "/metrics").text


def test_two_apps_share_no_counts(serve: Serve) -> None:
    first, second = serve(), serve()
    speak(first.url)
    eventually(lambda: metric(first.url, 'cosy_requests_total{dialect="openai",outcome="ok"}') == 1)
    assert metric(second.url, 'cosy_requests_total{dialect="openai",outcome="ok"}') == 0


def test_usage_is_counted_for_the_key(serve: Serve) -> None:
    served = serve(api_keys=["k1"])
    for _ in range(2):
        speak(served.url, "Hé.", headers={"X-API-Key": "k1"})
    eventually(lambda: served.parts.app.state.context.limits.active == 0)

    async def report() -> Any:
        await served.usage.flush()
        return await served.usage.report()

    [row] = anyio.run(report)
    assert (row.key_id, row.requests, row.characters, row.utf8_bytes, row.errors) == ("static-1", 2, 6, 8, 0)
    assert row.audio_s == pytest.approx(0.48)


def test_ready_follows_the_engine(serve: Serve) -> None:
    served = serve(FakeEngine(ready=False))
    answer = httpx.get(served.url + "/ready")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "reason": "the model is loading"})
    served.engine.ready = True
    assert httpx.get(served.url + "/ready").status_code == 200


def test_request_ids_are_ours_and_differ() -> None:
    assert Visit().request_id != Visit().request_id
