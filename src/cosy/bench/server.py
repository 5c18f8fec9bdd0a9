"""What the HTTP layer costs: a load from this process on a server in another one.

Requests come at random, at a rate of their own, whoever is still being served (an open loop).  The server tells for
each request how long its engine took; what its client waited beyond that is the time added by everything else:
parsing, keys, voices, packets, encoding, framing, loopback, and this process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

from cosy.bench.figures import distribution
from cosy.bench.framings import DASHSCOPE_SOCKET, FRAMINGS, PAI_SOCKET, Answer, Connection, Framing, open_socket
from cosy.bench.report import Report
from cosy.errors import CosyError

if TYPE_CHECKING:
    from rich.table import Table

TEXT = "Good morning. This sentence is what the benchmark says."
MOST_ADDED_S = 0.003  # to the first audio, in the middle of the requests
MOST_SOCKETS_BYTES = 50e6  # of all idle sockets together
WARM_UP = 5  # requests of each framing that are not counted
SETTLING_S = 1.0  # before memory is read

Timings = Mapping[str, tuple[float, float]]
"""Request id -> seconds that the engine took to its first audio, and to its last."""


@dataclass(frozen=True)
class Measured:
    """A server that runs, and what it tells of its engine."""

    url: str
    pid: int
    timings: Timings
    direct_s: Sequence[float]  # to the first audio, when the server's process asked its engine with nothing between


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


async def measure(server: Measured, load: Load, settings: Mapping[str, Any]) -> Report:
    """All framings one after the other, then idle sockets."""
    for framing in FRAMINGS:
        await open_loop(framing, server.url, Load(load.rate_hz, WARM_UP, 0, load.text))
    heard = {framing.name: await open_loop(framing, server.url, load) for framing in FRAMINGS}
    await asyncio.sleep(0.2)  # for what the server still has to tell
    results = [figures(framing, heard[framing.name], server.timings) for framing in FRAMINGS]
    sockets = {path: await idle_sockets(server, path, load.sockets) for path in (PAI_SOCKET, DASHSCOPE_SOCKET)}
    told = {
        **settings,
        "text": load.text,
        "loop": "open",
        "arrivals_hz": load.rate_hz,
        "requests": load.requests,
        "engine_alone_s": distribution(server.direct_s, (50, 95)),
        "idle_sockets": load.sockets,
        "idle_sockets_bytes": sockets,
    }
    return ServerReport("server", told, results, _notes(heard), _failures(results, sockets))


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
            if answer.audio_bytes:
                heard.answers.append(answer)
            else:
                heard.errors.append("an answer without audio")
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


def figures(framing: Framing, heard: Heard, timings: Timings) -> dict[str, Any]:
    """The row of a framing."""
    added = [_first(answer, framing) - timings[answer.request_id][framing.whole] for answer in heard.answers]
    return {
        "framing": framing.name,
        "requests": len(heard.answers) + len(heard.errors),
        "errors": len(heard.errors),
        "connections": heard.connections,
        "at_once": heard.most_at_once,
        "first_byte_s": distribution((each.first_byte_s - each.asked_s for each in heard.answers), (50, 95)),
        "first_audio_s": distribution((_first(each, framing) for each in heard.answers), (50, 95)),
        "added_s": distribution(added, (50, 95)),
    }


def _first(answer: Answer, framing: Framing) -> float:
    return (answer.ended_s if framing.whole else answer.first_audio_s) - answer.asked_s


async def idle_sockets(server: Measured, path: str, count: int) -> int:
    """Bytes by which the server's memory grew while so many clients held a socket and said nothing."""
    await _hold(server, path, min(count, 5))  # code that is loaded at first use is none of theirs
    return await _hold(server, path, count)


async def _hold(server: Measured, path: str, count: int) -> int:
    before = await _settled(server.pid)
    sockets = await asyncio.gather(*(open_socket(server.url + path, "deflate") for _ in range(count)))
    try:
        return await _settled(server.pid) - before
    finally:
        await asyncio.gather(*(socket.close() for socket in sockets))


async def _settled(pid: int) -> int:
    await asyncio.sleep(SETTLING_S)
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _notes(heard: Mapping[str, Heard]) -> list[str]:
    return [
        f"{name}: {len(each.errors)} requests failed, the first one with: {each.errors[0]}"
        for name, each in heard.items()
        if each.errors
    ]


def _failures(results: Sequence[Mapping[str, Any]], sockets: Mapping[str, int]) -> list[str]:
    """What was promised and is not so."""
    found = [f"{each['framing']}: {each['errors']} of {each['requests']} failed" for each in results if each["errors"]]
    for each in results:
        added_s = each["added_s"]["p50"]
        if added_s is not None and added_s > MOST_ADDED_S:
            found.append(f"{each['framing']}: {1000 * added_s:.2f} ms were added, at most 3 are wanted")
    for path, grown in sockets.items():
        if grown > MOST_SOCKETS_BYTES:
            found.append(f"{path}: idle sockets took {grown / 1e6:.0f} MB, at most 50 are wanted")
    return found


class ServerReport(Report):
    """A row for each framing; times in milliseconds."""

    def table(self) -> Table:
        from rich.table import Table

        table = Table(*HEADINGS, title=self._title(), title_justify="left", caption=self._caption())
        for column in table.columns[1:]:
            column.justify = "right"
        for result in self.results:
            table.add_row(*(_cell(read(result)) for read in HEADINGS.values()))
        return table

    def _title(self) -> str:
        engine, machine = self.settings["engine"], self.hardware
        return f"server: {engine} engine on {machine['cpu']}, {machine['cores']} cores; times in ms"

    def _caption(self) -> str:
        alone = self.settings["engine_alone_s"]
        grown = ", ".join(f"{path} {size / 1e6:.1f} MB" for path, size in self.settings["idle_sockets_bytes"].items())
        return (
            f"the engine alone: first audio p50 {_ms(alone['p50'])}, p95 {_ms(alone['p95'])}; "
            f"{self.settings['idle_sockets']} idle WebSockets: {grown}"
        )


def _milliseconds(name: str, share: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda result: _ms(result[name][share])


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.2f}"


def _cell(value: object) -> str:
    return str(value)


HEADINGS: dict[str, Callable[[Mapping[str, Any]], object]] = {
    "framing": lambda result: result["framing"],
    "added p50": _milliseconds("added_s", "p50"),
    "p95": _milliseconds("added_s", "p95"),
    "first audio p50": _milliseconds("first_audio_s", "p50"),
    "p95 ": _milliseconds("first_audio_s", "p95"),
    "first byte p50": _milliseconds("first_byte_s", "p50"),
    " p95": _milliseconds("first_byte_s", "p95"),
    "held": lambda result: result["connections"],
    "at once": lambda result: result["at_once"],
    "errors": lambda result: f"{result['errors']}/{result['requests']}",
}
