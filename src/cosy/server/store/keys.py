"""API keys: who may call, for what, and how much.

A secret is shown once and kept only as its SHA-256, which is enough for 256 random bits.  Checking one costs no
query: the table is read again after `max_age_s`, so that a key revoked by any process stops working within that.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import anyio
import sqlalchemy as sa
from anyio import to_thread

from cosy.errors import ParameterError
from cosy.server.store.admission import clean_name
from cosy.server.store.database import Database
from cosy.server.store.errors import UnknownRecordError
from cosy.server.store.tables import keys as table
from cosy.server.store.tables import now

SECRET_PREFIX = "cosy_"
SECRET_BYTES = 32
SCOPES = frozenset({"speech", "voices", "admin"})
STATIC_SCOPES = frozenset({"speech", "voices"})
MAX_AGE_S = 3.0


@dataclass(frozen=True)
class Key:
    """A key without its secret."""

    id: str
    name: str
    scopes: frozenset[str]
    rpm: int | None = None  # requests per minute; None: what the settings say
    concurrency: int | None = None  # requests at once; None: what the settings say
    created_at: datetime | None = None  # None: given by the settings
    revoked_at: datetime | None = None
    digest: bytes = field(default=b"", repr=False)  # SHA-256 of the secret


@dataclass(frozen=True)
class _Snapshot:
    """The table as it was, and when it was asked for."""

    keys: tuple[Key, ...]
    taken_s: float


class KeyRing:
    """The keys of the database, and the `static` secrets of the settings, which have `static_scopes`.

    Static keys are called static-1, static-2 ... in the order given.
    """

    def __init__(
        self,
        database: Database,
        static: Iterable[str] = (),
        *,
        static_scopes: Iterable[str] = STATIC_SCOPES,
        max_age_s: float = MAX_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        scopes = frozenset(static_scopes)
        self._database, self._max_age_s, self._clock = database, max_age_s, clock
        self._static = tuple(
            Key(f"static-{number}", f"static-{number}", scopes, digest=_digest(secret))
            for number, secret in enumerate(static, 1)
        )
        self._snapshot: _Snapshot | None = None
        self._lock = anyio.Lock()

    async def required(self) -> bool:
        """Whether calls need a key: there is one, or there has been; revoking the last one opens nothing."""
        return bool(self._static) or bool((await self._table()).keys)

    async def verify(self, secret: str) -> Key | None:
        """The key with this secret, unless it is revoked.  Takes as long for a wrong one as for a right one."""
        digest = _digest(secret)
        found: Key | None = None
        for key in (*self._static, *(await self._table()).keys):
            if hmac.compare_digest(key.digest, digest) and key.revoked_at is None:
                found = key
        return found

    async def create(
        self, name: str, scopes: Iterable[str], *, rpm: int | None = None, concurrency: int | None = None
    ) -> tuple[Key, str]:
        """A new key and its secret, which cannot be had again.

        Raises ParameterError for a name, a scope or a limit that will not do.
        """
        secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
        key = Key(
            id=secrets.token_hex(8),
            name=clean_name(name, "key"),
            scopes=_checked_scopes(scopes),
            rpm=_checked_limit(rpm, "rpm"),
            concurrency=_checked_limit(concurrency, "concurrency"),
            created_at=now(),
            digest=_digest(secret),
        )
        await to_thread.run_sync(self._insert, key)
        self._snapshot = None
        return key, secret

    async def list(self) -> Sequence[Key]:
        """All keys of the database, the oldest first; revoked ones too."""
        return await to_thread.run_sync(self._read)

    async def revoke(self, key_id: str) -> Key:
        """Take a key back; doing so twice changes nothing.  Raises UnknownRecordError."""
        key = await to_thread.run_sync(self._revoke, key_id)
        self._snapshot = None
        return key

    async def _table(self) -> _Snapshot:
        if (fresh := self._fresh()) is not None:
            return fresh
        async with self._lock:  # many calls at once make one query
            if (fresh := self._fresh()) is not None:
                return fresh
            taken_s = self._clock()
            self._snapshot = snapshot = _Snapshot(tuple(await to_thread.run_sync(self._read)), taken_s)
            return snapshot

    def _fresh(self) -> _Snapshot | None:
        snapshot = self._snapshot
        return snapshot if snapshot and self._clock() - snapshot.taken_s < self._max_age_s else None

    def _read(self) -> Sequence[Key]:
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(sa.select(table).order_by(table.c.created_at, table.c.id))]

    def _insert(self, key: Key) -> None:
        values = {name: getattr(key, name) for name in ("id", "name", "rpm", "concurrency", "created_at")}
        values |= {"digest": key.digest.hex(), "scopes": sorted(key.scopes)}
        with self._database.write() as connection:
            connection.execute(table.insert().values(values))

    def _revoke(self, key_id: str) -> Key:
        with self._database.write() as connection:
            revoked = table.update().where(table.c.id == key_id, table.c.revoked_at.is_(None))
            connection.execute(revoked.values(revoked_at=now()))
            row = connection.execute(sa.select(table).where(table.c.id == key_id)).one_or_none()
        if row is None:
            raise UnknownRecordError(f"there is no key {key_id[:64]!r}; list the keys for their ids")
        return _key(row)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _key(row: sa.Row[Any]) -> Key:
    return Key(
        id=row.id,
        name=row.name,
        scopes=frozenset(row.scopes),
        rpm=row.rpm,
        concurrency=row.concurrency,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        digest=bytes.fromhex(row.digest),
    )


def _checked_scopes(scopes: Iterable[str]) -> frozenset[str]:
    chosen = frozenset(scopes)
    if not chosen or chosen - SCOPES:
        raise ParameterError(
            f"scopes must be some of {', '.join(sorted(SCOPES))}, got {', '.join(sorted(chosen)) or 'none'}"
        )
    return chosen


def _checked_limit(limit: int | None, name: str) -> int | None:
    if limit is not None and not 1 <= limit < 2**31:
        raise ParameterError(f"{name} must be at least 1, or none at all, got {limit}; revoke a key to stop it")
    return limit
