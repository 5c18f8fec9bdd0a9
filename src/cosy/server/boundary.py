"""The outermost layer of our own around the app: request ids, log lines, error answers, disconnects.

Everything that fails below, foreseen or not, is answered here, in the shape of the dialect that claims the path.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocketDisconnect

from cosy.server import logs
from cosy.server.errors import Kind, Problem, problem_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from cosy.server.dialects import Dialect
    from cosy.server.limits import Limits
    from cosy.server.metrics import Metrics

UNLOGGED = ("/health", "/ready", "/metrics", "/")  # asked every few seconds by machines
POLICY_VIOLATION, SERVER_FAILED = 1008, 1011  # WebSocket close codes


class ClientGoneError(Exception):
    """Nobody is left to answer."""


GONE = (ClientGoneError, ClientDisconnect, WebSocketDisconnect)  # by our own word, and Starlette's


@dataclass
class Visit:
    """One HTTP request or WebSocket connection, from its first byte to its last."""

    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    started_s: float = field(default_factory=time.perf_counter)
    receive: Receive | None = None  # of HTTP
    spoke: bool = False  # a Speech has the log line
    told: BaseException | None = None  # the failure that a Speech has counted

    async def client_gone(self) -> None:
        """Returns when the client of an HTTP request, whose body has been read, has hung up; on sockets never."""
        assert self.receive is not None, "sockets notice by themselves"
        while (await self.receive())["type"] != "http.disconnect":
            pass


visit: ContextVar[Visit | None] = ContextVar("visit", default=None)
"""The one that the running task serves; None outside of the app, as in tests."""


def note_failure(error: Exception, dialect: str, metrics: Metrics) -> Problem:
    """Count and log a failure, unless a Speech has done so."""
    problem, current = problem_of(error), visit.get()
    if current is not None and current.told is not None and current.told in (error, error.__cause__):
        return problem
    metrics.failed(dialect, problem.kind.value)
    if problem.kind is Kind.INTERNAL:
        fields = {"request_id": current.request_id if current else None, "dialect": dialect}
        logs.logger.error("failure", exc_info=error, extra={"fields": fields})
    return problem


class Boundary:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp, dialect_of: Callable[[str], Dialect], metrics: Metrics, limits: Limits) -> None:
        self._app = app
        self._dialect_of = dialect_of
        self._metrics = metrics
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        http = scope["type"] == "http"
        current = Visit(receive=receive if http else None)
        scope.setdefault("state", {})["request_id"] = current.request_id
        token = visit.set(current)
        try:
            await (self._serve_http if http else self._serve_socket)(current, scope, receive, send)
        finally:
            visit.reset(token)

    async def _serve_http(self, current: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def started(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault("X-Request-Id", current.request_id)
            await send(message)

        try:
            if scope["method"] == "OPTIONS":
                await Response(status_code=204)(scope, receive, started)
                return
            with self._limits.at_work():
                await self._app(scope, receive, started)
        except GONE:
            pass
        except Exception as error:
            problem = note_failure(error, self._dialect_of(scope["path"]).name, self._metrics)
            if not status:  # else the connection is cut, so that the client sees that something is missing
                await self._answer(error, problem, current, scope)(scope, receive, started)
        self._log(current, scope, status)

    async def _serve_socket(self, current: Visit, scope: Scope, receive: Receive, send: Send) -> None:
        accepted = closed = False

        async def noticed(message: Message) -> None:
            nonlocal accepted, closed
            accepted = accepted or message["type"] == "websocket.accept"
            closed = closed or message["type"] == "websocket.close"
            with self._limits.at_work():  # the socket itself may be idle
                await send(message)

        try:
            await self._app(scope, receive, noticed)
        except GONE:
            pass
        except Exception as error:
            problem = note_failure(error, self._dialect_of(scope["path"]).name, self._metrics)
            if not accepted:
                await refuse_socket(self._answer(error, problem, current, scope), scope, receive, send)
            elif not closed:
                await send({"type": "websocket.close", "code": SERVER_FAILED})
        self._log(current, scope, 101 if accepted else 0)

    def _answer(self, error: Exception, problem: Problem, current: Visit, scope: Scope) -> Response:
        dialect = self._dialect_of(scope["path"])
        if problem.details:
            problem = Problem(
                problem.kind, dialect.validation_status, problem.message, problem.param, None, problem.details
            )
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        return error_response(dialect, problem, current.request_id, headers)

    def _log(self, current: Visit, scope: Scope, status: int) -> None:
        path = scope["path"]
        if current.spoke or (path in UNLOGGED and status < 400):
            return
        dialect = self._dialect_of(path).name
        self._metrics.requests.labels(dialect, f"{status // 100}xx" if status else "disconnect").inc()
        logs.event(
            "request",
            request_id=current.request_id,
            dialect=dialect,
            method=scope.get("method", "WEBSOCKET"),
            path=path[:200],
            status=status or None,
            ms=round(1000 * (time.perf_counter() - current.started_s), 1),
        )


def error_response(
    dialect: Dialect, problem: Problem, request_id: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem in the shape of a dialect."""
    headers = dict(headers or {})
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after_s)))
    if problem.kind is Kind.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(_encodable(dialect.body(problem, request_id)), problem.status, headers)


async def refuse_socket(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a WebSocket handshake with HTTP; clients take a close after accepting for a hang."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        return
    response.headers["X-Request-Id"] = scope["state"]["request_id"]
    await response(scope, receive, send)


def _encodable(value: Any) -> Any:
    """Half characters of a client, echoed in a message, have no UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list | tuple) else value


class BodyLimit:
    """ASGI middleware: refuses a request body above `most` bytes, before it is read where the head tells its length."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if stated.isdigit() and int(stated) > self._most:
            raise self._refusal()
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._most:
                raise self._refusal()
            return message

        await self._app(scope, counted, send)

    def _refusal(self) -> HTTPException:
        """FastAPI turns other exceptions of a body's reader into 400."""
        return HTTPException(413, f"the request body is larger than {self._most / 2**20:g} MiB; send less at a time")
