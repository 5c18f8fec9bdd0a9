from __future__ import annotations

import math

import pytest

from cosy.eval.wer import chance, count_errors, edit_distance, pooled, word_error_rate, words_of


@pytest.mark.parametrize(
    ("got", "expected", "errors"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("", "a b c", 3),
        ("a b c", "", 3),
        ("a x c", "a b c", 1),
        ("a c", "a b c", 1),
        ("a b b c", "a b c", 1),
        ("b c a", "a b c", 2),
        ("the cat", "a dog ran home", 4),
    ],
)
def test_edit_distance_counts_the_fewest_edits(got: str, expected: str, errors: int) -> None:
    assert edit_distance(got.split(), expected.split()) == errors


def test_case_and_punctuation_are_not_words_but_apostrophes_are_kept() -> None:
    assert words_of("Well -- it's \"nine\" O'Clock, OK?") == ["well", "it's", "nine", "o'clock", "ok"]


def test_the_mean_is_total_errors_over_total_words_not_the_mean_of_rates() -> None:
    rate = word_error_rate([("x", "a"), ("a b c", "a b c")])
    assert (rate.errors, rate.words, rate.rate) == (1, 4, 0.25)


def test_insertions_can_lift_the_rate_above_one() -> None:
    assert word_error_rate([("a b c d", "x")]).rate == 4.0


def test_standard_error_of_equally_long_sentences_is_that_of_a_mean() -> None:
    rate = pooled([(0, 10), (2, 10), (4, 10), (6, 10)])
    mean, rates = 0.3, [0.0, 0.2, 0.4, 0.6]
    deviation = math.sqrt(sum((r - mean) ** 2 for r in rates) / 3)
    assert rate.standard_error == pytest.approx(deviation / math.sqrt(4))


def test_one_sentence_has_no_standard_error() -> None:
    assert math.isnan(pooled([(1, 8)]).standard_error)


def test_a_rate_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one expected word"):
        word_error_rate([("hello", "")])


def test_chance_scores_every_hearing_against_all_other_sentences() -> None:
    rate = chance([("a b", "a b"), ("c d", "c d"), ("a d", "a d")])
    assert (rate.errors, rate.words) == (8, 12)
    assert count_errors("a b", "a d") == (1, 2)


def test_chance_needs_two_sentences() -> None:
    with pytest.raises(ValueError, match="two sentences"):
        chance([("a", "a")])
