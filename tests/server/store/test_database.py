"""Addresses, transactions and migrations, on both databases."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from cosy.errors import ParameterError
from cosy.server.store.database import Database
from cosy.server.store.errors import DatabaseError
from cosy.server.store.tables import keys, metadata, now


def key_row(name: str) -> dict[str, object]:
    return {"id": name, "name": name, "digest": name, "scopes": ["speech"], "created_at": now()}


def test_migrations_make_exactly_the_tables_of_the_metadata(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    with database.write() as connection:
        connection.execute(keys.insert().values(key_row("kept")))
    database.migrate()
    with database.read() as connection:
        assert connection.scalar(sa.select(keys.c.id)) == "kept"


def migrate(url: str, start: threading.Barrier) -> None:
    start.wait()
    database = Database(url)
    database.migrate()
    database.close()


def test_processes_may_start_at_once(empty_url: str) -> None:
    spawn = multiprocessing.get_context("forkserver")
    start = spawn.Barrier(3)
    processes = [spawn.Process(target=migrate, args=(empty_url, start)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]


def test_a_database_of_a_newer_version_is_refused(empty_url: str) -> None:
    database = Database(empty_url)
    database.migrate()
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer version of cosy"):
        database.migrate()
    database.close()


def test_an_instant_comes_back_in_utc(database: Database) -> None:
    moment = now()
    with database.write() as connection:
        connection.execute(keys.insert().values(key_row("k") | {"created_at": moment}))
        back = connection.scalar(sa.select(keys.c.created_at))
    assert back is not None
    assert (back, back.utcoffset()) == (moment, moment.utcoffset())


def test_a_block_that_fails_leaves_nothing(database: Database) -> None:
    def fail() -> None:
        with database.write() as connection:
            connection.execute(keys.insert().values(key_row("k")))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(keys)) == 0


def test_writers_of_one_turn_count_right(database: Database) -> None:
    def add(number: int) -> None:
        for step in range(5):
            with database.write("keys") as connection:
                count = connection.scalar(sa.select(sa.func.count()).select_from(keys))
                connection.execute(keys.insert().values(key_row(f"{number}-{step}") | {"name": str(count)}))

    threads = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        counts = sorted(int(name) for name in connection.scalars(sa.select(keys.c.name)))
    assert counts == list(range(20))


def test_sqlite_writes_ahead(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/new folder/cosy.db")
    database.migrate()
    with database.read() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
    database.close()


def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.write() as writer, database.read() as reader:
        writer.execute(keys.insert().values(key_row("k")))
        assert reader.scalar(sa.select(sa.func.count()).select_from(keys)) == 0


def test_waiting_for_a_writer_ends(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/cosy.db", busy_timeout_s=0.05)
    database.migrate()
    with database.write(), pytest.raises(DatabaseError, match="locked"), database.write():
        pass
    database.close()


@pytest.mark.parametrize("url", ["mysql://root:hunter2@host/db", "sqlite://", "sqlite:///:memory:", "hunter2", ""])
def test_an_address_of_another_kind_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ParameterError, match="database address") as refused:
        Database(url)
    assert "root:hunter2" not in str(refused.value)


def test_a_server_that_is_not_there_is_an_error_without_the_password() -> None:
    database = Database("postgresql://me:hunter2@127.0.0.1:1/none")
    with pytest.raises(DatabaseError, match="does not work") as failed:
        database.migrate()
    assert "hunter2" not in str(failed.value)


def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "cosy.db").write_text("not a database, but long enough to have a header" * 20)
    database = Database(f"sqlite:///{tmp_path}/cosy.db")
    with pytest.raises(DatabaseError, match="not a database"):
        database.migrate()
    database.close()
