"""Uploads: added, found, listed, changed, removed; and what is left when something fails."""

from __future__ import annotations

import errno
import hashlib
import threading
from datetime import datetime, timezone
from typing import Any

import anyio
import pytest

from cosy.errors import AudioError, OverloadedError, ParameterError, UnknownVoiceError, VoiceError
from cosy.server.store.consents import Consents, ConsentUpload
from cosy.server.store.database import Database
from cosy.server.store.errors import DatabaseError
from cosy.server.store.objects import ObjectStore
from cosy.server.store.presets import Preset
from cosy.server.store.records import Prepared
from cosy.server.store.voices import VoiceLimits, VoiceRegistry, VoiceUpload
from tests.server.store.conftest import MakeRegistry
from tests.server.store.sounds import AUDIO, prepare, recording, speech
from tests.server.store.uploads import add, listed
from tests.server.store.watched import Watched

PRESETS = [Preset("anna", lambda: b"anna"), Preset("bella", lambda: b"bella")]


def keys(objects: ObjectStore) -> list[str]:
    return [each.key for each in objects.list("voices")]


def test_an_upload_is_a_voice(registry: VoiceRegistry) -> None:
    before = datetime.now(timezone.utc)
    record = add(registry, transcript="Hi there.", filename="a/b.wav", surface="pai", owner="k1", consent="She agreed.")
    assert record == anyio.run(registry.get, record.id)
    assert (record.kind, record.name, record.transcript, record.filename) == ("user", "My voice", "Hi there.", "b.wav")
    assert (record.surface, record.owner, record.consent) == ("pai", "k1", "She agreed.")
    assert (record.bytes, record.sha256) == (len(AUDIO), hashlib.sha256(AUDIO).hexdigest())
    assert before <= record.created_at == record.modified_at
    assert record.created_at.utcoffset() == before.utcoffset()


def test_its_recording_is_kept_and_its_prepared_voice_found(registry: VoiceRegistry) -> None:
    record = add(registry, transcript="Hi there.")
    assert anyio.run(registry.audio, record.id) == AUDIO
    assert b"|Hi there.|" in registry.prepared(record.id)
    assert anyio.run(registry.resolve, record.id) == record.id


def test_it_is_there_after_a_restart(make_registry: MakeRegistry) -> None:
    record = add(make_registry())
    again = make_registry()
    assert anyio.run(again.get, record.id) == record
    assert again.prepared(record.id)


def test_warnings_are_kept(registry: VoiceRegistry) -> None:
    warnings = add(registry, audio=recording(3.0)).warnings
    assert [warning[:14] for warning in warnings] == ["there are only", "prepared"]


def test_the_sample_sentence_counts_as_no_transcript(registry: VoiceRegistry) -> None:
    text = "在一无所知中, 梦里的一天结束了，一个新的轮回便会开始"
    record = add(registry, transcript=text)
    assert record.transcript == ""
    assert b"||" in registry.prepared(record.id)


def test_a_transcript_that_preparing_found_is_kept(make_registry: MakeRegistry) -> None:
    registry = make_registry(prepare=lambda audio, transcript, name: Prepared(b"x", 1.0, (), "Recognised."))
    assert add(registry).transcript == "Recognised."
    assert add(registry, transcript="Given.").transcript == "Given."


def test_raw_samples_are_kept_as_they_came(make_registry: MakeRegistry) -> None:
    samples = (speech() * 32767).astype("<i2").tobytes()
    registry = make_registry(model="a")
    record = add(registry, audio=samples, filename="voice.pcm", sample_rate_hz=24_000)
    assert anyio.run(registry.audio, record.id) == samples
    assert make_registry(model="b").prepared(record.id).endswith(b"|96000")  # read as WAV there too


def test_the_same_recording_may_be_uploaded_twice(registry: VoiceRegistry) -> None:
    first, second = add(registry), add(registry)
    assert first.id != second.id
    anyio.run(registry.remove, first.id)
    assert registry.prepared(second.id)


@pytest.mark.parametrize(
    "voice_id", ["speech:我的:abc:def", "voice_0123456789abcdef", "cosyvoice-v2-p-0123", "../../x"]
)
def test_an_id_of_any_surface_is_kept(registry: VoiceRegistry, objects: ObjectStore, voice_id: str) -> None:
    assert add(registry, id=voice_id).id == voice_id
    assert anyio.run(registry.audio, voice_id) == AUDIO
    assert not any("x" in key.partition("-")[0] for key in keys(objects))


def test_an_id_that_is_taken_is_refused(registry: VoiceRegistry, objects: ObjectStore) -> None:
    first = add(registry, id="taken")
    with pytest.raises(VoiceError, match="'taken' already"):
        add(registry, id="taken")
    assert anyio.run(registry.get, "taken") == first
    assert len(keys(objects)) == 2


def test_an_id_may_be_replaced(registry: VoiceRegistry, objects: ObjectStore) -> None:
    first = add(registry, id="mine")
    second = add(registry, "Other", id="mine", audio=recording(7.0), replace=True)
    assert (second.name, second.created_at) == ("Other", first.created_at)
    assert second.modified_at > first.modified_at
    assert anyio.run(registry.audio, "mine") == recording(7.0)
    assert len(keys(objects)) == 2


@pytest.mark.parametrize("voice_id", ["anna", "Anna", "nova", "longwan", "echo2"])
def test_the_id_of_a_preset_is_refused(make_registry: MakeRegistry, voice_id: str) -> None:
    registry = make_registry(presets=PRESETS, aliases={"echo2": "anna"})
    with pytest.raises(VoiceError, match="name of a preset"):
        add(registry, id=voice_id)


@pytest.mark.parametrize(
    ("upload", "error"),
    [
        ({"audio": b"noise"}, AudioError),
        ({"audio": recording(0.5)}, AudioError),
        ({"audio": recording(31.0), "transcript": "Words."}, AudioError),
        ({"transcript": "word " * 1001}, ParameterError),
        ({"name": " "}, ParameterError),
        ({"id": "two words"}, ParameterError),
        ({"consent": "cons_nobody"}, ParameterError),
    ],
)
def test_a_bad_upload_leaves_nothing(
    registry: VoiceRegistry, objects: ObjectStore, upload: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        add(registry, **upload)
    assert keys(objects) == []
    assert listed(registry) == []


def test_what_cannot_be_prepared_leaves_nothing(make_registry: MakeRegistry, objects: ObjectStore) -> None:
    def refuse(audio: bytes, transcript: str, name: str) -> Prepared:
        raise AudioError("no speech in it")

    registry = make_registry(prepare=refuse)
    with pytest.raises(AudioError, match="no speech in it"):
        add(registry)
    assert keys(objects) == []


def test_preparing_leaves_the_event_loop_alone(make_registry: MakeRegistry) -> None:
    went_on = threading.Event()

    def slow(audio: bytes, transcript: str, name: str) -> Prepared:
        assert went_on.wait(5), "the event loop was held up"
        return prepare(audio, transcript, name)

    registry = make_registry(prepare=slow)

    async def both() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(registry.add, VoiceUpload(AUDIO, "name"))
            await anyio.sleep(0.05)
            went_on.set()

    anyio.run(both)


def test_a_consent_can_be_required(make_registry: MakeRegistry, database: Database, objects: ObjectStore) -> None:
    registry = make_registry(require_consent=True)
    with pytest.raises(ParameterError, match="consent is required"):
        add(registry, consent=" ")
    with pytest.raises(ParameterError, match="at most 2000 are kept"):
        add(registry, consent="Signed. " * 251)
    assert add(registry, consent="Signed by her.").consent == "Signed by her."
    consent = anyio.run(Consents(database, objects).add, ConsentUpload(AUDIO, "Her", "en"))
    assert add(registry, consent=consent.id).consent == consent.id


def test_there_is_a_most_of_voices(make_registry: MakeRegistry) -> None:
    registry = make_registry(limits=VoiceLimits(max_voices=3, max_per_owner=2))
    for owner in ("a", "a", "b"):
        record = add(registry, owner=owner)
    with pytest.raises(OverloadedError, match="the server has 3 voices, which is the limit"):
        add(registry, owner="c")
    add(registry, id=record.id, replace=True, owner="b")
    anyio.run(registry.remove, record.id)
    with pytest.raises(OverloadedError, match="this key has 2 voices, which is the limit"):
        add(registry, owner="a")
    add(registry, owner="c")


def test_a_most_holds_for_uploads_at_once(make_registry: MakeRegistry, objects: ObjectStore) -> None:
    registry = make_registry(limits=VoiceLimits(max_voices=3))
    refused = []

    async def one() -> None:
        try:
            await registry.add(VoiceUpload(AUDIO, "name"))
        except OverloadedError as error:
            refused.append(error)

    async def many() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(6):
                group.start_soon(one)

    anyio.run(many)
    assert (len(listed(registry)), len(refused), len(keys(objects))) == (3, 3, 6)


def test_a_voice_can_be_renamed(registry: VoiceRegistry) -> None:
    record = add(registry)
    renamed = anyio.run(registry.rename, record.id, " 新名字 ")
    assert (renamed.name, renamed.id, renamed.created_at) == ("新名字", record.id, record.created_at)
    assert anyio.run(registry.get, record.id) == renamed


def test_a_recording_can_be_replaced(registry: VoiceRegistry, objects: ObjectStore) -> None:
    record = add(registry, transcript="Old.")
    old = registry.prepared(record.id)
    changed = anyio.run(registry.replace_audio, record.id, recording(8.0), "New.")
    assert (changed.name, changed.transcript, changed.bytes) == (record.name, "New.", len(recording(8.0)))
    assert registry.prepared(record.id) != old
    assert len(keys(objects)) == 2


def test_a_removed_voice_is_gone_with_its_objects(registry: VoiceRegistry, objects: ObjectStore) -> None:
    record = add(registry)
    anyio.run(registry.remove, record.id)
    assert keys(objects) == []
    for look in (registry.get, registry.remove, registry.audio, registry.resolve):
        with pytest.raises(UnknownVoiceError, match=record.id):
            anyio.run(look, record.id)
    with pytest.raises(UnknownVoiceError):
        registry.prepared(record.id)


@pytest.mark.parametrize("voice_id", ["nobody", "", "a\0b", "\udc80", "' OR 1=1 --"])
def test_an_unknown_voice_is_told(registry: VoiceRegistry, voice_id: str) -> None:
    for look in (registry.get, registry.remove, registry.audio):
        with pytest.raises(UnknownVoiceError):
            anyio.run(look, voice_id)
    with pytest.raises(UnknownVoiceError):
        anyio.run(registry.rename, voice_id, "name")


def test_another_model_prepares_again(make_registry: MakeRegistry) -> None:
    record = add(make_registry(model="a"), transcript="Hi.")
    calls = []

    def other(audio: bytes, transcript: str, name: str) -> Prepared:
        calls.append(transcript)
        return Prepared(b"for b", 1.0)

    registry = make_registry(model="b", prepare=other)
    assert [registry.prepared(record.id), registry.prepared(record.id)] == [b"for b", b"for b"]
    assert make_registry(model="b", prepare=other).prepared(record.id) == b"for b"
    assert calls == ["Hi."]


def test_a_lost_recording_is_told(registry: VoiceRegistry, objects: ObjectStore) -> None:
    record = add(registry)
    for key in keys(objects):
        objects.remove(key)
    with pytest.raises(VoiceError, match="is lost; delete the voice"):
        anyio.run(registry.audio, record.id)


class FullDisk(ObjectStore):
    """Takes `room` more objects."""

    room = 0

    def write(self, key: str, data: bytes) -> None:
        with self._translated("write"):
            if self.room == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= 1
        super().write(key, data)


@pytest.mark.parametrize("room", [0, 1])
def test_a_full_disk_is_told_and_leaves_nothing(make_registry: MakeRegistry, objects: ObjectStore, room: int) -> None:
    full = FullDisk(str(objects))
    full.room = room
    registry = make_registry(objects=full)
    with pytest.raises(OverloadedError, match="no space left to keep recordings"):
        add(registry)
    assert keys(objects) == []
    assert listed(registry) == []


def test_objects_are_left_to_the_sweep_when_the_database_fails(database: Database, objects: ObjectStore) -> None:
    watched = Watched(database)

    def lose_the_database(audio: bytes, transcript: str, name: str) -> Prepared:
        watched.down = True
        return prepare(audio, transcript, name)

    registry = VoiceRegistry(watched.as_database, objects, lose_the_database)
    with pytest.raises(DatabaseError):
        add(registry)
    watched.down = False
    assert len(keys(objects)) == 2  # the row might have been written
    assert registry.sweep(-60.0) == 2


def test_an_object_that_cannot_be_removed_is_no_error(make_registry: MakeRegistry, objects: ObjectStore) -> None:
    class Stubborn(ObjectStore):
        def remove(self, key: str) -> None:
            raise PermissionError(key)

    registry = make_registry(objects=Stubborn(str(objects)))
    anyio.run(registry.remove, add(registry).id)
    assert len(keys(objects)) == 2
    assert make_registry().sweep(-60.0) == 2


def test_a_sweep_leaves_voices_alone(registry: VoiceRegistry) -> None:
    record = add(registry)
    assert registry.sweep(-60.0) == 0
    assert registry.prepared(record.id)


def test_an_id_with_a_nul_is_an_unknown_one(registry: VoiceRegistry) -> None:
    with pytest.raises(UnknownVoiceError):
        anyio.run(registry.get, "a\0b")
