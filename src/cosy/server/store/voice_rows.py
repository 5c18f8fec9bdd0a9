"""The rows of uploaded voices: every query about them, and no objects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from cosy.errors import OverloadedError, UnknownVoiceError, VoiceError
from cosy.server.store.admission import clean_text
from cosy.server.store.database import Database
from cosy.server.store.records import VoiceLimits, VoiceRecord
from cosy.server.store.tables import now, paged
from cosy.server.store.tables import voices as table

Row = sa.Row[Any]

TURN = "voices"  # writers go one after the other
FULL_RETRY_S = 3600.0  # voices do not go away by themselves
FIELDS = ("id", "name", "transcript", "filename", "bytes", "sha256", "duration_s", "surface", "owner", "consent")


class VoiceRows:
    """The table of uploads.  Methods block; each is one transaction."""

    def __init__(self, database: Database, limits: VoiceLimits) -> None:
        self._database, self._limits = database, limits

    def find(self, voice_id: str) -> Row:
        """The row of that id.  Raises UnknownVoiceError."""
        with self._database.read() as connection:
            return _one(connection, voice_id)

    def folders(self) -> set[str]:
        """Of all voices: what their objects' keys start with."""
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(table.c.folder)))

    def list(
        self,
        *,
        surface: str | None,
        owner: str | None,
        name_prefix: str,
        limit: int | None,
        offset: int,
        after: str,
        newest_first: bool,
    ) -> list[Row]:
        """One page.  Raises UnknownVoiceError for `after`."""
        query = sa.select(table)
        if surface is not None:
            query = query.where(table.c.surface == surface)
        if owner is not None:
            query = query.where(table.c.owner == owner)
        if prefix := clean_text(name_prefix):  # not LIKE: databases differ in what letter case means to it
            query = query.where(sa.func.substr(table.c.name, 1, len(prefix)) == prefix)
        with self._database.read() as connection:
            last = _one(connection, after) if after else None
            query = paged(query, table, after=last, limit=limit, offset=offset, newest_first=newest_first)
            return list(connection.execute(query))

    def check_room(self, voice_id: str, owner: str, *, may_replace: bool) -> None:
        """Raises what `put` would, before the work of preparing a voice."""
        with self._database.read() as connection:
            self._room(connection, voice_id, owner, may_replace)

    def put(self, voice_id: str, values: Mapping[str, Any], *, may_replace: bool) -> tuple[Row, Row | None]:
        """Insert a row, or change the one of that id if `may_replace`; returns it and the one it replaced.

        Raises VoiceError if the id is taken, OverloadedError if there are as many voices as there may be.
        """
        with self._database.write(TURN) as connection:
            replaced = self._room(connection, voice_id, values["owner"], may_replace)
            if replaced is None:
                created = now()
                connection.execute(
                    table.insert().values(id=voice_id, created_at=created, modified_at=created, **values)
                )
            else:
                _change(connection, voice_id, values)
            return _one(connection, voice_id), replaced

    def change(self, voice_id: str, values: Mapping[str, Any]) -> tuple[Row, Row]:
        """Change a row; returns it as it is and as it was.  Raises UnknownVoiceError."""
        with self._database.write(TURN) as connection:
            before = _one(connection, voice_id)
            _change(connection, voice_id, values)
            return _one(connection, voice_id), before

    def remove(self, voice_id: str) -> Row:
        """Remove a row; returns what it was.  Raises UnknownVoiceError."""
        with self._database.write(TURN) as connection:
            row = _one(connection, voice_id)
            connection.execute(table.delete().where(table.c.id == voice_id))
            return row

    def _room(self, connection: sa.Connection, voice_id: str, owner: str, may_replace: bool) -> Row | None:
        """The row that would be replaced, or None if one more may be inserted."""
        row = connection.execute(sa.select(table).where(table.c.id == voice_id)).one_or_none()
        if row is not None:
            if may_replace:
                return row
            raise VoiceError(f"there is a voice with the id {voice_id!r} already; choose another, or replace it")
        count = sa.select(sa.func.count()).select_from(table)
        _require_fewer(connection, count, self._limits.max_voices, "the server")
        if owner:
            _require_fewer(connection, count.where(table.c.owner == owner), self._limits.max_per_owner, "this key")
        return None


def record_of(row: Row) -> VoiceRecord:
    """What may be told of a row."""
    values = {field: getattr(row, field) for field in FIELDS}
    return VoiceRecord(
        **values, kind="user", warnings=tuple(row.warnings), created_at=row.created_at, modified_at=row.modified_at
    )


def _one(connection: sa.Connection, voice_id: str) -> Row:
    query = sa.select(table).where(table.c.id == voice_id)
    row = connection.execute(query).one_or_none() if voice_id.isprintable() else None  # what is not cannot be stored
    if row is None:
        raise UnknownVoiceError(f"there is no voice {voice_id[:64]!r}; list the voices for their ids")
    return row


def _change(connection: sa.Connection, voice_id: str, values: Mapping[str, Any]) -> None:
    connection.execute(table.update().where(table.c.id == voice_id).values(modified_at=now(), **values))


def _require_fewer(connection: sa.Connection, count: sa.Select[Any], most: int | None, whose: str) -> None:
    if most is not None and connection.execute(count).scalar_one() >= most:
        raise OverloadedError(f"{whose} has {most} voices, which is the limit; delete one first", FULL_RETRY_S)
