from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy.text.split import SEGMENT_LIMIT, TOKEN_MAX, is_speakable, split_paragraph, split_text


def words(text: str) -> int:
    return len(re.findall(r"\w+|[^\w\s]", text))


@pytest.mark.parametrize(
    "text",
    ["Pi is 3.14 or so", "Go to example.com now", "At 12:30 sharp", "J. Smith and Dr. Lee, e.g. these", "ver. 1.2.3"],
)
def test_dots_inside_words_numbers_and_abbreviations_are_no_ends(text: str) -> None:
    assert split_text(text + " " + "word " * 70, words, "en")[0].startswith(text)


def test_the_official_rule_cuts_there() -> None:
    assert len(split_paragraph("Pi is 3.14 or so", words, "en", token_max_n=1, token_min_n=0, merge_len=0)) > 1


def test_segments_are_closed_at_the_official_sizes() -> None:
    sentence = "one two three four five six seven eight nine." + " "
    segments = split_text(sentence * 20, words, "en")
    assert all(TOKEN_MAX - 20 < words(segment) <= TOKEN_MAX for segment in segments[:-1])


def test_a_short_rest_joins_the_last_segment() -> None:
    assert split_text("好" * 70 + "。" + "好" * 30 + "。" + "短。", words, "zh")[-1] == "好" * 30 + "。短。"


@pytest.mark.parametrize(
    ("text", "language"),
    [("word " * 2000, "en"), ("字" * 2000, "zh"), ("x" * 2000, "en"), ("词语，" * 700, "zh"), ("かな" * 1000, "ja")],
)
def test_a_sentence_without_end_is_cut(text: str, language: str) -> None:
    size = len if language != "en" or " " not in text else words
    segments = split_text(text, size, language)
    assert len(segments) > 10
    assert max(map(size, segments)) <= SEGMENT_LIMIT


def test_a_long_sentence_is_cut_after_a_comma_where_there_is_one() -> None:
    segments = split_text(("word " * 15 + "word, ") * 20, words, "en")
    assert all(segment.endswith((",", ".")) for segment in segments)


@pytest.mark.parametrize("limit", [7, 40, 100])
def test_a_model_that_reads_less_gets_shorter_segments(limit: int) -> None:
    text = ("one two three, " * 30 + "end. ") * 2
    segments = split_text(text, words, "en", limit)
    assert max(map(words, segments)) <= limit
    assert " ".join(segments).split() == text.split()
    assert all(segment.endswith((",", ".")) for segment in segments)


def test_closing_quotes_and_brackets_stay_with_their_sentence() -> None:
    text = "「你好。」" + "他" * 70 + "。" + "她" * 70 + "。（完。）"
    assert split_text(text, words, "zh") == ["「你好。」" + "他" * 70 + "。", "她" * 70 + "。（完。）"]


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hi", "en", "Hi."),
        ("Hi,", "en", "Hi."),
        ("“Hi.”", "en", "“Hi.”"),
        ("好，", "zh", "好。"),
        ("やあ", "ja", "やあ。"),
    ],
)
def test_a_text_ends_with_a_full_stop(text: str, language: str, expected: str) -> None:
    assert split_text(text, words, language) == [expected]


def test_a_text_of_punctuation_has_no_segments() -> None:
    assert split_text("。。。！？", words, "zh") == []


def test_combining_marks_stay_with_their_letter() -> None:
    assert not any(segment.startswith("\u0301") for segment in split_text("e\u0301" * 1000, len, "en"))


@given(st.text(alphabet="ab 。，.,!\"”:;'é字1", max_size=400), st.sampled_from(["zh", "en", "ja"]))
def test_segments_are_speakable_bounded_and_lose_no_word(text: str, language: str) -> None:
    segments = split_text(text, len, language)
    assert all(is_speakable(segment) and segment == segment.strip() for segment in segments)
    assert all(len(segment) <= SEGMENT_LIMIT for segment in segments)
    assert re.findall(r"\w", "".join(segments)) == re.findall(r"\w", text)
