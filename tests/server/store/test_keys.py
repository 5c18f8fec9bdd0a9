"""Keys: made, checked, limited, taken back."""

from __future__ import annotations

import anyio
import pytest
import sqlalchemy as sa

from cosy.errors import ParameterError
from cosy.server.store.database import Database
from cosy.server.store.errors import UnknownRecordError
from cosy.server.store.keys import Key, KeyRing
from cosy.server.store.tables import keys as table
from tests.server.store.watched import Watched


class Clock:
    """Time that passes when told to."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def make(ring: KeyRing, name: str = "web page", **limits: int) -> tuple[Key, str]:
    async def create() -> tuple[Key, str]:
        return await ring.create(name, ["speech"], **limits)

    return anyio.run(create)


def test_a_key_works_with_its_scopes_and_limits(database: Database) -> None:
    ring = KeyRing(database)
    key, secret = make(ring, rpm=60, concurrency=4)
    found = anyio.run(KeyRing(database).verify, secret)
    assert found == key
    assert (key.scopes, key.rpm, key.concurrency) == ({"speech"}, 60, 4)


def test_a_secret_has_256_bits_and_is_not_kept(database: Database) -> None:
    _, secret = make(KeyRing(database))
    assert secret.startswith("cosy_")
    assert len(secret) == len("cosy_") + 43
    with database.read() as connection:
        row = connection.execute(sa.select(table)).one()
    assert secret not in str(row)


def test_a_digest_is_not_shown(database: Database) -> None:
    key, secret = make(KeyRing(database))
    assert key.digest.hex() not in repr(key)
    assert secret not in repr(key)


@pytest.mark.parametrize("secret", ["", "cosy_wrong", "ключ", "\udc80", "x" * 100_000])
def test_a_wrong_secret_is_refused(database: Database, secret: str) -> None:
    ring = KeyRing(database, ["right"])
    make(ring)
    assert anyio.run(ring.verify, secret) is None


def test_keys_of_the_settings_may_speak_and_keep_voices(database: Database) -> None:
    ring = KeyRing(database, ["one", "two"])
    key = anyio.run(ring.verify, "two")
    assert key is not None
    assert (key.id, key.scopes) == ("static-2", {"speech", "voices"})


def test_no_key_is_required_until_there_is_one(database: Database) -> None:
    ring = KeyRing(database)
    assert not anyio.run(ring.required)
    make(ring)
    assert anyio.run(ring.required)
    assert anyio.run(KeyRing(database, ["static"]).required)


def test_revoking_the_last_key_does_not_open_the_server(database: Database) -> None:
    ring = KeyRing(database)
    key, secret = make(ring)
    anyio.run(ring.revoke, key.id)
    assert anyio.run(ring.verify, secret) is None
    assert anyio.run(ring.required)


def test_another_process_knows_of_a_revocation_within_five_seconds(database: Database) -> None:
    clock, other = Clock(), KeyRing(database)
    ring = KeyRing(database, clock=clock)
    key, secret = make(other)
    assert anyio.run(ring.verify, secret) is not None
    anyio.run(other.revoke, key.id)
    clock.now_s = 5.0
    assert anyio.run(ring.verify, secret) is None


def test_checking_costs_no_query_each(database: Database) -> None:
    watched = Watched(database)
    ring = KeyRing(watched.as_database)

    async def many() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(50):
                group.start_soon(ring.verify, "wrong")

    anyio.run(many)
    assert watched.transactions == 1


def test_revoking_twice_keeps_the_first_time(database: Database) -> None:
    ring = KeyRing(database)
    key, _ = make(ring)
    first = anyio.run(ring.revoke, key.id)
    assert first.revoked_at is not None
    assert anyio.run(ring.revoke, key.id) == first
    assert list(anyio.run(ring.list)) == [first]


def test_an_unknown_key_cannot_be_revoked(database: Database) -> None:
    with pytest.raises(UnknownRecordError, match="there is no key 'nobody'"):
        anyio.run(KeyRing(database).revoke, "nobody")


@pytest.mark.parametrize(
    ("name", "scopes", "limits", "message"),
    [
        ("", ["speech"], {}, "1 to 128 characters"),
        ("n" * 129, ["speech"], {}, "1 to 128 characters"),
        ("name", [], {}, "admin, speech, voices"),
        ("name", ["root"], {}, "got root"),
        ("name", ["speech"], {"rpm": 0}, "rpm must be at least 1"),
        ("name", ["speech"], {"concurrency": -1}, "concurrency must be at least 1"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused(
    database: Database, name: str, scopes: list[str], limits: dict[str, int], message: str
) -> None:
    async def create() -> None:
        await KeyRing(database).create(name, scopes, **limits)

    with pytest.raises(ParameterError, match=message):
        anyio.run(create)
