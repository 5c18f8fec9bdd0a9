"""The same tests on SQLite and PostgreSQL: `database` is a migrated, empty one of either."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg
import pytest
import sqlalchemy as sa

from cosy.server.store.database import Database
from cosy.server.store.objects import ObjectStore
from cosy.server.store.tables import metadata
from cosy.server.store.voices import VoiceRegistry
from tests.server.store import postgres
from tests.server.store.sounds import prepare

MakeRegistry = Callable[..., VoiceRegistry]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Address of a PostgreSQL server on which databases can be made: COSY_TEST_POSTGRES, else one started here."""
    if given := os.environ.get("COSY_TEST_POSTGRES"):
        yield given.rstrip("/")
        return
    programs = postgres.installed()
    if programs is None:
        pytest.skip("no PostgreSQL server: run .ci/postgres as root, or set COSY_TEST_POSTGRES")
    with postgres.running(programs) as address:
        yield address


@contextmanager
def made_database(server: str) -> Iterator[str]:
    """A new database on a PostgreSQL server."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield f"{server}/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/cosy.db"
        return
    with made_database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "cosy.db"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    database.close()
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres_server: str) -> Iterator[Database]:
    """A database to be emptied after use."""
    with made_database(postgres_server) as url:
        database = Database(url)
        database.migrate()
        yield database
        database.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "cosy.db")
        copy = Database(f"sqlite:///{tmp_path}/cosy.db")
        yield copy
        copy.close()
        return
    shared: Database = request.getfixturevalue("migrated_postgres")
    yield shared
    with shared.write() as connection:
        connection.execute(sa.text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY"))


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "objects"))


@pytest.fixture
def make_registry(database: Database, objects: ObjectStore) -> MakeRegistry:
    """Builds a started registry; arguments as its own, `objects` and `prepare` too."""

    def make(**arguments: Any) -> VoiceRegistry:
        registry = VoiceRegistry(
            database, arguments.pop("objects", objects), arguments.pop("prepare", prepare), **arguments
        )
        anyio.run(registry.start)
        return registry

    return make


@pytest.fixture
def registry(make_registry: MakeRegistry) -> VoiceRegistry:
    return make_registry()
