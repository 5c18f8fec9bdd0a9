"""Running the app in this process: the socket, the signals, and an end that lets running answers finish."""

from __future__ import annotations

import signal
import socket
import time
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from cosy.errors import ParameterError
from cosy.server import logs

if TYPE_CHECKING:
    from fastapi import FastAPI

    from cosy.server.limits import Limits
    from cosy.server.settings import Settings

LAST_WORDS_S = 3  # for connections to close once their answers have ended


def bind(settings: Settings) -> socket.socket:
    """The server's socket, not listening yet.  Raises ParameterError if the address cannot be had."""
    host = settings.host.strip("[]")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ParameterError(f"host {settings.host!r} is no address of this machine: {error.strerror}") from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        _give_up_on_silence(bound, settings.stall_s)
        bound.bind(address)
    except OSError as error:
        bound.close()
        place = f"{settings.host}, port {settings.port}"
        raise ParameterError(f"cannot listen on {place}: {error.strerror}; choose another port") from error
    return bound


def _give_up_on_silence(bound: socket.socket, seconds: float) -> None:
    """Let the system end connections, which have the options of the socket they came by, that are as good as dead.

    Closing one whose client reads nothing waits until all has been read: without this its descriptor and its
    buffers, some megabytes, would stay as long as that client likes.
    """
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # other systems than Linux have no such thing
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1000 * seconds))


def address_of(bound: socket.socket) -> str:
    """The URL under which the socket is reached on this machine."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve_app(app: FastAPI, settings: Settings, bound: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT, then drain.  A second signal ends it at once."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_keep_alive=round(settings.keep_alive_s),
        timeout_graceful_shutdown=LAST_WORDS_S,
        ws_max_size=settings.max_socket_message_bytes,
        forwarded_allow_ips=settings.trusted_proxies,
    )
    server = DrainingServer(config, app.state.context.limits, settings.drain_s)
    await server.serve(sockets=[bound])
    logs.event("stopped")


class DrainingServer(uvicorn.Server):
    """On the first signal it lets nobody in any more and goes on until the running answers have ended, or time is up.

    Until then it still listens, so that /ready can say 503 and new requests are told to try elsewhere.
    """

    def __init__(self, config: uvicorn.Config, limits: Limits, drain_s: float) -> None:
        super().__init__(config)
        self._limits = limits
        self._drain_s = drain_s
        self._asked_s: float | None = None
        self._quiet_looks = 0
        self._cut = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or []:
            logs.event("listening", url=address_of(each))

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by a signal, or by a test.  uvicorn raises the signals it saw again; an end that was asked for is
        no failure, so this one does not pass them on."""
        if self._asked_s is None:
            self._asked_s = time.monotonic()
        else:
            self._asked_s = -self._drain_s  # long ago
            self.force_exit = sig == signal.SIGINT

    async def on_tick(self, counter: int) -> bool:
        if self._asked_s is not None and not self.should_exit:
            self._drain(self._asked_s)
        return await super().on_tick(counter)

    def _drain(self, asked_s: float) -> None:
        """Look, ten times a second, whether all is done.

        Nothing may be for two looks in a row: between the last audio and the message that it was the last there is
        a moment without either.  What is cut off gets until the next look to tell its client.
        """
        if not self._limits.draining:
            logs.event("draining", active=self._limits.active)
            self._limits.drain()
        self._quiet_looks = 0 if self._limits.busy else self._quiet_looks + 1
        self.should_exit = self._cut or self._quiet_looks == 2
        if time.monotonic() - asked_s >= self._drain_s:
            self._limits.abort_all()
            self._cut = True
