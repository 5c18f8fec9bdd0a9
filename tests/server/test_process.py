"""The end of a server: what runs may finish, nothing new comes in, and patience has a limit."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
import uvicorn

from cosy.errors import ParameterError
from cosy.server.app import check_exposure
from cosy.server.process import DrainingServer, address_of, bind
from cosy.server.settings import Settings
from tests.server.calls import SPEECH, body, eventually, speak, stream_until_cut
from tests.server.fake import FakeEngine, make_parts

TEXT = "This is some text."  # 1.44 s, 8 chunks
LONG = "A text that takes a while to speak. " * 50


@contextmanager
def served(folder: Path, engine: FakeEngine, drain_s: float) -> Iterator[tuple[str, DrainingServer]]:
    """A server that can be told to stop as a signal would; it must have ended by itself when the block does."""
    with make_parts(folder, engine) as parts, bind(Settings(port=0)) as bound:
        config = uvicorn.Config(parts.app, log_config=None, timeout_graceful_shutdown=2)
        server = DrainingServer(config, parts.app.state.context.limits, drain_s)
        thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[bound]),))
        thread.start()
        eventually(lambda: server.started)
        try:
            yield address_of(bound), server
            thread.join(10)
            assert not thread.is_alive(), "the server did not end"
        finally:
            server.force_exit = server.should_exit = True
            thread.join()


def test_a_running_answer_is_finished_and_new_ones_are_refused(tmp_path: Path) -> None:
    engine = FakeEngine(delay_s=0.1)
    with (
        served(tmp_path, engine, drain_s=20) as (url, server),
        httpx.stream("POST", url + SPEECH, json=body(TEXT), timeout=20) as answer,
    ):
        parts = answer.iter_raw()
        got = next(parts)
        server.handle_exit(signal.SIGTERM, None)
        eventually(lambda: httpx.get(url + "/ready").status_code == 503)
        assert httpx.get(url + "/ready").json()["reason"] == "shutting down"
        refused = speak(url)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        got += b"".join(parts)
        assert len(got) == 2 * round(0.08 * 24_000) * len(TEXT)
    assert (engine.finished, engine.aborted) == (1, 0)


def test_an_answer_that_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    engine = FakeEngine(delay_s=0.05)
    with served(tmp_path, engine, drain_s=0.3) as (url, server):
        assert stream_until_cut(url, LONG, lambda: server.handle_exit(signal.SIGTERM, None))
    assert engine.aborted == 1


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    engine = FakeEngine(delay_s=0.05)
    with served(tmp_path, engine, drain_s=100) as (url, server):

        def insist() -> None:
            server.handle_exit(signal.SIGTERM, None)
            server.handle_exit(signal.SIGTERM, None)

        assert stream_until_cut(url, LONG, insist)
    assert engine.aborted == 1


def test_an_idle_server_ends_without_waiting(tmp_path: Path) -> None:
    with served(tmp_path, FakeEngine(), drain_s=100) as (_, server):
        server.handle_exit(signal.SIGINT, None)


def test_an_address_that_is_taken_is_an_error_that_names_it() -> None:
    with bind(Settings(port=0)) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ParameterError, match=f"127.0.0.1, port {port}: Address already in use"):
            bind(Settings(port=port))


@pytest.mark.parametrize("host", ["203.0.113.1", "no such host"])
def test_an_address_of_another_machine_is_an_error(host: str) -> None:
    with pytest.raises(ParameterError, match=host):
        bind(Settings(host=host, port=0))


def test_ipv6_has_brackets_in_its_address() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    with bind(Settings(host="::1", port=0)) as bound:
        assert address_of(bound).startswith("http://[::1]:")


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "::"}, True),
        ({"host": "my-name"}, True),
        ({"host": "0.0.0.0", "allow_open": True}, False),
        ({"host": "0.0.0.0", "api_keys": ["k"]}, False),
    ],
)
def test_strangers_are_let_in_only_on_purpose(settings: dict[str, object], refused: bool, tmp_path: Path) -> None:
    with make_parts(tmp_path, **settings) as parts:
        if refused:
            with pytest.raises(ParameterError, match="cosy keys add"):
                anyio.run(check_exposure, parts.settings, parts.keys)
        else:
            anyio.run(check_exposure, parts.settings, parts.keys)


def test_the_app_itself_refuses_to_start_for_strangers(tmp_path: Path) -> None:
    async def start() -> None:
        async with parts.app.router.lifespan_context(parts.app):
            pass

    with make_parts(tmp_path, host="0.0.0.0") as parts, pytest.raises(ParameterError, match="anybody could use it"):
        anyio.run(start)
