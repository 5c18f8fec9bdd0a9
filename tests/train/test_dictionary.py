from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from cosy.text.pronunciation import Pronunciations
from cosy.train.data import dictionary
from cosy.train.data.dictionary import known_words, pronounced, write_dictionary
from cosy.train.data.teachers import is_installed

needs_festival = pytest.mark.skipif(not is_installed("slt"), reason="festival with the voice slt is not installed")
WORDS = {
    "hello": "hh ax0 l ow1",
    "the": "dh ax0",
    "water": "w ao1 t er0",
    "photographer": "f ax0 t aa1 g r ax0 f er0",
    "don't": "d ow1 n t",
    "tv": "t iy1 v iy1",
    "zygomatic": "z ay1 g ax0 m ae1 t ih0 k",
}


@needs_festival
def test_words_are_said_as_festival_says_them() -> None:
    assert dict(pronounced(WORDS)) == WORDS


@needs_festival
def test_a_dictionary_can_be_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dictionary, "known_words", lambda: [*WORDS])
    write_dictionary(tmp_path / "words.txt", "# a notice\n")
    assert Pronunciations.load(tmp_path / "words.txt").entries == WORDS


@pytest.mark.skipif(importlib.util.find_spec("pocketsphinx") is None, reason="the words are in extra `train`")
def test_the_words_are_many_and_no_possessives() -> None:
    words = known_words()
    assert len(words) > 100_000
    assert {"hello", "o'clock", "don't"} < set(words)
    assert not any(word.endswith("'s") for word in words)
