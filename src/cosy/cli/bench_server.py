"""`cosy bench server`: starts a server, asks it for speech, and prints what the HTTP layer adds."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cosy.errors import EngineError

if TYPE_CHECKING:
    from cosy.bench.report import Report
    from cosy.bench.server import Load, Measured
    from cosy.server.settings import Settings

START_S = 120.0  # a model is loaded, and asked
LONGEST_LINE = 2**20  # bytes


class EngineKind(str, Enum):
    """What is behind the server."""

    SILENT = "silent"
    REAL = "real"


RATES_HZ = {EngineKind.SILENT: 20.0, EngineKind.REAL: 0.5}
REQUESTS = {EngineKind.SILENT: 200, EngineKind.REAL: 20}


def server(
    engine: Annotated[EngineKind, typer.Option(help="One that answers at once, or the model.")] = EngineKind.SILENT,
    model: Annotated[Path | None, typer.Option(help="Model directory; by default the bundled one.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    arrivals: Annotated[
        float | None, typer.Option(min=0.001, help="Requests a second, at random; 20, or 0.5 of the model.")
    ] = None,
    requests: Annotated[int | None, typer.Option(min=1, help="For each framing; 200, or 20 of the model.")] = None,
    sockets: Annotated[int, typer.Option(min=1, help="Idle WebSockets whose memory is measured.")] = 200,
    text: Annotated[str | None, typer.Option(help="What is spoken.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the times of arrival.")] = 0,
) -> None:
    """What the HTTP layer adds to the first audio, for each framing, and what idle WebSockets cost.

    The load comes from this process, the server is another one.  Exit status 1 if a request failed, more than 3 ms
    were added to the first audio of a stream (p50), or the sockets took more than 50 MB.
    """
    from cosy.bench.server import TEXT, Load

    load = Load(arrivals or RATES_HZ[engine], requests or REQUESTS[engine], sockets, text or TEXT, seed)
    report = asyncio.run(_run(engine, model, device, load))
    report.print()
    if report.failures:
        raise typer.Exit(1)


async def _run(engine: EngineKind, model: Path | None, device: str, load: Load) -> Report:
    from cosy.bench.server import measure
    from cosy.server.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        chosen = {"model": str(model or ""), "device": device}
        settings = Settings.model_validate({**chosen, "port": 0, "data_dir": folder})
        async with _started(engine, load, settings) as measured:
            return await measure(measured, load, {"engine": engine.value, **chosen})


@asynccontextmanager
async def _started(engine: EngineKind, load: Load, settings: Settings) -> AsyncIterator[Measured]:
    """The server's process; ended with the block."""
    from cosy.bench.server import Measured

    arguments = ["-m", "cosy.cli.measured", engine.value, load.text, str(load.requests), settings.model_dump_json()]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=PIPE, limit=LONGEST_LINE)
    try:
        events = _events(process)
        direct = await _await(events, "direct")
        listening = await _await(events, "listening")
        timings: dict[str, tuple[float, float]] = {}
        reading = asyncio.create_task(_collect(events, timings))
        yield Measured(listening["url"], process.pid, timings, direct["first_audio_s"])
        process.terminate()
        await reading
        await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _events(process: Process) -> AsyncIterator[dict[str, Any]]:
    """What the server logs."""
    assert process.stderr is not None, "it is a pipe"
    async for line in process.stderr:
        try:
            yield json.loads(line)
        except ValueError:
            yield {"event": "", "text": line.decode(errors="replace").strip()}


async def _await(events: AsyncIterator[dict[str, Any]], name: str) -> dict[str, Any]:
    """The next event of this name.  Raises EngineError with what was logged instead if none comes."""
    import anyio

    said = ["nothing was said"]
    with anyio.move_on_after(START_S):
        async for event in events:
            if event["event"] == name:
                return event
            said.append(event.get("text") or event["event"])
    raise EngineError(f"the server to measure did not start: {said[-1]}")


async def _collect(events: AsyncIterator[dict[str, Any]], timings: dict[str, tuple[float, float]]) -> None:
    async for event in events:
        if event["event"] == "engine":
            timings.setdefault(event["request_id"], (event["first_s"], event["last_s"]))
