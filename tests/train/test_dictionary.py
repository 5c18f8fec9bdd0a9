from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from cosy.text.pronunciation import Pronunciations
from cosy.train.data import dictionary
from cosy.train.data.dictionary import agree, cmu, merged, pronounced, stressed, write_dictionary
from cosy.train.data.teachers import is_installed

needs_festival = pytest.mark.skipif(not is_installed("slt"), reason="festival with the voice slt is not installed")
SAID = {
    "hello": "hh ax0 l ow1",
    "the": "dh ax0",
    "water": "w ao1 t er0",
    "photographer": "f ax0 t aa1 g r ax0 f er0",
    "don't": "d ow1 n t",
    "tv": "t iy1 v iy1",
    "zygomatic": "z ay1 g ax0 m ae1 t ih0 k",
}
WRITTEN = {
    "hello": ["hh ah l ow", "hh eh l ow"],
    "email": ["iy m ey l"],
    "mri": ["eh m aa r ay"],
    "m": ["eh m"],
    "r": ["aa r"],
    "i": ["ay"],
}


@needs_festival
def test_words_are_said_as_festival_says_them() -> None:
    assert {word: " ".join(phones) for word, phones in pronounced(SAID)} == SAID


@needs_festival
def test_a_dictionary_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = {word: [way.split() for way in ways] for word, ways in WRITTEN.items()}
    monkeypatch.setattr(dictionary, "cmu", lambda: words)
    write_dictionary(tmp_path / "words.txt", "# a notice\n")
    found = Pronunciations.load(tmp_path / "words.txt").entries
    assert found == {word: " ".join(phones) for word, phones in merged(words)}
    assert found["hello"] == "hh ax0 l ow1", "both agree"
    assert found["email"] == "iy0 m ey1 l", "festival says a schwa"
    assert found["mri"] == "eh1 m aa1 r ay1", "letters"


@pytest.mark.parametrize(
    ("said", "written", "same"),
    [
        ("w ao1 t er0", "w aa t er", True),
        ("s eh1 k ax0 n d", "s eh k ah n d", True),
        ("ax0 m ey1 l", "iy m ey l", False),  # no schwa for a long vowel
        ("sh iy1 p", "sh ih p", False),
        ("hh ih1 r", "hh iy r", True),  # but not before r
        ("k ae1 t", "k ae t s", False),
        ("k ae1 t", "k ae k", False),
    ],
)
def test_what_is_the_same_word(said: str, written: str, same: bool) -> None:
    assert agree(said.split(), written.split()) is same


@pytest.mark.parametrize(
    ("written", "said", "both"),
    [
        ("f l eh k sh ah n", "f l eh1 k s ax0 n", "f l eh1 k sh ax0 n"),
        ("n ae s ah", "n ae1 s ae1", "n ae1 s ax0"),  # at an end there is a schwa
        ("s p ao t", "s p ow1 t ax0", "s p ao1 t"),
        ("hh m", "hh m", "hh m"),
    ],
)
def test_stresses_are_taken_over_where_there_are_as_many_vowels(written: str, said: str, both: str) -> None:
    assert " ".join(stressed(written.split(), said.split())) == both


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="the words are in extra `train`")
def test_the_words_are_many_and_no_possessives() -> None:
    words = cmu()
    assert len(words) > 100_000
    assert {"hello", "o'clock", "don't"} < set(words)
    assert ["r", "iy", "d"] in words["read"]
    assert not any(word.endswith("'s") for word in words)
