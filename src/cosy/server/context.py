"""What a request handler may use: built once per app, handed to handlers by FastAPI's dependencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from starlette.requests import HTTPConnection

if TYPE_CHECKING:
    from cosy.engine.protocol import Engine
    from cosy.server.fetch import Fetcher
    from cosy.server.limits import Limits
    from cosy.server.metrics import Metrics
    from cosy.server.settings import Settings
    from cosy.server.store.consents import Consents
    from cosy.server.store.keys import KeyRing
    from cosy.server.store.usage import Usage
    from cosy.server.store.voices import VoiceRegistry


@dataclass(frozen=True)
class Context:
    """The parts of one app."""

    settings: Settings
    engine: Engine
    voices: VoiceRegistry
    consents: Consents
    keys: KeyRing
    usage: Usage
    metrics: Metrics
    fetcher: Fetcher
    limits: Limits


async def context_of(connection: HTTPConnection) -> Context:
    """The context of the app that serves this request or socket; a FastAPI dependency.

    A coroutine function, though nothing waits: FastAPI calls plain functions in threads, which costs every request
    a way there and back, and several milliseconds while the engine computes.
    """
    return cast(Context, connection.app.state.context)


def request_id_of(connection: HTTPConnection) -> str:
    """The id under which this request is logged and answered (`X-Request-Id`)."""
    return cast(str, connection.state.request_id)
