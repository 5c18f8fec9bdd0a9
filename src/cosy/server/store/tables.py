"""The tables, and the paging that their listings share.  Migrations bring a database to this state."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
    }
)

Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")  # SQLite counts up only plain integers


class UtcDateTime(sa.TypeDecorator[datetime]):
    """An instant; comes back with the time zone UTC from databases that keep none."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        assert value is None or value.tzinfo is not None, "an instant needs its time zone"
        return value and value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)


class Words(sa.TypeDecorator[str]):
    """Text.  PostgreSQL has no place for the character NUL, so the replacement character stands for it everywhere."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return value and value.replace("\0", "\ufffd")


class LongWords(Words):
    """Text of any length."""

    impl = sa.Text
    cache_ok = True


voices = sa.Table(
    "voices",
    metadata,
    sa.Column("serial", Serial, primary_key=True),  # order of insertion
    sa.Column("id", Words(255), nullable=False, unique=True),
    sa.Column("name", Words(128), nullable=False),
    sa.Column("folder", Words(32), nullable=False, unique=True),  # start of its objects' keys
    sa.Column("transcript", LongWords, nullable=False),
    sa.Column("filename", Words(255), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", Words(64), nullable=False),
    sa.Column("pcm_rate_hz", sa.Integer),  # of a recording without a header; null: the recording tells
    sa.Column("duration_s", sa.Float, nullable=False),
    sa.Column("warnings", sa.JSON, nullable=False),
    sa.Column("surface", Words(32), nullable=False, index=True),
    sa.Column("owner", Words(64), nullable=False, index=True),
    sa.Column("consent", LongWords, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("modified_at", UtcDateTime, nullable=False),
    sqlite_autoincrement=True,
)

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("serial", Serial, primary_key=True),
    sa.Column("id", Words(64), nullable=False, unique=True),
    sa.Column("name", Words(128), nullable=False),
    sa.Column("language", Words(35), nullable=False),
    sa.Column("folder", Words(32), nullable=False, unique=True),
    sa.Column("filename", Words(255), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", Words(64), nullable=False),
    sa.Column("owner", Words(64), nullable=False, index=True),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sqlite_autoincrement=True,
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", Words(32), primary_key=True),
    sa.Column("name", Words(128), nullable=False),
    sa.Column("digest", Words(64), nullable=False, unique=True),  # SHA-256 of the secret, which is not kept
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("rpm", sa.Integer),  # requests per minute; null: no limit of its own
    sa.Column("concurrency", sa.Integer),  # requests at once; null: no limit of its own
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("revoked_at", UtcDateTime),
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("key_id", Words(64), primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),  # UTC
    sa.Column("requests", sa.BigInteger, nullable=False),
    sa.Column("characters", sa.BigInteger, nullable=False),
    sa.Column("utf8_bytes", sa.BigInteger, nullable=False),
    sa.Column("audio_s", sa.Float, nullable=False),
    sa.Column("errors", sa.BigInteger, nullable=False),
)


def paged(
    query: sa.Select[Any],
    table: sa.Table,
    *,
    after: sa.Row[Any] | None,
    limit: int | None,
    offset: int,
    newest_first: bool,
) -> sa.Select[Any]:
    """One page by time of creation, ties by insertion, behind the row `after` if there is one."""
    created, serial = table.c.created_at, table.c.serial
    if after is not None:
        tie = created == after.created_at
        later = sa.or_(created > after.created_at, tie & (serial > after.serial))
        earlier = sa.or_(created < after.created_at, tie & (serial < after.serial))
        query = query.where(earlier if newest_first else later)
    order = (created.desc(), serial.desc()) if newest_first else (created, serial)
    return query.order_by(*order).limit(limit).offset(offset or None)


def now() -> datetime:
    """The present instant, in UTC."""
    return datetime.now(timezone.utc)
