"""Builds the server around an engine.  Nothing is global: two apps in one process share nothing.

From outside in: CORS (so that errors carry its headers too), the boundary (request ids, log lines, error answers),
the limit on bodies, then the dialects' routes, where keys are checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, NoReturn

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from cosy.errors import ParameterError
from cosy.server.boundary import BodyLimit, Boundary
from cosy.server.context import Context
from cosy.server.dialects import compute_nest, dashscope, native, openai, pai_eas, siliconflow, stream_service
from cosy.server.fetch import Fetcher
from cosy.server.limits import Limits
from cosy.server.metrics import Metrics
from cosy.server.operations import OPERATIONS
from cosy.server.studio import STUDIO

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from cosy.engine.protocol import Engine
    from cosy.server.dialects import Dialect
    from cosy.server.settings import Settings
    from cosy.server.store.consents import Consents
    from cosy.server.store.keys import KeyRing
    from cosy.server.store.usage import Usage
    from cosy.server.store.voices import VoiceRegistry

EXPOSED_HEADERS = ["x-request-id", "x-sample-rate", "x-siliconcloud-trace-id", "retry-after"]
METHODS = ["GET", "POST", "PATCH", "DELETE", "OPTIONS"]

DIALECTS = (
    compute_nest.DIALECT,
    pai_eas.DIALECT,
    siliconflow.DIALECT,
    openai.DIALECT,
    dashscope.DIALECT,
    stream_service.DIALECT,
    native.DIALECT,
    STUDIO,
    OPERATIONS,
)
"""In the order in which they are asked whether a path is theirs; the last takes what is left."""


def create_app(
    settings: Settings,
    engine: Engine,
    *,
    voices: VoiceRegistry,
    consents: Consents,
    keys: KeyRing,
    usage: Usage,
) -> FastAPI:
    """The ASGI app.  Engine and store are started by whoever built them, before, and closed after.

    Its start raises ParameterError where `check_exposure` does.
    """
    limits = Limits(settings)
    metrics = Metrics(engine, limits)
    fetcher = Fetcher(settings, keys.required)
    context = Context(settings, engine, voices, consents, keys, usage, metrics, fetcher, limits)
    app = FastAPI(
        title="Cosy",
        version=version("cosy"),
        lifespan=lambda _: _lifespan(context),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirected POST loses its body in several clients
        exception_handlers=dict.fromkeys(
            (HTTPException, RequestValidationError, WebSocketRequestValidationError), _leave_to_boundary
        ),
    )
    app.state.context = context
    for dialect in DIALECTS:
        app.include_router(dialect.router)
    app.router.default = _nothing_here
    app.add_middleware(BodyLimit, most=settings.max_body_bytes)
    app.add_middleware(Boundary, dialect_of=_claimant, metrics=metrics, limits=limits)
    app.add_middleware(
        CORSMiddleware,
        allow_origins=settings.cors_origins,
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=EXPOSED_HEADERS,
    )
    return app


async def check_exposure(settings: Settings, keys: KeyRing) -> None:
    """Raises ParameterError if strangers could reach the server and no key would stop them."""
    if settings.on_loopback or settings.allow_open or await keys.required():
        return
    raise ParameterError(
        f"the server would listen on {settings.host}, beyond this machine, and there is no API key: anybody could use "
        "it. Make a key with 'cosy keys add', or set allow_open if that is meant"
    )


@asynccontextmanager
async def _lifespan(context: Context) -> AsyncIterator[None]:
    await check_exposure(context.settings, context.keys)
    flushing = asyncio.create_task(context.usage.keep_flushing())
    try:
        yield
    finally:
        context.limits.drain()
        context.limits.abort_all()
        flushing.cancel()
        with suppress(asyncio.CancelledError):
            await flushing


def _claimant(path: str) -> Dialect:
    """The dialect of a path."""
    return next(dialect for dialect in DIALECTS if dialect.claims(path))


async def _leave_to_boundary(_: object, error: Exception) -> NoReturn:
    raise error


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    raise HTTPException(404, "Not Found")
