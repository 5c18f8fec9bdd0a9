"""The directory of voices, and the library with the model's presets."""

from __future__ import annotations

from pathlib import Path

import pytest

from cosy.checkpoint.load import load_model
from cosy.errors import VoiceError
from cosy.voices.store import VoiceLibrary, VoiceStore, default_directory
from tests.model_dir import PLAIN_PRESET, PRESET
from tests.voices.test_voice import same, some_voice


@pytest.fixture
def store(tmp_path: Path) -> VoiceStore:
    return VoiceStore(tmp_path / "voices")


@pytest.fixture
def library(small_model_dir: Path, store: VoiceStore) -> VoiceLibrary:
    return VoiceLibrary(load_model(small_model_dir, parts=()), store)


def test_an_absent_directory_is_an_empty_store(store: VoiceStore) -> None:
    assert store.list() == []
    assert not store.directory.exists()


def test_voices_are_added_listed_loaded_and_removed(store: VoiceStore) -> None:
    store.add(some_voice("eve"))
    store.add(some_voice("adam"))
    assert [info.name for info in store.list()] == ["adam", "eve"]
    assert "eve" in store
    assert same(store.load("eve"), some_voice("eve"))
    store.remove("eve")
    assert store.names() == ["adam"]


def test_a_name_is_taken_until_it_may_be_replaced(store: VoiceStore) -> None:
    store.add(some_voice(tokens=75))
    with pytest.raises(VoiceError, match="exists already"):
        store.add(some_voice(tokens=80))
    store.add(some_voice(tokens=80), replace=True)
    assert len(store.load("eve").prompt_tokens) == 80


def test_an_unknown_name_lists_those_there_are(store: VoiceStore) -> None:
    store.add(some_voice("eve"))
    for method in (store.info, store.load, store.remove):
        with pytest.raises(VoiceError, match="there are: eve"):
            method("lilith")


@pytest.mark.parametrize("name", ["../eve", "a/b", ""])
def test_a_name_cannot_leave_the_directory(store: VoiceStore, name: str) -> None:
    with pytest.raises(VoiceError, match="cannot name a voice"):
        store.load(name)


def test_a_renamed_file_is_a_renamed_voice(store: VoiceStore) -> None:
    path = store.add(some_voice("eve"))
    path.rename(path.with_name("lilith.safetensors"))
    assert store.load("lilith").name == "lilith"
    assert store.info("lilith").name == "lilith"


def test_the_environment_places_the_directory() -> None:
    assert default_directory({"COSY_VOICES": "/a", "XDG_DATA_HOME": "/b"}) == Path("/a")
    assert default_directory({"XDG_DATA_HOME": "/b"}) == Path("/b/cosy/voices")
    assert default_directory({}) == Path.home() / ".local" / "share" / "cosy" / "voices"


def test_a_library_lists_presets_first(library: VoiceLibrary) -> None:
    library.add(some_voice("aaa"))
    assert [(info.name, info.preset) for info in library.list()] == [
        (PRESET, True),
        (PLAIN_PRESET, True),
        ("aaa", False),
    ]


def test_the_default_voice_is_the_first_preset(library: VoiceLibrary) -> None:
    assert library.load().name == PRESET


def test_voice_files_in_a_model_directory_are_presets(small_model_dir: Path, tmp_path: Path, store: VoiceStore) -> None:
    own = tmp_path / "model"
    own.mkdir()
    for path in small_model_dir.iterdir():
        if path.stem != "spk2info":
            (own / path.name).symlink_to(path)
    library = VoiceLibrary(load_model(own, parts=()), store)
    with pytest.raises(VoiceError, match="no preset voice"):
        library.load()
    VoiceStore(own / "voices").add(some_voice("eve"))
    library = VoiceLibrary(load_model(own, parts=()), store)
    assert library.load().name == "eve"
    assert library.info("eve").preset


def test_presets_are_neither_shadowed_nor_removed(library: VoiceLibrary) -> None:
    with pytest.raises(VoiceError, match="preset"):
        library.add(some_voice(PRESET))
    with pytest.raises(VoiceError, match="preset"):
        library.remove(PRESET)


def test_an_unknown_voice_lists_all_there_are(library: VoiceLibrary) -> None:
    library.add(some_voice("eve"))
    with pytest.raises(VoiceError, match=f"there are: {PRESET}, {PLAIN_PRESET}, eve"):
        library.load("lilith")
    library.remove("eve")
    with pytest.raises(VoiceError, match="no voice named 'eve'"):
        library.info("eve")
