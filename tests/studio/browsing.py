"""A browser on the studio, and a wire to the server that can be cut."""

from __future__ import annotations

import base64
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import av
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocket

KEY = "the-key-of-the-tests"
WAIT_MS = 30_000
POLL_MS = 50
TAP = Path(__file__).parent / "tap.js"
FULL_SCALE = 32768


@dataclass
class Studio:
    """A page of the studio, and everything about it that a test may ask."""

    page: Page
    url: str
    problems: list[str] = field(default_factory=list)  # errors on its console
    asked: list[str] = field(default_factory=list)  # addresses of all requests

    def watch(self) -> None:
        """Listen to what the page does."""
        self.page.on("console", lambda said: self._note(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self._note(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("websocket", lambda socket: self._opened(socket))

    def _note(self, text: str) -> None:
        self.problems.append(text)

    def _opened(self, socket: WebSocket) -> None:
        self.asked.append(socket.url)

    def open(self, name: str = "speak") -> None:
        """A page of the studio, loaded and drawn."""
        self.page.goto(f"{self.url}/#/{name}")
        self.wait(f'main[data-page="{name}"]')

    def wait(self, selector: str) -> None:
        self.page.wait_for_selector(selector, timeout=WAIT_MS)

    def until(self, expression: str) -> None:
        """Wait for a JavaScript expression to be true.

        Asked from here again and again: a browser's own waiting would need `eval`, which the page's policy forbids.
        """
        deadline = time.monotonic() + WAIT_MS / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"still not true: {expression}"
            self.page.wait_for_timeout(POLL_MS)

    def press(self, name: str) -> None:
        """A button by its whole name."""
        self.page.get_by_role("button", name=name, exact=True).click()

    def say(self, text: str) -> None:
        self.page.fill("#text", text)
        self.press("Speak")

    def metrics(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.page.evaluate("cosyStudio.metrics()"))

    def sent_by_server(self) -> npt.NDArray[np.int16]:
        """All samples (n,) of the run that the page has got."""
        return np.frombuffer(self._bytes("new Blob(cosyStudio.pcm())"), "<i2")

    def heard(self) -> npt.NDArray[np.int16]:
        """All samples (n,) that have left the page's audio graph, silence included; it is recorded up to here."""
        with av.open(io.BytesIO(self._bytes("await window.heard()"))) as file:
            pieces = [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
        return np.round(np.concatenate(pieces) * FULL_SCALE).astype(np.int16)

    def _bytes(self, blob: str) -> bytes:
        """What a JavaScript expression for a Blob holds."""
        script = f"""async () => {{
            const reader = new FileReader();
            const read = new Promise((resolve) => (reader.onload = () => resolve(reader.result)));
            reader.readAsDataURL({blob});
            return read;
        }}"""
        return base64.b64decode(self.page.evaluate(script).partition(",")[2])

    def fact(self, name: str) -> str:
        return self.page.inner_text(f'[data-fact="{name}"]')


def preferences(**values: Any) -> str:
    """A script that gives a fresh browser these preferences."""
    lines = [
        f"if (localStorage.getItem('cosy.{name}') === null) "
        f"localStorage.setItem('cosy.{name}', {json.dumps(json.dumps(value))});"
        for name, value in values.items()
    ]
    return "\n".join(lines)


class Wire:
    """A TCP proxy to the server that can be cut and mended."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._open: list[socket.socket] = []
        self._listener: socket.socket | None = None
        self._port = 0
        self.mend()
        self.url = f"http://127.0.0.1:{self._port}"

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Refuse new connections and break those there are."""
        assert self._listener is not None, "the wire was mended"
        _close(self._listener)
        for each in self._open:
            _close(each)
        self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                near = listener.accept()[0]
                far = socket.create_connection(self._target)
                self._open += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes whoever waits in it
    each.close()


@contextmanager
def elsewhere(folder: Path) -> Iterator[str]:
    """The address of another origin, which serves a folder."""
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def wire(url: str) -> Iterator[Wire]:
    """The wire, cut for good with the block."""
    made = Wire(url)
    try:
        yield made
    finally:
        made.cut()
