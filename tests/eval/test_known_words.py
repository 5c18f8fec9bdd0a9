from __future__ import annotations

import random
from pathlib import Path

import pytest

from cosy.errors import InputError
from cosy.eval.known_words import missed_words, read_words
from cosy.eval.wer import edit_distance, missed


@pytest.mark.parametrize(
    ("got", "expected", "lost"),
    [
        ("a b c", "a b c", "..."),
        ("a x c", "a b c", ".x."),
        ("a c", "a b c", ".x."),
        ("", "a b", "xx"),
        ("q a b r", "a b", ".."),  # words too many belong to no expected word
    ],
)
def test_each_expected_word_is_there_or_missed(got: str, expected: str, lost: str) -> None:
    assert missed(got.split(), expected.split()) == [mark == "x" for mark in lost]


def test_no_more_words_are_missed_than_there_are_errors() -> None:
    rng = random.Random(0)
    for _ in range(50):
        got, expected = rng.choices("abc", k=rng.randrange(6)), rng.choices("abc", k=rng.randrange(6))
        extra = max(0, len(got) - len(expected))
        assert sum(missed(got, expected)) <= edit_distance(got, expected) - extra


def test_known_words_and_others_are_counted_apart() -> None:
    told = missed_words([("the hat sat", "The cat sat."), ("a cat", "A lynx.")], frozenset({"the", "a", "sat"}))
    assert told.known is not None
    assert told.unknown is not None
    assert (told.known.count, told.known.of) == (0, 3)
    assert (told.unknown.count, told.unknown.of) == (2, 2)
    assert str(told) == "known 0.0 ± 0.0 % of 3, unknown 100.0 ± 0.0 % of 2"


def test_words_of_one_kind_leave_the_other_open() -> None:
    told = missed_words([("a", "a")], frozenset({"a"}))
    assert told.unknown is None
    assert told.as_data()["unknown"] is None


def test_a_list_of_words_may_be_arranged_in_any_way(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("The cat,\nsat\to'clock")
    assert read_words(path) == {"the", "cat", "sat", "o'clock"}


def test_a_list_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_words(tmp_path / "absent.txt")
    (tmp_path / "words.txt").write_text("...")
    with pytest.raises(InputError, match="holds no word"):
        read_words(tmp_path / "words.txt")
