"""What can go wrong in a request, without saying how a dialect writes it down.

Dialect code raises `ApiError` or lets the errors of `cosy.errors` pass; `problem_of` turns either into a `Problem`,
and the dialect that claims the path gives that its body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException

from cosy.errors import (
    AudioError,
    CosyError,
    EngineError,
    InputError,
    OverloadedError,
    TextError,
    UnknownVoiceError,
)
from cosy.server.store.errors import UnknownRecordError


class Kind(str, Enum):
    """Classes of failures; also the label `kind` of the error metric."""

    INVALID = "invalid"
    UNKNOWN_VOICE = "unknown_voice"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD = "method"
    TOO_LARGE = "too_large"
    BAD_AUDIO = "bad_audio"
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    INTERNAL = "internal"


STATUS = {
    Kind.INVALID: 400,
    Kind.UNKNOWN_VOICE: 400,
    Kind.UNAUTHORIZED: 401,
    Kind.FORBIDDEN: 403,
    Kind.NOT_FOUND: 404,
    Kind.METHOD: 405,
    Kind.TOO_LARGE: 413,
    Kind.BAD_AUDIO: 400,
    Kind.RATE_LIMITED: 429,
    Kind.OVERLOADED: 503,
    Kind.INTERNAL: 500,
}
KINDS = {  # of what FastAPI and Starlette raise by themselves
    401: Kind.UNAUTHORIZED,
    403: Kind.FORBIDDEN,
    404: Kind.NOT_FOUND,
    405: Kind.METHOD,
    413: Kind.TOO_LARGE,
    429: Kind.RATE_LIMITED,
    503: Kind.OVERLOADED,
}
BUG = "the server failed; its log tells more under this request id"


@dataclass(frozen=True)
class Problem:
    """One failure, ready to be put into words."""

    kind: Kind
    status: int  # of HTTP
    message: str  # for people; never holds the text to speak
    param: str = ""  # the field at fault, where one is
    retry_after_s: float | None = None
    details: tuple[dict[str, Any], ...] = ()  # of FastAPI's validation: type, loc, msg


class ApiError(Exception):
    """Raised where a request is found to be at fault; carries its `Problem`."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        param: str = "",
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.problem = Problem(kind, status or STATUS[kind], message, param, retry_after_s)


def problem_of(error: BaseException) -> Problem:
    """What to tell the client of an exception; of one nobody foresaw, nothing but that it happened."""
    if isinstance(error, ApiError):
        return error.problem
    if isinstance(error, RequestValidationError | WebSocketRequestValidationError):
        return _of_validation(error)
    if isinstance(error, HTTPException):
        kind = KINDS.get(error.status_code, Kind.INVALID if error.status_code < 500 else Kind.INTERNAL)
        return Problem(kind, error.status_code, str(error.detail))
    if isinstance(error, OverloadedError):
        return Problem(Kind.OVERLOADED, 503, str(error), retry_after_s=error.retry_after_s)
    if isinstance(error, CosyError):
        return _of_cosy(error)
    return Problem(Kind.INTERNAL, 500, BUG)


def _of_cosy(error: CosyError) -> Problem:
    if isinstance(error, UnknownVoiceError):
        return Problem(Kind.UNKNOWN_VOICE, 400, str(error), "voice")
    if isinstance(error, UnknownRecordError):
        return Problem(Kind.NOT_FOUND, 404, str(error))
    if isinstance(error, AudioError):
        return Problem(Kind.BAD_AUDIO, 400, str(error))
    if isinstance(error, TextError):
        return Problem(Kind.INVALID, 400, str(error), "text")
    if isinstance(error, InputError):
        return Problem(Kind.INVALID, 400, str(error))
    if isinstance(error, EngineError):
        return Problem(Kind.INTERNAL, 500, str(error))
    return Problem(Kind.INTERNAL, 500, BUG)  # a model directory, a missing package: not the client's business


def _of_validation(error: RequestValidationError | WebSocketRequestValidationError) -> Problem:
    details = tuple({key: each.get(key) for key in ("type", "loc", "msg")} for each in error.errors())
    places = [".".join(str(part) for part in each["loc"][1:]) for each in details]
    told = "; ".join(
        f"{place}: {each['msg']}" if place else str(each["msg"]) for place, each in zip(places, details, strict=True)
    )
    return Problem(Kind.INVALID, 400, told, places[0] if places else "", details=details)
