"""Who is calling: API keys in every place where the dialects' clients put them, and what a key may do.

Without any key every call is accepted and credentials are ignored, for many clients send some anyway.  Once the
server has seen a key it stays closed: revoking the last one does not open it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import HTTPConnection

from cosy.server.context import Context, context_of
from cosy.server.errors import ApiError, Kind

SPEECH, VOICES, ADMIN = "speech", "voices", "admin"
SCOPES = (SPEECH, VOICES, ADMIN)  # make speech; list, add and remove voices; read metrics

HEADERS = ("x-api-token", "x-api-key", "api-key")
QUERY = ("token", "api_key", "access_token")  # browsers cannot set headers on a WebSocket


@dataclass(frozen=True)
class Caller:
    """Whoever sent a request."""

    key_id: str = ""  # empty: there are no keys, or none is needed here
    name: str = ""
    scopes: frozenset[str] = frozenset(SCOPES)
    requests_per_minute: int = 0  # 0: any number
    requests_at_once: int = 0


def allow(scope: str, unless: str = "") -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A FastAPI dependency for HTTP and WebSocket: the caller, who has this scope.

    `unless` names a setting that lets everybody in while it is on.  The dependency raises ApiError UNAUTHORIZED
    without a valid key, FORBIDDEN if it lacks the scope; before a WebSocket is accepted, so that it is refused
    with that status.  Voices and administration count towards a key's requests; speech counts where it is made.
    """

    async def caller_of(connection: HTTPConnection, context: Annotated[Context, Depends(context_of)]) -> Caller:
        if unless and getattr(context.settings, unless):
            return Caller()
        caller = await authenticate(connection, context)
        if scope not in caller.scopes:
            raise ApiError(Kind.FORBIDDEN, f"this API key may not do this: it lacks the scope {scope!r}")
        if scope != SPEECH:
            context.limits.count(caller)
        return caller

    return caller_of


async def authenticate(connection: HTTPConnection, context: Context) -> Caller:
    """The caller by any credential presented.  Raises ApiError UNAUTHORIZED if there are keys and none fits."""
    if not await context.keys.required():
        return Caller()
    for token in credentials(connection):
        if caller := await _verified(token, context):
            return caller
    given = any(credentials(connection))
    raise ApiError(Kind.UNAUTHORIZED, "Invalid API key" if given else "API key missing: send Authorization: Bearer KEY")


def credentials(connection: HTTPConnection) -> Iterator[str]:
    """Every token the request presents, wherever."""
    authorization = connection.headers.get("authorization", "").strip()
    scheme, _, token = authorization.partition(" ")
    presented = [token.strip() if scheme.lower() == "bearer" else authorization]
    presented += [connection.headers.get(name, "").strip() for name in HEADERS]
    if connection.scope["type"] == "websocket" or connection.scope["method"] == "GET":
        presented += [connection.query_params.get(name, "") for name in QUERY]
    return (token for token in presented if token)


async def _verified(token: str, context: Context) -> Caller | None:
    key = await context.keys.verify(token)
    if key is None:
        return None
    rate = context.settings.requests_per_minute if key.rpm is None else key.rpm
    at_once = context.settings.requests_at_once if key.concurrency is None else key.concurrency
    return Caller(key.id, key.name, key.scopes, rate, at_once)
