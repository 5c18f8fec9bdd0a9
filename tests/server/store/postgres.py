"""A PostgreSQL server of the tests' own, in a temporary folder."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = "/usr/lib/postgresql"  # of Debian
OPTIONS = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c shared_buffers=16MB"


def installed() -> Path | None:
    """The folder of the newest server's programs."""
    found = sorted(Path(PROGRAMS).glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    return found[-1].parent if found else None


@contextmanager
def running(programs: Path) -> Iterator[str]:
    """Start a server for the length of the block; yields its address without a database's name."""
    home = Path(tempfile.mkdtemp(prefix="cosy-postgres-"))  # short: a socket's path may have 107 bytes
    if os.geteuid() == 0:
        shutil.chown(home, "postgres", "postgres")  # the server refuses to run as root
    port = _free_port()
    options = f"{OPTIONS} -p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={home}"
    try:
        _run(home, programs / "initdb", "-D", home / "data", "-U", "cosy", "-A", "trust", "-E", "UTF8", "--no-sync")
        _run(home, programs / "pg_ctl", "-D", home / "data", "-l", home / "log", "-o", options, "-w", "start")
        try:
            yield f"postgresql://cosy@127.0.0.1:{port}"
        finally:
            _run(home, programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(home: Path, *command: str | Path) -> None:
    line = shlex.join(map(str, command))
    whole = ["runuser", "-u", "postgres", "--", "sh", "-c", line] if os.geteuid() == 0 else ["sh", "-c", line]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    # No pipes: the server inherits them, and reading to their end would wait for it.
    with (home / "output").open("a+") as output:
        finished = subprocess.run(
            whole, cwd=home, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
        )
        output.seek(0)
        assert finished.returncode == 0, f"{line}\n{output.read()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
