"""The error body of the `/v1` paths: one object that OpenAI's SDKs, SiliconFlow's tools and web pages all read.

    {"code": 20015, "message": "...", "data": null,
     "error": {"message": "...", "type": "invalid_request_error", "param": "voice", "code": "invalid_voice"}}

OpenAI's clients look into `error`; SiliconFlow's look at `code` and `message`, whose values are the provider's own
where it has published them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from cosy.errors import CosyError
from cosy.server.errors import ApiError, Kind, Problem, problem_of

INVALID_NUMBER = 20015  # SiliconFlow's number for whatever is wrong with a request
NO_MODEL_NUMBER = 20012
NO_VOICE_NUMBER = 20052
OVERLOADED_NUMBER = 50505

NO_MODEL = "Model does not exist. Please check it carefully."
NO_VOICE = "Voice or reference audio should be set"
INVALID_VOICE = "Invalid voice"
INVALID_TOKEN = "Invalid token"
OVERLOADED = "Model service overloaded. Please try again later."
RATE_LIMITED = "Request was rejected due to rate limiting."

CODES = {
    Kind.INVALID: "invalid_value",
    Kind.UNKNOWN_VOICE: "invalid_voice",
    Kind.UNAUTHORIZED: "invalid_api_key",
    Kind.FORBIDDEN: "insufficient_permissions",
    Kind.METHOD: "method_not_allowed",
    Kind.TOO_LARGE: "too_large",
    Kind.BAD_AUDIO: "invalid_audio",
    Kind.RATE_LIMITED: "rate_limit_exceeded",
}
TYPES = {
    Kind.RATE_LIMITED: "rate_limit_error",
    Kind.OVERLOADED: "server_error",
    Kind.INTERNAL: "server_error",
}


@dataclass(frozen=True)
class CodedProblem(Problem):
    """A problem for which a provider has a name or a number that its kind does not give."""

    number: int | None = None
    code: str | None = None


class CodedError(ApiError):
    """An ApiError with the provider's own number or code."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        param: str = "",
        *,
        status: int | None = None,
        number: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(kind, message, param, status)
        self.problem = CodedProblem(kind, self.problem.status, message, param, number=number, code=code)


def renamed(error: ApiError | CosyError, param: str) -> ApiError:
    """The same refusal, blaming the field by the name it has in this contract."""
    problem = replace(problem_of(error), param=param)
    found = ApiError(problem.kind, problem.message)
    found.problem = problem
    return found


def not_found(what: str, id: str) -> CodedError:
    """404 for an object that is not there; `what` is a word such as "voice"."""
    return CodedError(Kind.NOT_FOUND, f"there is no {what} with the id {id[:200]!r}", "id", code=f"{what}_not_found")


def error_body(problem: Problem, request_id: str) -> dict[str, Any]:
    """The superset body.  The request id is in the header `X-Request-Id`, where the SDKs look for it."""
    return {"code": _number(problem), "message": _summary(problem), "data": None, "error": error_object(problem)}


def error_object(problem: Problem) -> dict[str, Any]:
    """OpenAI's part of it, also sent as an event of a stream that fails."""
    code = problem.code if isinstance(problem, CodedProblem) else None
    return {
        "message": problem.message,
        "type": TYPES.get(problem.kind, "invalid_request_error"),
        "param": problem.param or None,
        "code": code or CODES.get(problem.kind),
    }


def _number(problem: Problem) -> int:
    if isinstance(problem, CodedProblem) and problem.number:
        return problem.number
    return {400: INVALID_NUMBER, 503: OVERLOADED_NUMBER}.get(problem.status, problem.status)


def _summary(problem: Problem) -> str:
    """SiliconFlow's fixed sentence where it has one."""
    if problem.kind is Kind.RATE_LIMITED:
        return f"{RATE_LIMITED} {problem.message}"
    return {Kind.UNAUTHORIZED: INVALID_TOKEN, Kind.OVERLOADED: OVERLOADED}.get(problem.kind, problem.message)
