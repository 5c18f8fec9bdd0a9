"""Recorded consents: kept, listed, renamed, forgotten."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from cosy.errors import AudioError, InputError, ParameterError
from cosy.server.store.consents import ConsentRecord, Consents, ConsentUpload
from cosy.server.store.database import Database
from cosy.server.store.errors import UnknownRecordError
from cosy.server.store.objects import ObjectStore
from tests.server.store.sounds import recording

AUDIO = recording(2.0)


@pytest.fixture
def consents(database: Database, objects: ObjectStore) -> Consents:
    return Consents(database, objects)


def add(consents: Consents, name: str = "Hers", language: str = "en-US", **upload: Any) -> ConsentRecord:
    return anyio.run(consents.add, ConsentUpload(upload.pop("audio", AUDIO), name, language, **upload))


def test_a_consent_is_kept(consents: Consents) -> None:
    record = add(consents, filename="x/yes.wav", owner="k1")
    assert (record.name, record.language, record.filename, record.owner) == ("Hers", "en-US", "yes.wav", "k1")
    assert record.id.startswith("cons_")
    assert anyio.run(consents.get, record.id) == record
    assert anyio.run(consents.audio, record.id) == AUDIO


def test_consents_are_listed_in_pages(consents: Consents) -> None:
    records = [add(consents, name, owner=name) for name in "abc"]

    async def names(**page: Any) -> list[str]:
        return [each.name for each in await consents.list(**page)]

    async def check() -> None:
        assert await names() == ["c", "b", "a"]
        assert await names(limit=2, after=records[2].id) == ["b", "a"]
        assert await names(newest_first=False, limit=1, offset=1) == ["b"]
        assert await names(owner="a") == ["a"]

    anyio.run(check)


def test_a_consent_can_be_renamed(consents: Consents) -> None:
    record = add(consents)
    assert anyio.run(consents.rename, record.id, "His").name == "His"
    assert anyio.run(consents.get, record.id).name == "His"


def test_a_removed_consent_is_gone_with_its_recording(consents: Consents, objects: ObjectStore) -> None:
    record = add(consents)
    anyio.run(consents.remove, record.id)
    assert list(objects.list("consents")) == []
    for look in (consents.get, consents.remove, consents.audio):
        with pytest.raises(UnknownRecordError, match=record.id):
            anyio.run(look, record.id)


@pytest.mark.parametrize("consent_id", ["nobody", "", "a\0b", "\udc80"])
def test_an_unknown_consent_is_told(consents: Consents, consent_id: str) -> None:
    with pytest.raises(UnknownRecordError):
        anyio.run(consents.get, consent_id)


@pytest.mark.parametrize(
    ("upload", "error"),
    [
        ({"audio": b"noise"}, AudioError),
        ({"language": "English, please"}, ParameterError),
        ({"name": ""}, ParameterError),
    ],
)
def test_a_bad_consent_leaves_nothing(
    consents: Consents, objects: ObjectStore, upload: dict[str, Any], error: type[InputError]
) -> None:
    with pytest.raises(error):
        add(consents, **upload)
    assert list(objects.list("consents")) == []


def test_a_sweep_takes_recordings_without_a_row(consents: Consents, objects: ObjectStore) -> None:
    record = add(consents)
    objects.write("consents/0123-recording", AUDIO)
    assert consents.sweep(-60.0) == 1
    assert anyio.run(consents.audio, record.id) == AUDIO
