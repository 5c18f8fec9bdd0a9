"""Failures as the caller meets them: of error bodies, and of servers that do not hold to anything."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cosy.client import AuthenticationError, Client, InterruptedAnswerError, UnreachableError
from cosy.client.errors import error_of, pause_before_retry
from cosy.client.results import WholeSamples
from cosy.errors import (
    AudioError,
    CosyError,
    EngineError,
    InputError,
    OverloadedError,
    ParameterError,
    TextError,
    UnknownVoiceError,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: audio/pcm\r\nX-Sample-Rate: 24000\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
BUSY = b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"


@contextmanager
def answers(*replies: bytes, hold: bool = False) -> Iterator[str]:
    """A server that gives each connection the next of these answers and hangs up, or with `hold` falls silent."""
    listener = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        for reply in replies:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.recv(65536)
            connection.sendall(reply)
            held.append(connection)
            if not hold:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(5)
        for connection in held:
            connection.close()


def openai_body(code: str, param: str | None = None) -> dict[str, Any]:
    return {"code": 20015, "message": "m", "error": {"message": "m", "code": code, "param": param}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, openai_body("invalid_voice", "voice"), UnknownVoiceError),
        (404, openai_body("voice_not_found"), UnknownVoiceError),
        (400, openai_body("invalid_value", "input"), TextError),
        (413, openai_body("too_large", "input"), TextError),
        (413, openai_body("too_large"), InputError),
        (400, openai_body("invalid_value", "speed"), ParameterError),
        (400, openai_body("invalid_value", "audio_sample"), AudioError),
        (400, openai_body("invalid_value", "references.0.audio"), AudioError),
        (401, openai_body("invalid_api_key"), AuthenticationError),
        (403, {"detail": "m"}, AuthenticationError),
        (404, {"detail": "m"}, ParameterError),
        (429, openai_body("rate_limit_exceeded"), OverloadedError),
        (500, openai_body("internal"), EngineError),
    ],
)
def test_every_error_body_becomes_its_exception(status: int, body: dict[str, Any], kind: type[CosyError]) -> None:
    error = error_of(status, {}, json.dumps(body).encode())
    assert type(error) is kind
    assert str(error) == "m"


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"\xff\xfe", b"[1]", b"null", b'"Invalid token"'])
def test_a_body_that_is_no_error_body_still_makes_a_message(body: bytes) -> None:
    assert str(error_of(502, {}, body))


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("0.5", 0.5), ("Wed, 21 Oct 2026 07:28:00 GMT", 1.0)])
def test_an_overloaded_server_says_when_to_come_back(header: str, seconds: float) -> None:
    error = error_of(503, {"retry-after": header}, b"")
    assert isinstance(error, OverloadedError)
    assert error.retry_after_s == seconds


def test_only_what_may_pass_is_worth_another_try() -> None:
    assert pause_before_retry(OverloadedError("", 3.0), 0, retries=1) == 3.0
    assert pause_before_retry(OverloadedError("", 3.0), 1, retries=1) is None
    assert pause_before_retry(UnreachableError(""), 0, retries=1) is not None
    assert pause_before_retry(InterruptedAnswerError(""), 0, retries=1) is None
    assert pause_before_retry(ParameterError(""), 0, retries=1) is None


def test_nothing_is_sent_again_unless_asked_for() -> None:
    done = HEAD + b"Content-Length: 4\r\n\r\nabcd"
    with answers(BUSY, done) as url, Client(url) as client, pytest.raises(OverloadedError):
        client.speech("Hello.", "anna")
    with answers(BUSY, done) as url, Client(url, retries=1) as client:
        assert client.speech("Hello.", "anna").audio == b"abcd"


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with Client(f"http://127.0.0.1:{port}") as client, pytest.raises(UnreachableError, match="is the server running"):
        client.health()


def test_a_stream_cut_off_by_the_server_is_an_error_not_an_end() -> None:
    with (
        answers(CHUNKED + b"4\r\nabcd\r\n") as url,
        Client(url) as client,
        client.stream("Hello.", "anna", format="pcm") as stream,
        pytest.raises(InterruptedAnswerError, match="broke the answer off"),
    ):
        list(stream)


def test_a_server_that_falls_silent_is_waited_for_no_longer_than_told() -> None:
    with (
        answers(CHUNKED, hold=True) as url,
        Client(url, timeout_s=0.1) as client,
        client.stream("Hello.", "anna") as stream,
        pytest.raises(InterruptedAnswerError, match=r"sent nothing for 0\.1 s"),
    ):
        list(stream)


def test_some_other_server_is_told_from_ours() -> None:
    page = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html></html"
    with answers(page) as url, Client(url) as client, pytest.raises(EngineError, match="check base_url"):
        client.voices()


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ParameterError, match="http://"):
        Client("localhost:8000")


def test_samples_are_not_cut_in_two() -> None:
    cut = WholeSamples()
    pieces = [cut.push(piece) for piece in (b"a", b"bc", b"", b"def", b"g", b"h")]
    assert b"".join(pieces) == b"abcdefgh"
    assert all(len(piece) % 2 == 0 for piece in pieces)
