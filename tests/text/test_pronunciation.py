from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cosy.errors import MismatchError, MissingFileError
from cosy.text.frontend import TextFrontend
from cosy.text.incremental import IncrementalText
from cosy.text.pronunciation import LETTERS, LONGEST, PRONUNCIATIONS_FILE, STRESS, Pronunciations, PronunciationStream
from cosy.text.tokenizer import (
    CONFIG_FILE,
    TextTokenizer,
    add_characters,
    add_pronunciations,
)
from tests.text.cuts import draw_cuts

DICTIONARY = """a ax0
c s iy1
t t iy1
breath b r eh1 th
cat k ae1 t
don't d ow1 n t
don d aa1 n
horse hh ao1 r s
tea t iy1
teapot t iy1 p aa0 t
cup k ah1 p
"""
ENTRIES = dict(line.split(maxsplit=1) for line in DICTIONARY.splitlines())
SAID = Pronunciations(ENTRIES)
TROUBLE = (*"a'’s.1猫\u0301-[", "cat", "Don", "'t", "tea", "pot", " ", "[breath]", "<laughter>", "x" * LONGEST, "é")
troubled_text = st.lists(st.sampled_from(TROUBLE), max_size=12).map("".join)


def letters(phones: str) -> str:
    """Their letters, stresses before them."""
    return "".join(STRESS * phone.endswith("1") + LETTERS[phone.rstrip("01")] for phone in phones.split())


CAT, TEA, DO_NOT = (letters(ENTRIES[word]) for word in ("cat", "tea", "don't"))


@pytest.fixture(scope="module")
def reading_tokenizer(tokenizer: TextTokenizer, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder = tmp_path_factory.mktemp("pronunciations")
    (folder / "words.txt").write_text(DICTIONARY, encoding="utf-8")
    texts = ["A cat, a teapot, a cup of tea"] * 3
    return add_pronunciations(tokenizer.directory, folder / "words.txt", texts, 80, folder / "vocabulary")


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("cat", CAT),
        ("The Cat, a CAT!", f"The {CAT}, {letters('ax0')} {CAT}!"),
        ("don't, don’t", f"{DO_NOT}, {DO_NOT}"),
        ("cat's horse's cup’s", f"{CAT}{letters('s')} {letters('hh ao1 r s ax0 z')} {letters('k ah1 p s')}"),
        ("tea's", f"{TEA}{letters('z')}"),
        ("'cat' cat' tea-cat", f"'{CAT}' {CAT}' {TEA}-{CAT}"),
        ("cats caté cat\u0301 xcat", "cats caté cat\u0301 xcat"),  # not known
        ("TC ATC TCTCTC TX", f"{letters('t iy1 s iy1')} {letters('ey1 t iy1 s iy1')} TCTCTC TX"),  # x has no name here
        ("我喝tea。cat1", f"我喝{TEA}。{CAT}1"),
        ("[breath] breath [laughter]", f"[breath] {letters('b r eh1 th')} [laughter]"),
        ("", ""),
    ],
)
def test_words_that_are_known_are_written_as_their_phones(text: str, spelt: str) -> None:
    assert SAID.spell(text) == spelt


def test_every_phone_has_a_letter_of_its_own_that_bpe_takes_for_one() -> None:
    assert len({*LETTERS.values(), STRESS}) == len(LETTERS) + 1
    assert all(letter.isalpha() and not letter.isascii() for letter in (*LETTERS.values(), STRESS))


@given(text=troubled_text, data=st.data())
@example(text="don't [breath] teapot'", data=None)
@example(text="cat" * LONGEST + "'s tea", data=None)
def test_a_stream_is_spelt_like_the_whole(text: str, data: st.DataObject | None) -> None:
    pieces = draw_cuts(data, text) if data else text
    stream = PronunciationStream(SAID)
    spelt = [stream.push(piece) for piece in pieces]
    assert "".join([*spelt, stream.finish()]) == SAID.spell(text)
    assert stream.finish() == ""


def test_a_stream_waits_for_the_end_of_a_word_alone() -> None:
    stream = PronunciationStream(SAID)
    assert [stream.push(char) for char in "a cat"] == ["", letters("ax0") + " ", "", "", ""]
    assert stream.push("'") == ""
    assert stream.push(" ") == CAT + "' "


def test_a_word_without_end_is_not_kept() -> None:
    stream = PronunciationStream(SAID)
    said = "".join(stream.push("cat'cat") for _ in range(1000))
    assert 7000 - len(said) <= 4 * LONGEST
    assert said + stream.finish() == "cat'cat" * 1000


@given(text=troubled_text, data=st.data())
def test_ids_of_a_stream_are_those_of_the_joined_text(
    reading_tokenizer: TextTokenizer, text: str, data: st.DataObject
) -> None:
    whole = reading_tokenizer.encode(text)
    assert list(reading_tokenizer.encode_stream(draw_cuts(data, text))) == whole
    assert list(reading_tokenizer.encode_stream(text)) == whole


def test_a_vocabulary_brings_its_dictionary(tokenizer: TextTokenizer, reading_tokenizer: TextTokenizer) -> None:
    assert reading_tokenizer.encode("cat") == reading_tokenizer.encode_spelt(CAT)
    assert tokenizer.encode("cat") == tokenizer.encode_spelt("cat") != tokenizer.encode_spelt(CAT)
    assert reading_tokenizer.encode("dog 猫") == tokenizer.encode("dog 猫"), "ids of before stay"
    assert [reading_tokenizer.decode([i]) for i in reading_tokenizer.encode("A cup")] == [
        letters("ax0"),
        f" {letters('k ah1 p')}",
    ]
    assert reading_tokenizer.encode("[breath]")[0] == reading_tokenizer.special_ids["[breath]"]


def test_a_vocabulary_keeps_what_it_had(tokenizer: TextTokenizer, tmp_path: Path) -> None:
    add_characters(tokenizer.directory, "好", tmp_path / "short", max_length=80)
    (tmp_path / "words.txt").write_text(DICTIONARY, encoding="utf-8")
    found = add_pronunciations(tmp_path / "short", tmp_path / "words.txt", ["a cat"], 20, tmp_path / "both")
    assert found.max_length == 80
    assert found.encode("好") == TextTokenizer(tmp_path / "short").encode("好")


def test_text_in_pieces_has_the_ids_of_its_segments(reading_tokenizer: TextTokenizer) -> None:
    text = "A cat, a teapot. Don't! The cat's tea? " * 4
    reader = IncrementalText(TextFrontend(reading_tokenizer))
    pieces = [piece for char in text for piece in reader.push(char)] + reader.finish()
    segments = [piece.segment_text for piece in pieces if piece.ends_segment]
    assert len(segments) > 1
    assert [i for piece in pieces for i in piece.ids] == [i for s in segments for i in reading_tokenizer.encode(s)]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("cat\n", "every line"),
        ("cat k ae1 t\n\n", "every line"),
        ("cat k ae t\n", "'cat' has the unknown phone 'ae'"),
        ("cat k1 ae1 t\n", "'k1'"),
        (f"{'a' * 41} ax0\n", "more than 40"),
    ],
)
def test_a_damaged_dictionary_is_named(reading_tokenizer: TextTokenizer, tmp_path: Path, lines: str, told: str) -> None:
    shutil.copytree(reading_tokenizer.directory, tmp_path, dirs_exist_ok=True)
    (tmp_path / PRONUNCIATIONS_FILE).write_text(lines, encoding="utf-8")
    with pytest.raises(MismatchError, match=f"{PRONUNCIATIONS_FILE}.*{told}"):
        TextTokenizer(tmp_path)


def test_a_missing_or_unknown_dictionary_is_named(reading_tokenizer: TextTokenizer, tmp_path: Path) -> None:
    shutil.copytree(reading_tokenizer.directory, tmp_path, dirs_exist_ok=True)
    (tmp_path / PRONUNCIATIONS_FILE).unlink()
    with pytest.raises(MissingFileError, match=PRONUNCIATIONS_FILE):
        TextTokenizer(tmp_path)
    config = json.loads((tmp_path / CONFIG_FILE).read_text(encoding="utf-8"))
    (tmp_path / CONFIG_FILE).write_text(json.dumps({**config, "pronunciations": ["words"]}))
    with pytest.raises(MismatchError, match="pronunciations must be"):
        TextTokenizer(tmp_path)
