from __future__ import annotations

import random

import pytest

from cosy.eval.syllable_error import error_rates, syllable_errors, tone_confusion
from cosy.eval.syllables import spoken
from cosy.eval.wer import edit_distance


def some_syllables(rng: random.Random) -> list[str]:
    return rng.choices("ma1 ma2 ni3 ni4 hao3 hao5".split(), k=rng.randrange(7))


@pytest.mark.parametrize(
    ("heard", "expected", "base_errors", "tone_errors"),
    [
        ("ni3 hao3", "ni3 hao3", 0, 0),
        ("ni2 hao3", "ni3 hao3", 0, 0),
        ("ni2 hao4", "ni3 hao3", 0, 1),
        ("li4 hao3", "ni4 hao3", 1, 0),
        ("hao3", "ni4 hao3", 1, 0),
        ("a1 ni4 hao3", "ni4 hao3", 1, 0),
        ("ma5", "ma1 ma5", 1, 0),
        ("ma1", "ma1 ma5", 1, 0),
        ("", "ni4 hao3", 2, 0),
        ("xi1", "xi51", 0, 0),
    ],
)
def test_sounds_and_tones_are_counted_apart(heard: str, expected: str, base_errors: int, tone_errors: int) -> None:
    hearing = syllable_errors(heard.split(), spoken(expected))
    assert (hearing.base_errors, hearing.tone_errors) == (base_errors, tone_errors)


@pytest.mark.parametrize("seed", range(100))
def test_base_errors_are_the_edit_distance_of_the_bases(seed: int) -> None:
    rng = random.Random(seed)
    heard, expected = some_syllables(rng), some_syllables(rng)
    hearing = syllable_errors(heard, spoken(" ".join(expected)))
    assert hearing.base_errors == edit_distance([s[:-1] for s in heard], [s[:-1] for s in expected])
    assert hearing.base_errors + len(hearing.tones) >= len(expected)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_to_be_said_has_no_errors(seed: int) -> None:
    said = some_syllables(random.Random(seed))
    hearing = syllable_errors(said, spoken(" ".join(said)))
    assert (hearing.base_errors, hearing.tone_errors, hearing.syllables) == (0, 0, len(said))


def test_rates_are_pooled_and_a_tone_error_needs_a_right_base() -> None:
    rates = error_rates([syllable_errors(["ni1", "lao3"], spoken("ni4 hao3")), syllable_errors(["ma1"], spoken("ma1"))])
    assert rates.tone is not None
    assert (rates.syllable.errors, rates.syllable.words) == (2, 3)
    assert (rates.base.errors, rates.base.words) == (1, 3)
    assert (rates.tone.errors, rates.tone.words) == (1, 2)


def test_without_a_right_base_there_is_no_tone_error() -> None:
    assert error_rates([syllable_errors(["ba1"], spoken("ma1"))]).tone is None


def test_the_confusion_counts_a_permitted_tone_as_itself() -> None:
    heard = ("ni3 hao3 xi1", "ni2 hao4 xi5", "ni4 hao3")
    assert tone_confusion(syllable_errors(each.split(), spoken("ni3 hao3 xi51")) for each in heard) == [
        [1, 0, 0, 0, 0],
        [0, 1, 0, 1, 0],
        [0, 0, 3, 1, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1],
    ]
