"""Voices that are there from the start, and the names clients expect."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from cosy.errors import UnknownVoiceError, VoiceError
from cosy.server.store.objects import ObjectStore
from cosy.server.store.presets import Preset
from cosy.server.store.records import Prepared
from cosy.server.store.voices import VoiceRegistry
from tests.server.store.conftest import MakeRegistry
from tests.server.store.sounds import encoded, prepare, recording, speech

ANNA = Preset("anna", lambda: b"anna's file", duration_s=4.0, transcript="Hello.")
BELLA = Preset("bella", lambda: b"bella's file")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "presets"
    made.mkdir()
    (made / "alloy.wav").write_bytes(recording())
    (made / "alloy.txt").write_text("\ufeffWhat is said. ", encoding="utf-8")
    (made / "中文女.flac").write_bytes(encoded(speech(8.0), "FLAC"))
    (made / ".hidden.wav").write_bytes(b"")
    (made / "notes.md").write_text("not a voice")
    return made


class Counted:
    """A `prepare` that keeps what it was asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, audio: bytes, transcript: str, name: str) -> Prepared:
        self.names.append(name)
        return prepare(audio, transcript, name)


def resolve(registry: VoiceRegistry, name: str) -> str:
    return anyio.run(registry.resolve, name)


def test_presets_of_the_model_come_first_and_in_their_order(make_registry: MakeRegistry) -> None:
    registry = make_registry(presets=[BELLA, ANNA])
    assert [voice.id for voice in anyio.run(registry.list)] == ["bella", "anna"]
    assert registry.default == "bella"
    assert registry.prepared("anna") == b"anna's file"


def test_a_preset_tells_what_it_is(make_registry: MakeRegistry) -> None:
    record = anyio.run(make_registry(presets=[ANNA]).get, "anna")
    assert (record.kind, record.name, record.duration_s, record.transcript) == ("preset", "anna", 4.0, "Hello.")


def test_a_folder_fills_slots(make_registry: MakeRegistry, folder: Path) -> None:
    registry = make_registry(presets=[ANNA], presets_dir=folder)
    alloy = anyio.run(registry.get, "alloy")
    assert [voice.id for voice in anyio.run(registry.list)] == ["anna", "alloy", "中文女"]
    assert (alloy.transcript, alloy.filename, alloy.bytes) == ("What is said.", "alloy.wav", len(recording()))
    assert b"|What is said.|" in registry.prepared("alloy")
    assert anyio.run(registry.audio, "alloy") == recording()


def test_a_folder_overrides_the_model(make_registry: MakeRegistry, folder: Path) -> None:
    registry = make_registry(presets=[Preset("alloy", lambda: b"the model's"), ANNA], presets_dir=folder)
    assert registry.prepared("alloy") != b"the model's"
    assert registry.default == "alloy"


def test_a_folder_is_prepared_once(make_registry: MakeRegistry, folder: Path) -> None:
    first, second, other = Counted(), Counted(), Counted()
    make_registry(presets_dir=folder, prepare=first, model="a")
    registry = make_registry(presets_dir=folder, prepare=second, model="a")
    make_registry(presets_dir=folder, prepare=other, model="b")
    assert [len(each.names) for each in (first, second, other)] == [2, 0, 2]
    assert registry.prepared("alloy")
    assert anyio.run(registry.get, "alloy").warnings == ("prepared",)


def test_a_changed_transcript_is_prepared_again(make_registry: MakeRegistry, folder: Path) -> None:
    make_registry(presets_dir=folder)
    (folder / "alloy.txt").write_text("Something else.")
    counted = Counted()
    registry = make_registry(presets_dir=folder, prepare=counted)
    assert len(counted.names) == 1
    assert b"|Something else.|" in registry.prepared("alloy")


def test_an_emptied_cache_is_filled_again(make_registry: MakeRegistry, folder: Path, objects: ObjectStore) -> None:
    registry = make_registry(presets_dir=folder)
    for each in list(objects.list("presets")):
        objects.remove(each.key)
    assert registry.prepared("alloy") == make_registry(presets_dir=folder).prepared("alloy")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "bad.wav").write_bytes(b"noise"), r"bad\.wav cannot be used"),
        (lambda folder: (folder / "alloy.txt").write_bytes(b"\xff\xfe\xfa"), r"alloy\.wav cannot be used"),
        (lambda folder: (folder / "ALLOY.mp3").write_bytes(recording()), "presets of one name"),
        (lambda folder: (folder / "aliases.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "aliases.json").write_text("[]"), "must map names"),
        (lambda folder: (folder / "aliases.json").write_text('{"nova": "nobody"}'), "'nobody', named as default"),
    ],
)
def test_a_folder_with_a_mistake_is_refused(
    make_registry: MakeRegistry, folder: Path, spoil: Callable[[Path], object], told: str
) -> None:
    spoil(folder)
    with pytest.raises(VoiceError, match=told):
        make_registry(presets_dir=folder)


def test_a_folder_that_is_not_there_is_refused(make_registry: MakeRegistry, tmp_path: Path) -> None:
    with pytest.raises(VoiceError, match="does not exist"):
        make_registry(presets_dir=tmp_path / "none")


def test_letter_case_of_a_preset_does_not_matter(make_registry: MakeRegistry) -> None:
    assert resolve(make_registry(presets=[BELLA, ANNA]), "Anna") == "anna"


def test_an_alias_is_another_name(make_registry: MakeRegistry, folder: Path) -> None:
    (folder / "aliases.json").write_text('{"Nova": "alloy", "echo": "alloy"}')
    registry = make_registry(presets=[ANNA], presets_dir=folder, aliases={"echo": "anna"})
    assert [resolve(registry, name) for name in ("nova", "echo")] == ["alloy", "anna"]


@pytest.mark.parametrize(
    "name",
    ["alex", "alloy", "cedar", "英文男", "Chinese Female", "korean female", "longxiaochun_v2", "loongbella", "NOVA"],
)
def test_a_well_known_name_speaks_in_the_default_voice(make_registry: MakeRegistry, name: str) -> None:
    assert resolve(make_registry(presets=[BELLA, ANNA], default_voice="anna"), name) == "anna"


@pytest.mark.parametrize(
    ("name", "voice"),
    [
        ("benjamin", "alex"),
        ("英文男", "alex"),
        ("Chinese Male", "alex"),
        ("claire", "anna"),
        ("Korean Female", "anna"),
        ("nova", "bella"),
        ("longxiaochun", "bella"),
    ],
)
def test_a_man_speaks_for_a_man_where_names_tell(make_registry: MakeRegistry, name: str, voice: str) -> None:
    registry = make_registry(presets=[BELLA, Preset("alex", lambda: b""), ANNA])
    assert resolve(registry, name) == ("bella" if voice == "anna" else voice)  # the default voice, if it fits
    men_first = make_registry(presets=[Preset("alex", lambda: b""), ANNA])
    assert resolve(men_first, name) == ("alex" if voice == "bella" else voice)


def test_a_fallback_is_logged_once_per_name(make_registry: MakeRegistry, caplog: pytest.LogCaptureFixture) -> None:
    registry = make_registry(presets=[ANNA])
    with caplog.at_level(logging.WARNING, "cosy.server.store.presets"):
        for name in ("nova", "nova", "Nova", "echo"):
            resolve(registry, name)
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == ["nova", "echo"]


@pytest.mark.parametrize("name", ["nobody", "", "long voice", "longx\n", "Martian Female", "a\0b", "\udc80"])
def test_any_other_name_is_unknown(make_registry: MakeRegistry, name: str) -> None:
    with pytest.raises(UnknownVoiceError, match="there is no voice"):
        resolve(make_registry(presets=[ANNA]), name)


def test_the_fallback_can_be_turned_off(make_registry: MakeRegistry) -> None:
    registry = make_registry(presets=[ANNA], well_known_fallback=False)
    with pytest.raises(UnknownVoiceError):
        resolve(registry, "nova")
    assert resolve(registry, "anna") == "anna"


def test_without_any_voice_a_well_known_name_is_unknown(registry: VoiceRegistry) -> None:
    assert registry.default == ""
    with pytest.raises(UnknownVoiceError):
        resolve(registry, "nova")


def test_a_default_voice_that_is_none_is_refused(make_registry: MakeRegistry) -> None:
    with pytest.raises(VoiceError, match=r"'nobody', named as default voice or by an alias, is no voice.*anna"):
        make_registry(presets=[ANNA], default_voice="nobody")


def test_a_preset_cannot_be_changed(make_registry: MakeRegistry) -> None:
    registry = make_registry(presets=[ANNA])
    for change in (
        lambda: registry.remove("anna"),
        lambda: registry.rename("anna", "Other"),
        lambda: registry.replace_audio("anna", recording(), ""),
    ):
        with pytest.raises(VoiceError, match="cannot be changed or removed"):
            anyio.run(change)


def test_a_preset_may_have_no_recording(make_registry: MakeRegistry) -> None:
    with pytest.raises(VoiceError, match="came without its recording"):
        anyio.run(make_registry(presets=[ANNA]).audio, "anna")
