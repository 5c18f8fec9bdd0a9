"""Servers as processes of their own, so that they can be killed.

`humming` is the app around the fake engine, `speaking` is `cosy serve`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import anyio
from anyio import to_thread

from cosy.server import logs
from cosy.server.process import bind, serve_app
from cosy.server.settings import Settings
from cosy.server.store.voices import VoiceRegistry
from cosy.types import AudioChunk, SpeechRequest
from tests.server.fake import FakeEngine, make_parts

ROOT = Path(__file__).parents[2]
START_S = 60.0
SPEAK = [sys.executable, "-c", "from cosy.cli.app import main; main()", "serve", "--port", "0"]
HUM = [sys.executable, "-m", "tests.server.processes"]


@dataclass(frozen=True)
class Server:
    """A server that listens."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def ws_url(self) -> str:
        return "ws" + self.url.removeprefix("http")

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it has logged."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    @property
    def files(self) -> int:
        """Descriptors that it holds open."""
        return open_files(str(self.process.pid))

    @property
    def resident_bytes(self) -> int:
        """Memory that it holds."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it as a power failure would, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> None:
        """Tell it to end."""
        self.process.send_signal(signal.SIGTERM)

    def status(self) -> int:
        """With which it has ended, once it has."""
        return self.process.wait(30)


def open_files(process: str) -> int:
    """Descriptors of a process, but those of databases, which have pools of bounded size."""
    found = 0
    for link in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has been closed meanwhile
            found += ".db" not in os.readlink(link)
    return found


def humming(folder: Path, delay_s: float = 0.0, **settings: Any) -> AbstractContextManager[Server]:
    """The fake engine's app on the store in `folder`, `delay_s` before each chunk."""
    return _started([*HUM, str(folder), str(delay_s), json.dumps(settings)], folder)


def speaking(folder: Path, *options: str) -> AbstractContextManager[Server]:
    """`cosy serve`, by default with the bundled model."""
    return _started([*SPEAK, "--data-dir", str(folder), *options], folder)


@contextmanager
def _started(command: list[str], folder: Path) -> Iterator[Server]:
    """The process, once it listens; killed with the block."""
    scratch = folder / "tmp"
    scratch.mkdir(parents=True, exist_ok=True)
    log = folder / f"log-{time.monotonic_ns()}"  # a pipe that nobody reads would stop it
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COSY_")}
    environment |= {"OMP_NUM_THREADS": "1", "TMPDIR": str(scratch)}
    with log.open("wb") as stderr, subprocess.Popen(command, stderr=stderr, cwd=ROOT, env=environment) as process:
        try:
            yield Server(_url(log, process), process, log)
        finally:
            process.kill()


def _url(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        for line in log.read_text().splitlines(keepends=True):
            if '"event": "listening"' in line and line.endswith("\n"):
                return str(json.loads(line)["url"])
        time.sleep(0.02)
    raise AssertionError(f"the server did not start: {log.read_text()[-2000:]}")


class Reader(FakeEngine):
    """Hums only in a voice that is there and prepared, as an engine that speaks would."""

    voices_of: VoiceRegistry

    async def stream(self, request: SpeechRequest, request_id: str | None = None) -> AsyncIterator[AudioChunk]:
        if isinstance(request.voice, str):
            assert await to_thread.run_sync(self.voices_of.prepared, request.voice)
        stream = super().stream(request, request_id)
        async with aclosing(cast("AsyncGenerator[AudioChunk, None]", stream)):
            async for chunk in stream:
                yield chunk

    def stats(self) -> Mapping[str, float]:
        """On the page of metrics, so that a test can see what the process holds."""
        names = [thread.name for thread in threading.enumerate()]
        threads = [name for name in names if "AnyIO" not in name]  # those are a pool of bounded size
        return {**super().stats(), "tasks": len(asyncio.all_tasks()), "threads": len(threads)}


def hum(folder: Path, delay_s: float, chosen: dict[str, Any]) -> None:
    """The whole life of a process."""
    chosen = {"port": 0, **chosen}
    settings, engine = Settings(data_dir=folder, **chosen), Reader(delay_s=delay_s)
    logs.set_up(settings.log_level)
    with make_parts(folder, engine, **chosen) as parts, bind(settings) as socket:
        engine.voices_of = parts.voices
        anyio.run(serve_app, parts.app, settings, socket)


if __name__ == "__main__":
    hum(Path(sys.argv[1]), float(sys.argv[2]), json.loads(sys.argv[3]))
