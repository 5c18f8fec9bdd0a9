"""A database that counts what it is asked, and can be taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import sqlalchemy as sa

from cosy.server.store.database import Database
from cosy.server.store.errors import DatabaseError


class Watched:
    """Stands in front of `database`; `down` makes every transaction fail."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.sqlite = database.sqlite
        self.transactions = 0
        self.down = False

    @property
    def as_database(self) -> Database:
        return cast(Database, self)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        self._count()
        with self._database.read() as connection:
            yield connection

    @contextmanager
    def write(self, turn: str = "") -> Iterator[sa.Connection]:
        self._count()
        with self._database.write(turn) as connection:
            yield connection

    def _count(self) -> None:
        self.transactions += 1
        if self.down:
            raise DatabaseError("the database was taken away")
