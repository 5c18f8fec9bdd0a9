from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy.errors import MismatchError, MissingFileError, ParameterError
from cosy.text.frontend import TextFrontend
from cosy.text.special_tokens import SPECIAL_TOKENS
from cosy.text.split import SEGMENT_LIMIT
from cosy.text.tokenizer import TextTokenizer, TokenStream, add_characters, train_bpe
from tests.text.cuts import draw_cuts

FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")
# What makes trouble at a cut: merges, blanks, contractions, special tokens, marks that join the letter before.
TROUBLE = (
    *("a", "the", "quick", " ", "  ", "\n", "\t", "'", "'s", "ve", "!", "!" * 40, "x" * 40, "7", "我", "们", "今天"),
    *("[laughter]", "[lau", "ghter]", "<", "<|endofprompt|>", "\u0301", "\u0334", "\u0338", "ᄀ", "\u1161", "😀"),
)
troubled_text = st.lists(st.sampled_from(TROUBLE), max_size=12).map("".join)


@pytest.fixture
def copy(tokenizer: TextTokenizer, tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).write_bytes((tokenizer.directory / name).read_bytes())
    return tmp_path


@given(text=st.text(max_size=60))
def test_decoding_gives_the_text_back_in_nfc(tokenizer: TextTokenizer, text: str) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", clean)


def test_merges_are_used(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.encode("the quick brown fox")) < len("the quick brown fox")


def test_digits_stay_single(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.encode("2024")) == 4


def test_special_tokens_follow_the_vocabulary_in_their_order(tokenizer: TextTokenizer) -> None:
    base = tokenizer.vocab_size - len(SPECIAL_TOKENS)
    assert [tokenizer.encode(token) for token in SPECIAL_TOKENS] == [[base + i] for i in range(len(SPECIAL_TOKENS))]
    assert tokenizer.end_of_prompt_id == base + 3


def test_special_tokens_are_recognised_inside_text(tokenizer: TextTokenizer) -> None:
    ids = tokenizer.encode("ha[laughter]ha")
    assert tokenizer.special_ids["[laughter]"] in ids
    assert tokenizer.decode(ids, skip_special=True) == "haha"


def test_language_tags_of_the_first_version_are_ordinary_characters(tokenizer: TextTokenizer) -> None:
    assert len(tokenizer.encode("<|zh|>")) > 1


def test_lone_surrogates_are_dropped_and_pairs_joined(tokenizer: TextTokenizer) -> None:
    assert tokenizer.encode("a\ud800b") == tokenizer.encode("ab")
    assert tokenizer.encode("\ud83d\ude00") == tokenizer.encode("😀")


@given(text=troubled_text, data=st.data())
def test_a_stream_gives_the_ids_of_the_joined_text(tokenizer: TextTokenizer, text: str, data: st.DataObject) -> None:
    assert list(tokenizer.encode_stream(draw_cuts(data, text))) == tokenizer.encode(text)
    assert list(tokenizer.encode_stream(text)) == tokenizer.encode(text)  # character by character


def test_a_stream_delivers_a_word_when_the_next_begins(tokenizer: TextTokenizer) -> None:
    stream = TokenStream(tokenizer)
    assert tokenizer.decode(stream.push("the quick ")) == "the quick"


def test_a_stream_delivers_chinese_before_the_clause_ends(tokenizer: TextTokenizer) -> None:
    stream = TokenStream(tokenizer)
    said = [i for char in "今天天气很好我们去公园玩" for i in stream.push(char)]
    assert tokenizer.decode(said).startswith("今天天气")


def test_a_long_word_that_arrives_by_character_is_not_walked_through_again_and_again(tokenizer: TextTokenizer) -> None:
    stream = TokenStream(tokenizer)
    for _ in range(2000):
        stream.push("a")
        assert len(stream._held) < 100


def test_the_official_stream_tokenises_every_piece_alone(tokenizer: TextTokenizer) -> None:
    pieces = ["the qu", "ick fox"]
    expected = tokenizer.encode("the qu") + tokenizer.encode("ick fox")
    assert list(tokenizer.encode_stream(pieces, official=True)) == expected != tokenizer.encode("the quick fox")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(MissingFileError, match=name):
        TextTokenizer(copy)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", b"{"),
        ("vocab.json", b"[1]"),
        ("vocab.json", b'{"a": 0, "b": 0}'),
        ("vocab.json", b'{"a": 0, "b": true}'),
        ("vocab.json", b'{"a": 0}'),
        ("vocab.json", b"\xff"),
        ("merges.txt", b"#version: 0.2\na b c\n"),
        ("merges.txt", b"#version: 0.2\nqqq zzz\n"),
        ("tokenizer_config.json", b"nothing"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"7": {"content": "<|endoftext|>"}}}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"x": {"content": "<|endoftext|>"}}}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": [1]}'),
        ("tokenizer_config.json", b'{"model_max_length": "long"}'),
        ("tokenizer_config.json", b'{"model_max_length": 0}'),
    ],
)
def test_a_damaged_file_is_named(copy: Path, name: str, content: bytes) -> None:
    (copy / name).write_bytes(content)
    with pytest.raises(MismatchError, match=name):
        TextTokenizer(copy)


def test_special_tokens_among_the_ordinary_ones_are_refused(copy: Path) -> None:
    vocabulary = json.loads((copy / "vocab.json").read_text(encoding="utf-8"))
    vocabulary["[breath]"] = len(vocabulary)
    (copy / "vocab.json").write_text(json.dumps(vocabulary))
    with pytest.raises(MismatchError, match="breath"):
        TextTokenizer(copy)


def test_training_twice_gives_the_same_files(tmp_path: Path) -> None:
    texts = ["one two three", "two three four", "three four five"]
    for name in ("a", "b"):
        train_bpe(texts, 300, tmp_path / name)
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_training_makes_at_most_the_entries_asked_for(tmp_path: Path) -> None:
    tokenizer = train_bpe(["ab " * 5], 1000, tmp_path)
    assert 256 < tokenizer.vocab_size - len(SPECIAL_TOKENS) < 300


def test_a_vocabulary_smaller_than_the_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="256"):
        train_bpe(["a"], 255, tmp_path)


def test_a_vocabulary_may_say_how_much_is_read_at_once(tmp_path: Path) -> None:
    plain = train_bpe(["a b"], 256, tmp_path / "plain")
    assert plain.max_length > 10**9
    short = add_characters(tmp_path / "plain", "好", tmp_path / "short", max_length=80)
    assert short.max_length == 80
    assert TextFrontend(short).limit == 80
    assert TextFrontend(plain).limit == SEGMENT_LIMIT
