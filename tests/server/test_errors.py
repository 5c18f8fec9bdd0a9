"""Every failing route answers in the shape of the dialect that claims its path."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from cosy.errors import (
    AbortedError,
    AudioError,
    CheckpointError,
    CosyError,
    EngineError,
    OverloadedError,
    ParameterError,
    TextError,
    UnknownVoiceError,
    VoiceError,
)
from cosy.server.errors import STATUS, ApiError, Kind, problem_of
from cosy.server.store.errors import DatabaseError, UnknownRecordError
from tests.server.calls import body
from tests.server.conftest import Serve

OPENAI = {"code", "message", "data", "error"}
PAI = {"code", "message", "data"}
DASHSCOPE = {"code", "message", "request_id"}
DETAIL = {"detail"}


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (ApiError(Kind.BAD_AUDIO, "x"), Kind.BAD_AUDIO, 400),
        (ApiError(Kind.INVALID, "x", status=422), Kind.INVALID, 422),
        (UnknownVoiceError("x"), Kind.UNKNOWN_VOICE, 400),
        (VoiceError("x"), Kind.INVALID, 400),
        (TextError("x"), Kind.INVALID, 400),
        (ParameterError("x"), Kind.INVALID, 400),
        (AudioError("x"), Kind.BAD_AUDIO, 400),
        (UnknownRecordError("x"), Kind.NOT_FOUND, 404),
        (OverloadedError("x", 2.0), Kind.OVERLOADED, 503),
        (AbortedError("x"), Kind.INTERNAL, 500),
        (EngineError("x"), Kind.INTERNAL, 500),
        (HTTPException(404), Kind.NOT_FOUND, 404),
        (HTTPException(405), Kind.METHOD, 405),
        (HTTPException(413), Kind.TOO_LARGE, 413),
        (HTTPException(418), Kind.INVALID, 418),
        (
            RequestValidationError([{"type": "missing", "loc": ("body", "x"), "msg": "Field required"}]),
            Kind.INVALID,
            400,
        ),
    ],
)
def test_each_error_has_its_kind_and_status(error: Exception, kind: Kind, status: int) -> None:
    assert (problem_of(error).kind, problem_of(error).status) == (kind, status)


@pytest.mark.parametrize(
    "error",
    [ValueError("/etc/x"), KeyError("/etc/x"), CheckpointError("/etc/x"), DatabaseError("/etc/x"), CosyError("/etc/x")],
)
def test_the_insides_of_the_server_are_not_told(error: Exception) -> None:
    assert problem_of(error).kind is Kind.INTERNAL
    assert "/etc/x" not in problem_of(error).message


def test_every_kind_has_a_status() -> None:
    assert set(STATUS) == set(Kind)


def test_a_validation_error_names_its_fields() -> None:
    missing = {"type": "missing", "loc": ("body", "input"), "msg": "Field required", "input": "the text"}
    problem = problem_of(RequestValidationError([missing]))
    assert (problem.message, problem.param) == ("input: Field required", "input")
    assert "the text" not in str(problem)


@pytest.mark.parametrize(
    ("method", "path", "status", "keys"),
    [
        ("GET", "/nothing", 404, {"detail", "request_id"}),
        ("GET", "/v1/nothing", 404, OPENAI),
        ("GET", "/v1/audio/speech", 405, OPENAI),
        ("GET", "/audio/speech", 405, OPENAI),
        ("DELETE", "/v1/models", 405, OPENAI),
        ("GET", "/api/v1/audio/nothing", 404, PAI),
        ("PUT", "/api/v1/audio/reference_audio", 405, PAI),
        ("GET", "/api/v1/services/audio/tts/customization", 405, DASHSCOPE),
        ("GET", "/api/v1/services/nothing", 404, DASHSCOPE),
        ("DELETE", "/inference_sft", 405, DETAIL),
        ("GET", "/inference_nothing", 404, DETAIL),
        ("GET", "/synthesize", 405, DETAIL),
        ("POST", "/health", 405, DETAIL),
    ],
)
def test_unknown_paths_and_methods(method: str, path: str, status: int, keys: set[str], serve: Serve) -> None:
    answer = httpx.request(method, serve().url + path, headers={"Origin": "http://page"})
    assert (answer.status_code, set(answer.json())) == (status, keys)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-request-id"]
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/v1/audio/speech", OPENAI),
        ("/v1/uploads/audio/voice", OPENAI),
        ("/api/v1/audio/speech", PAI),
        ("/api/v1/services/audio/tts/SpeechSynthesizer", DASHSCOPE),
        ("/inference_sft", DETAIL),
        ("/synthesize", DETAIL),
    ],
)
@pytest.mark.parametrize("stated", [True, False])
def test_a_body_that_is_too_large(path: str, keys: set[str], stated: bool, serve: Serve) -> None:
    content: Any = b'{"x": "' + b"x" * 2000 + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = httpx.post(
        serve(max_body_bytes=1024, max_upload_bytes=1024).url + path,
        content=content if stated else iter([content]),
        headers=headers,
    )
    assert (answer.status_code, set(answer.json())) == (413, keys)


def test_a_slash_too_much_is_not_a_redirect(serve: Serve) -> None:
    answer = httpx.post(serve().url + "/v1/audio/speech/", json=body())
    assert answer.status_code == 200


def test_half_a_character_in_a_message_does_not_break_the_answer(serve: Serve) -> None:
    content = b'{"model": "tts-1", "voice": "\\ud800", "input": "x"}'
    answer = httpx.post(serve().url + "/v1/audio/speech", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400


def test_the_page_about_the_api_loads_nothing_from_elsewhere(serve: Serve) -> None:
    page = httpx.get(serve().url + "/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "/v1/audio/speech" in page.text
    assert "://" not in page.text
    assert "src=" not in page.text


def test_the_description_of_the_api_is_there(serve: Serve) -> None:
    description = httpx.get(serve().url + "/openapi.json").json()
    assert {"/v1/audio/speech", "/synthesize", "/inference_sft"} <= set(description["paths"])
