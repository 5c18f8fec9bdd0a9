"""What can go wrong, as a caller meets it: the tree of `cosy.errors` and three errors of the way to the server.

    CosyError
    +-- AuthenticationError             the server wants another API key
    +-- UnreachableError                nothing was sent: no server there, no connection in time
    +-- InputError ...                  the request is wrong; UnknownVoiceError, ParameterError, TextError, AudioError
    +-- EngineError                     the server failed
        +-- InterruptedAnswerError      the answer ended, or fell silent, before it was complete
        +-- OverloadedError             no capacity now; `retry_after_s` says when

The server's words are kept: an error's message is the one of the error body.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx

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

DEFAULT_RETRY_AFTER_S = 1.0
UNKNOWN_VOICE_CODES = frozenset({"invalid_voice", "voice_not_found"})
TEXT_FIELDS = frozenset({"input", "instructions"})
AUDIO_FIELDS = frozenset({"audio_sample", "references", "file"})


class AuthenticationError(CosyError):
    """The API key is missing, wrong, or lacks the scope."""


class UnreachableError(CosyError):
    """No connection could be made.  The request never reached a server, so it is safe to send it again."""


class InterruptedAnswerError(EngineError):
    """The connection broke, or nothing came for `timeout_s`, before the answer was complete."""


def error_of(status: int, headers: Mapping[str, str], body: bytes) -> CosyError:
    """The exception for an answer that is no success."""
    message, code, param = _told(body)
    message = message or f"the server answered {status} and did not say why"
    if status in (401, 403):
        return AuthenticationError(message)
    if status in (429, 503):
        return OverloadedError(message, retry_after_s(headers))
    if code in UNKNOWN_VOICE_CODES:
        return UnknownVoiceError(message)
    if status == 415 or param.split(".")[0] in AUDIO_FIELDS:
        return AudioError(message)
    if status == 413 or param in TEXT_FIELDS:
        return TextError(message) if param in TEXT_FIELDS else InputError(message)
    return ParameterError(message) if 400 <= status < 500 else EngineError(message)


def retry_after_s(headers: Mapping[str, str]) -> float:
    """Seconds to wait, as the server says; a date, which proxies may send, counts as one second."""
    try:
        return max(0.0, float(headers.get("retry-after", "")))
    except ValueError:
        return DEFAULT_RETRY_AFTER_S


def pause_before_retry(error: CosyError, attempt: int, retries: int) -> float | None:
    """Seconds to wait before sending again, None where that is of no use or not wanted."""
    if attempt >= retries:
        return None
    if isinstance(error, OverloadedError):
        return error.retry_after_s
    return 0.5 * float(2**attempt) if isinstance(error, UnreachableError) else None


@contextmanager
def told(base_url: str, timeout_s: float) -> Iterator[None]:
    """Turn errors of the transport into ours."""
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol) as error:
        message = f"no connection to {base_url} ({error or type(error).__name__}): is the server running there?"
        raise UnreachableError(message) from error
    except httpx.TimeoutException as error:
        message = f"{base_url} sent nothing for {timeout_s:g} s; a longer text may need a larger timeout_s"
        raise InterruptedAnswerError(message) from error
    except httpx.TransportError as error:
        raise InterruptedAnswerError(f"{base_url} broke the answer off ({error}): try again") from error


def _told(body: bytes) -> tuple[str, str, str]:
    """Message, code and parameter of an error body; empty where it says nothing."""
    try:
        found = json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")[:200].strip(), "", ""
    found = found if isinstance(found, dict) else {"message": found}
    error: dict[str, Any] = found["error"] if isinstance(found.get("error"), dict) else found
    words = error.get("message") or error.get("detail") or ""
    return str(words), str(error.get("code") or ""), str(error.get("param") or "")
