from __future__ import annotations

from pathlib import Path

import pytest

from cosy.errors import TextError
from cosy.text.lexicon import Lexicon
from cosy.text.rules import Log, Rewrite


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_both_ways_to_write_an_entry(tmp_path: Path) -> None:
    lexicon = Lexicon.load(written(tmp_path / "l.txt", "\ufeff# comment\n\nSQL\tsequel\r\nCosy = cozy\na=b = c\n"))
    assert len(lexicon) == 3
    assert lexicon.apply("SQL, Cosy, a") == "sequel, cozy, b = c"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SQL MySQL SQLs SQL.", "sequel MySQL SQLs sequel."),
        ("用SQL查询", "用sequel查询"),
        ("重庆人在重庆", "崇庆人在崇庆"),
        ("New York City and New York", "the city and NY"),
        ("C++ and C", "see plus plus and C"),
        ("sql", "sql"),
    ],
)
def test_whole_words_longest_first(text: str, expected: str) -> None:
    entries = {"SQL": "sequel", "重庆": "崇庆", "New York": "NY", "New York City": "the city", "C++": "see plus plus"}
    assert Lexicon(entries).apply(text) == expected


def test_what_was_replaced_is_not_looked_at_again() -> None:
    assert Lexicon({"a": "b", "b": "a"}).apply("a b") == "b a"


def test_case_can_be_ignored() -> None:
    assert Lexicon({"Sql": "sequel"}, ignore_case=True).apply("SQL İ sql") == "sequel İ sequel"


def test_every_replacement_is_logged() -> None:
    log: Log = []
    Lexicon({"a": "b"}).apply("a c a", log)
    assert log == [Rewrite("lexicon", "a", "b")] * 2


def test_an_empty_lexicon_changes_nothing() -> None:
    assert Lexicon({}).apply("a") == "a"


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ("a = b\nnothing\n", "line 2"),
        ("a =\n", "line 1"),
        ("\n= b\n", "line 2"),
        ("a = b\na = c\n", "line 2"),
        (b"a = b\n\n\xff = c\n", "line 3"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, content: str | bytes, where: str) -> None:
    path = written(tmp_path / "words.txt", content)
    with pytest.raises(TextError, match=rf"words\.txt, {where}"):
        Lexicon.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TextError, match=r"words\.txt"):
        Lexicon.load(tmp_path / "words.txt")
