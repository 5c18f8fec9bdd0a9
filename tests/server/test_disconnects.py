"""Clients that leave, or stop to listen: nothing of them stays, and nobody else notices."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio
import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI

from cosy.cli.compose import composed, opened_database
from cosy.server.process import address_of, bind
from cosy.server.settings import Settings
from cosy.server.store.tables import metadata
from tests.server.calls import eventually, metric, open_stream, speak
from tests.server.conftest import Serve
from tests.server.processes import Server, humming, open_files
from tests.server.vanishing import LONG, WAYS, connect, vanish

AT_ONCE = 8  # clients
FEW = 3 * len(WAYS)  # to get to know all that is made at first use
GROWTH_BYTES = 20e6  # the allocator's; half a megabyte of each client would show
REAL_GROWTH_BYTES = 100e6  # the most streams at a time set the mark; a stream that stayed has up to 6 MB of audio
HARMLESS = "no voice is named"  # the only warning that these clients deserve


def all_vanish(url: str, count: int, patience_s: float, seed: int = 0) -> None:
    """So many clients that leave, some of them at a time, with all ways in turn."""
    ways = list(WAYS.values())

    def one(number: int) -> None:
        vanish(url, ways[number % len(ways)], Random(seed + number), patience_s)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, range(count)))


def held(server: Server) -> dict[str, float]:
    """What must not grow, as the process and its page of metrics tell it."""
    engine = {name: metric(server.url, f'cosy_engine{{stat="{name}"}}') for name in ("running", "tasks", "threads")}
    limits = {name: metric(server.url, f"cosy_{name}") for name in ("active_streams", "queued_requests")}
    return {**engine, **limits, "files": server.files}


def stored(folder: Path) -> dict[str, int]:
    """Rows of all tables (but of usage, which counts everybody), and files."""
    with opened_database(Settings(data_dir=folder)) as database, database.read() as connection:
        tables = [table for table in metadata.sorted_tables if table.name != "usage"]
        rows = {each.name: connection.scalar(sa.select(sa.func.count()).select_from(each)) for each in tables}
    return {**rows, "objects": len(list((folder / "objects").rglob("*"))), "tmp": len(list((folder / "tmp").iterdir()))}


@pytest.mark.slow
def test_five_hundred_clients_that_leave_anywhere_leave_nothing_behind(tmp_path: Path) -> None:
    with humming(tmp_path, delay_s=0.002) as server:
        all_vanish(server.url, FEW, 0.05, seed=-FEW)
        eventually(lambda: held(server)["active_streams"] == 0)
        before, memory, kept = held(server), server.resident_bytes, stored(tmp_path)
        all_vanish(server.url, 500, 0.05)
        eventually(lambda: all(now <= before[name] for name, now in held(server).items()))
        assert stored(tmp_path) == kept
        assert server.resident_bytes < memory + GROWTH_BYTES
        assert told(server.url, "cosy_errors_total") == 0
        assert speak(server.url).status_code == 200
        outcomes = {line["outcome"] for line in server.lines if line["event"] == "speech"}
        assert outcomes == {"ok", "disconnect"}
        loud = [line for line in server.lines if line["level"] in ("warning", "error")]
        assert all(HARMLESS in line["event"] for line in loud), loud


def test_a_body_that_breaks_off_is_a_client_that_left_on_every_path(serve: Serve) -> None:
    url, begun = serve().url, 0
    paths = httpx.get(url + "/openapi.json").json()["paths"]
    del paths["/cosy/v1/transcriptions"]  # without a recogniser it says so before it reads anything
    for path, operations in paths.items():
        for method in (name for name, operation in operations.items() if "requestBody" in operation):
            for kind in ("application/json", "multipart/form-data; boundary=b"):
                begun += 1
                begin(url, f"{method.upper()} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n")
    assert begun > 20
    eventually(lambda: told(url, "cosy_requests_total", 'outcome="disconnect"') == begun)
    assert told(url, "cosy_errors_total") == 0


def begin(url: str, head: str) -> None:
    """Send half a body, and leave; a reset would take back what was sent."""
    part = '--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n{'
    with connect(url) as connection:
        connection.sendall(f"{head}Content-Length: {2 * len(part)}\r\n\r\n{part}".encode())


def told(url: str, name: str, label: str = "") -> float:
    """A metric, summed over its labels."""
    lines = [line for line in httpx.get(url + "/metrics").text.splitlines() if line.startswith(name + "{")]
    return sum(float(line.rpartition(" ")[2]) for line in lines if label in line)


# With the engine that speaks


@dataclass
class Inside:
    """A server of this process, to be looked into."""

    url: str
    app: FastAPI
    loop: asyncio.AbstractEventLoop

    def held(self) -> dict[str, int]:
        """What must not grow."""
        names = [thread.name for thread in threading.enumerate()]
        context = self.app.state.context
        stats = context.engine.stats()
        return {
            "tasks": len(asyncio.all_tasks(self.loop)),
            "threads": len([name for name in names if "AnyIO" not in name]),  # a pool of bounded size
            "files": open_files("self"),
            "streams": int(stats["streams_active"] + stats["streams_waiting"]),
            "rows taken": -int(stats["rows_lm_free"] + stats["rows_acoustic_free"]),
            "active": context.limits.active,
            "busy": context.limits.busy,
        }


@contextmanager
def inside(model: Path, folder: Path) -> Iterator[Inside]:
    """The whole server with a real engine, in a thread."""
    settings = Settings(model=str(model), port=0, data_dir=folder)
    started = threading.Event()
    found: list[Inside] = []
    servers: list[uvicorn.Server] = []

    async def run() -> None:
        with bind(settings) as bound:
            async with composed(settings) as app:
                servers.append(uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=2)))
                found.append(Inside(address_of(bound), app, asyncio.get_running_loop()))
                started.set()
                await servers[0].serve(sockets=[bound])

    thread = threading.Thread(target=anyio.run, args=(run,))
    thread.start()
    try:
        assert started.wait(60), "the server did not start"
        eventually(lambda: servers[0].started)
        yield found[0]
    finally:
        for server in servers:
            server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not end"


@pytest.mark.slow
def test_clients_that_leave_or_stop_to_listen_leave_a_real_engine_as_it_was(
    small_model_dir: Path, tmp_path: Path
) -> None:
    def crowd(count: int) -> None:
        with open_stream(server.url, LONG), open_stream(server.url, LONG):  # and nobody reads
            assert speak(server.url, "Hello.").status_code == 200
            all_vanish(server.url, count * len(WAYS), 0.4)
        eventually(lambda: server.held()["busy"] == server.held()["streams"] == 0)
        gc.collect()

    with inside(small_model_dir, tmp_path) as server:
        crowd(3)
        before, memory, kept = server.held(), resident_bytes(), stored_in(tmp_path)
        crowd(5)
        eventually(lambda: all(now <= before[name] for name, now in server.held().items()))
        assert server.app.state.context.engine.stats()["aborted"] > 10  # others were gone before they were heard
        assert metric(server.url, 'cosy_engine{stat="streams_active"}') == 0
        assert resident_bytes() < memory + REAL_GROWTH_BYTES
        assert stored_in(tmp_path) == kept
        assert speak(server.url, "Hello.").status_code == 200


def stored_in(folder: Path) -> dict[str, int]:
    (folder / "tmp").mkdir(exist_ok=True)
    return stored(folder)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# Clients that do not read


def test_connections_of_clients_that_stop_to_listen_end_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("this system has no means to end them")
    with humming(tmp_path, stall_s=3.0) as server:
        files = server.files  # nobody is connected
        silent, messages = WAYS["PAI-EAS's socket"](server.url, Random(0))
        silent.sendall(messages)
        with silent, open_stream(server.url, LONG * 20):
            eventually(lambda: server.files == files + 2)  # both silent ones are
            assert all(speak(server.url).status_code == 200 for _ in range(5))
            assert server.files >= files + 2
            eventually(lambda: server.files <= files)
            eventually(lambda: outcomes(server) == ["disconnect"] * 2 + ["ok"] * 5)  # told after the file is closed


def outcomes(server: Server) -> list[str]:
    return sorted(line["outcome"] for line in server.lines if line["event"] == "speech")
