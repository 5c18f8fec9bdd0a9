"""What the HTTP layer costs: a load from this process on a server in another one.

Requests come at random, at a rate of their own, whoever is still being served (an open loop).  The server tells for
each request how long its engine took; what its client waited beyond that is the time added by everything else:
parsing, keys, voices, packets, encoding, framing, loopback, and this process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cosy.bench.figures import distribution
from cosy.bench.framings import FRAMINGS, SOCKETS, Answer, Connection, Framing, open_socket
from cosy.bench.report import Report
from cosy.errors import CosyError, EngineError

if TYPE_CHECKING:
    from rich.table import Table
    from websockets.asyncio.client import ClientConnection

TEXT = "Good morning. This sentence is what the benchmark says."
MOST_ADDED_S = 0.003  # to the first audio, in the middle of the requests
MOST_SOCKETS_BYTES = 50e6  # of all idle sockets together
WARM_UP = 5  # requests of each framing that are not counted
SETTLING_S = 0.5  # before memory is read
PATIENCE_S = 10.0  # for the last timings that the server tells
SHARES = (5, 50, 95)

Timings = Mapping[str, tuple[float, float]]
"""Request id -> seconds that the engine took to its first audio, and to its last."""


@dataclass(frozen=True)
class Measured:
    """A server that runs, and what it tells of its engine."""

    url: str
    pid: int
    timings: Timings
    direct_s: Sequence[float]  # to the first audio, when the server's process asked its engine with nothing between

    @property
    def process(self) -> Path:
        return Path(f"/proc/{self.pid}")

    def resident_bytes(self) -> int:
        """Memory that it holds."""
        return int((self.process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_s(self) -> float:
        """Processor time that it has used."""
        user, system = (self.process / "stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Load:
    """What to ask for."""

    rate_hz: float
    requests: int  # of each framing
    sockets: int
    text: str = TEXT
    seed: int = 0


@dataclass
class Heard:
    """What one framing's clients got."""

    answers: list[Answer] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    connections: int = 0  # opened, and held to the end
    most_at_once: int = 0  # requests under way
    cpu_s: float = 0.0  # that the server used


async def measure(server: Measured, load: Load, settings: Mapping[str, Any]) -> Report:
    """All framings one after the other, then idle sockets.  Raises EngineError if the server does not tell its part."""
    heard = {framing.name: await _loaded(framing, server, load) for framing in FRAMINGS}
    sockets = await idle_sockets(server, load.sockets)
    await _all_told(server, (answer.request_id for each in heard.values() for answer in each.answers))
    results = [figures(framing, heard[framing.name], server.timings) for framing in FRAMINGS]
    told = {
        **settings,
        "text": load.text,
        "loop": "open",
        "arrivals_hz": load.rate_hz,
        "requests": load.requests,
        "engine_alone_s": distribution(server.direct_s, SHARES),
        "idle_sockets": load.sockets,
        "idle_sockets_bytes": sockets,
    }
    report = ServerReport("server", told, results, _notes(heard, told), _failures(results, sockets))
    return replace(report, notes=[*report.notes, *_busy(report.hardware)])


async def _loaded(framing: Framing, server: Measured, load: Load) -> Heard:
    await open_loop(framing, server.url, replace(load, requests=WARM_UP))
    before_s = server.cpu_s()
    heard = await open_loop(framing, server.url, load)
    heard.cpu_s = server.cpu_s() - before_s
    return heard


async def open_loop(framing: Framing, url: str, load: Load) -> Heard:
    """Ask at random, `rate_hz` times a second on average (a Poisson process)."""
    heard, chance = Heard(), Random(load.seed)
    idle: list[Connection] = []
    waiting: set[asyncio.Task[None]] = set()

    async def ask() -> None:
        try:
            connection = idle.pop() if idle else await framing.connect(url)
            answer = await connection.speak(load.text)
            idle.append(connection)
            if not answer.audio_bytes:
                raise EngineError("an answer without audio")
            heard.answers.append(answer)
        except (OSError, CosyError) as error:
            heard.errors.append(str(error))

    for _ in range(load.requests):
        waiting = {task for task in waiting if not task.done()} | {asyncio.create_task(ask())}
        heard.most_at_once = max(heard.most_at_once, len(waiting))
        await asyncio.sleep(chance.expovariate(load.rate_hz))
    await asyncio.gather(*waiting)
    heard.connections = len(idle)
    await asyncio.gather(*(connection.close() for connection in idle))
    return heard


async def _all_told(server: Measured, ids: Iterable[str]) -> None:
    missing, patient_until = set(ids), perf_counter() + PATIENCE_S
    while missing := missing - server.timings.keys():
        if perf_counter() > patient_until:
            raise EngineError(f"the server did not tell the timings of {len(missing)} requests")
        await asyncio.sleep(0.05)


def figures(framing: Framing, heard: Heard, timings: Timings) -> dict[str, Any]:
    """The row of a framing."""
    first_s = [_first_audio_s(answer, framing) for answer in heard.answers]
    engine_s = [timings[answer.request_id][framing.whole] for answer in heard.answers]
    requests = len(heard.answers) + len(heard.errors)
    return {
        "framing": framing.name,
        "whole": framing.whole,
        "requests": requests,
        "errors": len(heard.errors),
        "connections": heard.connections,
        "at_once": heard.most_at_once,
        "first_byte_s": distribution((each.first_byte_s - each.asked_s for each in heard.answers), SHARES),
        "first_audio_s": distribution(first_s, SHARES),
        "added_s": distribution((waited - made for waited, made in zip(first_s, engine_s, strict=True)), SHARES),
        "server_cpu_s": heard.cpu_s / requests,  # the engine's included
    }


def _first_audio_s(answer: Answer, framing: Framing) -> float:
    return (answer.ended_s if framing.whole else answer.first_audio_s) - answer.asked_s


async def idle_sockets(server: Measured, count: int) -> dict[str, int]:
    """Bytes by which the server's memory grew while so many clients held a socket and said nothing, by path.

    All are held to the end: memory that others gave back would not show as growth.
    """
    grown: dict[str, int] = {}
    held: list[ClientConnection] = []
    try:
        for path in SOCKETS:
            held += await _open(server, path, min(count, 5))  # code that is loaded at first use is none of theirs
            before = await _settled_bytes(server)
            held += await _open(server, path, count)
            grown[path] = await _settled_bytes(server) - before
    finally:
        await asyncio.gather(*(socket.close() for socket in held))
    return grown


async def _open(server: Measured, path: str, count: int) -> list[ClientConnection]:
    return await asyncio.gather(*(open_socket(server.url + path, "deflate") for _ in range(count)))


async def _settled_bytes(server: Measured) -> int:
    await asyncio.sleep(SETTLING_S)
    return server.resident_bytes()


def _notes(heard: Mapping[str, Heard], told: Mapping[str, Any]) -> list[str]:
    alone = told["engine_alone_s"]
    notes = [f"asked within its own process the engine has first audio after {_ms(alone['p50'])} ms (p50)"]
    for path, size in told["idle_sockets_bytes"].items():
        notes.append(f"{told['idle_sockets']} idle WebSockets at {path} take {size / 1e6:.1f} MB")
    for name, each in heard.items():
        if each.errors:
            notes.append(f"{name}: {len(each.errors)} requests failed, the first one with: {each.errors[0]}")
    return notes


def _busy(hardware: Mapping[str, Any]) -> list[str]:
    load, cores = hardware["load_average"], hardware["cores"]
    if load is None or load < cores:
        return []
    return [f"{load} processes wanted {cores} cores: much of these times is waiting for one; p5 and cpu tell more"]


def _failures(results: Sequence[Mapping[str, Any]], sockets: Mapping[str, int]) -> list[str]:
    """What was promised and is not so; of whole answers nothing is, for their time grows with their length."""
    found = [f"{each['framing']}: {each['errors']} of {each['requests']} failed" for each in results if each["errors"]]
    for each in results:
        added_s = each["added_s"]["p50"]
        if added_s is not None and added_s > MOST_ADDED_S and not each["whole"]:
            found.append(f"{each['framing']}: {_ms(added_s)} ms were added, at most {_ms(MOST_ADDED_S)} are wanted")
    for path, grown in sockets.items():
        if grown > MOST_SOCKETS_BYTES:
            found.append(f"idle sockets at {path} took more than {MOST_SOCKETS_BYTES / 1e6:.0f} MB")
    return found


class ServerReport(Report):
    """A row for each framing; times in milliseconds."""

    def table(self) -> Table:
        from rich.table import Table

        table = Table(title=self._title(), title_justify="left")
        table.add_column("framing", no_wrap=True)
        for heading, _ in COLUMNS:
            table.add_column(heading, justify="right")
        for result in self.results:
            table.add_row(result["framing"], *(read(result) for _, read in COLUMNS))
        return table

    def _title(self) -> str:
        engine, machine = self.settings["engine"], self.hardware
        return f"server: {engine} engine on {machine['cpu']}, {machine['cores']} cores; times in ms"


Read = Callable[[Mapping[str, Any]], str]


def _ms(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{1000 * seconds:.2f}" if seconds < 0.1 else f"{1000 * seconds:.0f}"


def _share(name: str, share: str) -> Read:
    return lambda result: _ms(result[name][share])


COLUMNS: tuple[tuple[str, Read], ...] = (
    ("added p5", _share("added_s", "p5")),
    ("added p50", _share("added_s", "p50")),
    ("added p95", _share("added_s", "p95")),
    ("1st byte p50", _share("first_byte_s", "p50")),
    ("1st byte p95", _share("first_byte_s", "p95")),
    ("cpu", lambda result: _ms(result["server_cpu_s"])),
    ("held", lambda result: str(result["connections"])),
    ("at once", lambda result: str(result["at_once"])),
    ("errors", lambda result: f"{result['errors']}/{result['requests']}"),
)
