"""A real server on loopback for every test that asks for one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from cosy.server.settings import Settings
from cosy.server.store.consents import Consents
from cosy.server.store.keys import KeyRing
from cosy.server.store.usage import Usage
from cosy.server.store.voices import VoiceRegistry
from tests.server.fake import FakeEngine, Parts, make_parts

START_S = 20.0


@dataclass(frozen=True)
class Served:
    """A running server and what is inside it."""

    url: str  # http://127.0.0.1:PORT
    parts: Parts

    @property
    def ws_url(self) -> str:
        return "ws" + self.url.removeprefix("http")

    @property
    def engine(self) -> FakeEngine:
        return self.parts.engine

    @property
    def voices(self) -> VoiceRegistry:
        return self.parts.voices

    @property
    def consents(self) -> Consents:
        return self.parts.consents

    @property
    def keys(self) -> KeyRing:
        return self.parts.keys

    @property
    def usage(self) -> Usage:
        return self.parts.usage

    @property
    def settings(self) -> Settings:
        return self.parts.settings


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(engine=None, **settings)` starts a server with these settings; it ends with the test."""
    with ExitStack() as stack:

        def start(engine: FakeEngine | None = None, **settings: Any) -> Served:
            parts = stack.enter_context(make_parts(tmp_path, engine, **settings))
            return Served(stack.enter_context(running(parts)), parts)

        yield start


@contextmanager
def running(parts: Parts) -> Iterator[str]:
    """The base URL of the app, served from a thread."""
    config = uvicorn.Config(parts.app, host="127.0.0.1", port=0, log_config=None, timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_S
        while not server.started:
            assert thread.is_alive(), "the server failed at its start"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.005)
        host, port = server.servers[0].sockets[0].getsockname()[:2]
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(START_S)
        assert not thread.is_alive(), "the server did not end"
