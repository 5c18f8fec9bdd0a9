"""The metadata database: SQLite in a file by default, PostgreSQL by address; the same code for both.

Synchronous, to be used from worker threads (`anyio.to_thread`).  A reader never waits; writers of SQLite take
turns, across processes too, and wait for each other for up to `busy_timeout_s`.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy.engine import URL, make_url

from cosy.dependencies import optional
from cosy.errors import ParameterError
from cosy.server.store.errors import DatabaseError

BUSY_TIMEOUT_S = 20.0
RETRY_S = 0.02
BROKEN = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.InternalError, sa.exc.TimeoutError)


class Database:
    """A pool of connections to `url`: `sqlite:///path/to/cosy.db` or `postgresql://user:password@host/name`.

    Raises ParameterError for an address that is neither, MissingDependencyError without the PostgreSQL driver.
    """

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._url = _parse(url)
        self._busy_timeout_s = busy_timeout_s
        self.sqlite = self._url.get_backend_name() == "sqlite"
        self._engine = self._sqlite_engine() if self.sqlite else _postgres_engine(self._url)
        self._writer = self._engine.execution_options(write=True)

    def __str__(self) -> str:
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A transaction that only reads.  Raises DatabaseError if the database does not answer."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self, turn: str = "") -> Iterator[sa.Connection]:
        """A transaction, committed at the end of the block, rolled back by an exception.

        Writers that name the same `turn` run one after the other, so that what one has counted still holds when
        it inserts; on SQLite all writers do.  Raises DatabaseError as `read` does, or if waiting took too long.
        """
        with self._translated(), self._writer.begin() as connection:
            if turn and not self.sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(zlib.crc32(f"cosy {turn}".encode()))))
            yield connection

    def migrate(self) -> None:
        """Bring the tables up to date; any number of processes may do so at once.

        Raises DatabaseError if the database cannot be reached or is newer than this program.
        """
        if self.sqlite:
            self._use_write_ahead_log()
        config = Config()
        config.set_main_option("script_location", "cosy.server.store:migrations")
        config.set_main_option("path_separator", "os")
        try:
            with self.write("migrations") as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        except CommandError as error:
            raise DatabaseError(
                f"the database {self} cannot be brought up to date: {error}; it may have been made by a newer version "
                "of cosy: update this one, or name another database"
            ) from error

    def close(self) -> None:
        """Give all idle connections back."""
        self._engine.dispose()

    def _sqlite_engine(self) -> sa.Engine:
        assert self._url.database is not None, "checked by _parse"
        folder = Path(self._url.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"cannot make the folder {folder} of the database: {error.strerror}") from error
        engine = sa.create_engine(self._url, connect_args={"timeout": self._busy_timeout_s})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _use_write_ahead_log(self) -> None:
        """A lasting property of the file.  SQLite does not wait for other processes here, so this does."""
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                with self._engine.connect() as connection:
                    driver: Any = connection.connection.dbapi_connection  # outside of any transaction
                    driver.execute("PRAGMA journal_mode=WAL").fetchall()
                return
            except (sa.exc.DBAPIError, sqlite3.Error) as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise DatabaseError(f"the database {self} cannot be opened: {error}") from error
                time.sleep(RETRY_S)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except BROKEN as error:
            reason = getattr(error, "orig", None) or error
            raise DatabaseError(f"the database {self} does not work: {str(reason).strip()}") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except sa.exc.ArgumentError:
        parsed = URL.create("none")
    backend = parsed.drivername.partition("+")[0]
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed.set(drivername="sqlite+pysqlite")
    if backend in ("postgresql", "postgres"):
        optional("psycopg", "postgres")
        return parsed.set(drivername="postgresql+psycopg")
    raise ParameterError(
        "the database address must be sqlite:///path/to/file or postgresql://user:password@host/name, "
        f"got one that starts with {url.partition(':')[0]!r}"  # the rest may hold a password
    )


def _postgres_engine(url: URL) -> sa.Engine:
    return sa.create_engine(url, pool_pre_ping=True)  # a connection may have been lost while it was idle


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late and does not lock
    connection.execute("PRAGMA foreign_keys=ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    """A writer locks at once: one that starts as a reader could not wait for the others later."""
    writes = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
