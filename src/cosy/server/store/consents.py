"""Recorded consents: a speaker says that their voice may be cloned; voices refer to the recording by its id."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from anyio import to_thread

from cosy.audio.io import load_audio
from cosy.errors import AudioError, ParameterError
from cosy.server.store.admission import clean_filename, clean_name
from cosy.server.store.database import Database
from cosy.server.store.errors import DatabaseError, UnknownRecordError
from cosy.server.store.objects import ORPHAN_AGE_S, ObjectStore
from cosy.server.store.records import MIB, VoiceLimits
from cosy.server.store.tables import consents as table
from cosy.server.store.tables import now, paged

Row = sa.Row[Any]

KIND = "consents"  # of the objects
CONSENT_PREFIX = "cons_"
LANGUAGE = re.compile(r"[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8}){0,3}")  # a tag of BCP 47, loosely
FIELDS = ("id", "name", "language", "filename", "bytes", "sha256", "owner", "created_at")
CHECKED_S = 1.0  # of the recording: enough to see that it is one


@dataclass(frozen=True)
class ConsentUpload:
    """A recording of somebody who allows their voice to be cloned."""

    audio: bytes
    name: str
    language: str  # a tag such as "en" or "zh-CN"
    filename: str = ""
    owner: str = ""  # id of the key it came with


@dataclass(frozen=True)
class ConsentRecord:
    """What is known of a consent."""

    id: str
    name: str
    language: str
    filename: str
    bytes: int
    sha256: str
    owner: str
    created_at: datetime  # UTC


class Consents:
    """All recorded consents; coroutines leave the event loop for whatever blocks."""

    def __init__(self, database: Database, objects: ObjectStore, limits: VoiceLimits | None = None) -> None:
        self._database, self._objects = database, objects
        self._limits = limits or VoiceLimits()

    async def start(self) -> None:
        """Sweep up what crashes have left."""
        await to_thread.run_sync(self.sweep)

    async def add(self, upload: ConsentUpload) -> ConsentRecord:
        """Keep a recording.  Raises AudioError for it, ParameterError for the name or the language tag."""
        return await to_thread.run_sync(self._add, upload)

    async def get(self, consent_id: str) -> ConsentRecord:
        """One consent.  Raises UnknownRecordError."""
        return _record(await to_thread.run_sync(self._find, consent_id))

    async def list(
        self,
        *,
        owner: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        after: str = "",
        newest_first: bool = True,
    ) -> list[ConsentRecord]:
        """One page by time; `after` is the id of the last of the page before.  Raises UnknownRecordError for it."""
        page = partial(self._list, owner, after=after, limit=limit, offset=offset, newest_first=newest_first)
        return [_record(row) for row in await to_thread.run_sync(page)]

    async def rename(self, consent_id: str, name: str) -> ConsentRecord:
        """Raises UnknownRecordError, and ParameterError for the name."""
        return await to_thread.run_sync(self._rename, consent_id, clean_name(name, "consent"))

    async def remove(self, consent_id: str) -> None:
        """Forget it; voices that refer to it keep its id.  Raises UnknownRecordError."""
        await to_thread.run_sync(self._remove, consent_id)

    async def audio(self, consent_id: str) -> bytes:
        """The recording.  Raises UnknownRecordError."""
        row = await to_thread.run_sync(self._find, consent_id)
        return await to_thread.run_sync(self._objects.read, _key(row.folder))

    def sweep(self, min_age_s: float = ORPHAN_AGE_S) -> int:
        """Remove objects at least that old which no row names; returns how many.  Blocks."""
        return self._objects.sweep(KIND, self._folders, min_age_s)

    def _folders(self) -> set[str]:
        with self._database.read() as connection:
            return set(connection.scalars(sa.select(table.c.folder)))

    def _add(self, upload: ConsentUpload) -> ConsentRecord:
        values = {
            "id": f"{CONSENT_PREFIX}{uuid4().hex[:24]}",
            "name": clean_name(upload.name, "consent"),
            "language": _checked_language(upload.language),
            "folder": uuid4().hex,
            "filename": clean_filename(upload.filename),
            "bytes": len(upload.audio),
            "sha256": hashlib.sha256(upload.audio).hexdigest(),
            "owner": upload.owner,
            "created_at": now(),
        }
        self._check_recording(upload.audio)
        return _record(self._keep(upload.audio, values))

    def _check_recording(self, audio: bytes) -> None:
        most = self._limits.max_bytes
        if len(audio) > most:
            raise AudioError(
                f"the recording has {len(audio) / MIB:.1f} MiB, at most {most / MIB:g} MiB are taken; "
                "send it as FLAC or MP3"
            )
        load_audio(audio, max_s=CHECKED_S)

    def _keep(self, audio: bytes, values: dict[str, Any]) -> Row:
        """The recording first, then the row."""
        key = _key(values["folder"])
        self._objects.write(key, audio)
        try:
            with self._database.write() as connection:
                connection.execute(table.insert().values(values))
                return _one(connection, values["id"])
        except DatabaseError:
            raise  # whether the row is there is not known: if not, a sweep takes the recording
        except BaseException:
            self._objects.remove(key)
            raise

    def _list(
        self, owner: str | None, *, after: str, limit: int | None, offset: int, newest_first: bool
    ) -> Sequence[Row]:
        query = sa.select(table) if owner is None else sa.select(table).where(table.c.owner == owner)
        with self._database.read() as connection:
            last = _one(connection, after) if after else None
            query = paged(query, table, after=last, limit=limit, offset=offset, newest_first=newest_first)
            return connection.execute(query).all()

    def _rename(self, consent_id: str, name: str) -> ConsentRecord:
        with self._database.write() as connection:
            row = _one(connection, consent_id)
            connection.execute(table.update().where(table.c.serial == row.serial).values(name=name))
            return _record(_one(connection, consent_id))

    def _remove(self, consent_id: str) -> None:
        with self._database.write() as connection:
            row = _one(connection, consent_id)
            connection.execute(table.delete().where(table.c.serial == row.serial))
        self._objects.remove(_key(row.folder))

    def _find(self, consent_id: str) -> Row:
        with self._database.read() as connection:
            return _one(connection, consent_id)


def require_consent_record(database: Database, consent_id: str) -> None:
    """Raises ParameterError if there is no such consent.  Blocks."""
    try:
        with database.read() as connection:
            _one(connection, consent_id)
    except UnknownRecordError as error:
        raise ParameterError(str(error)) from None


def _checked_language(language: str) -> str:
    if not LANGUAGE.fullmatch(language):
        raise ParameterError(f"language must be a tag such as 'en' or 'zh-CN', got {language[:32]!r}")
    return language


def _one(connection: sa.Connection, consent_id: str) -> Row:
    query = sa.select(table).where(table.c.id == consent_id)
    row = connection.execute(query).one_or_none() if consent_id.isprintable() else None
    if row is None:
        raise UnknownRecordError(f"there is no consent {consent_id[:64]!r}; record it first")
    return row


def _record(row: Row) -> ConsentRecord:
    return ConsentRecord(**{field: getattr(row, field) for field in FIELDS})


def _key(folder: str) -> str:
    return f"{KIND}/{folder}-recording"
