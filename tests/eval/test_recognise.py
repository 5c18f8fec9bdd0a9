from __future__ import annotations

import numpy as np
import pytest

from cosy.eval.recognise import (
    RATE_HZ,
    SEARCHES,
    Recogniser,
    Search,
    is_slot_sentence,
    loop_grammar,
    prepare,
    slot_grammar,
)
from cosy.eval.sentences import ADJECTIVES, EVERYDAY, NOUNS, PREPOSITIONS, VERBS, slot_sentences


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    pytest.importorskip("pocketsphinx", reason="the eval extra is not installed")
    return Recogniser()


def noise(seed: int = 0, seconds: float = 1.5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ)).astype(np.float32)


def test_slot_grammar_spells_the_form_and_its_lists() -> None:
    assert slot_grammar().splitlines() == [
        "#JSGF V1.0;",
        "grammar slot;",
        f"<adj> = {' | '.join(ADJECTIVES)};",
        f"<noun> = {' | '.join(NOUNS)};",
        f"<verb> = {' | '.join(VERBS)};",
        f"<prep> = {' | '.join(PREPOSITIONS)};",
        "public <sentence> = the <adj> <noun> <verb> <prep> the <adj> <noun>;",
    ]


def test_loop_grammar_is_any_sequence_of_the_47_words() -> None:
    head, name, rule = loop_grammar().splitlines()
    assert (head, name) == ("#JSGF V1.0;", "grammar loop;")
    words = rule.removeprefix("public <words> = ( ").removesuffix(" )+;").split(" | ")
    assert len(words) == len(set(words)) == 47
    assert set(words) == {"the", *ADJECTIVES, *NOUNS, *VERBS, *PREPOSITIONS}


def test_slot_sentences_are_told_from_everyday_ones() -> None:
    assert all(map(is_slot_sentence, slot_sentences(40)))
    assert not any(map(is_slot_sentence, EVERYDAY))


def test_preparation_sets_rate_peak_and_margins() -> None:
    wave = prepare(0.01 * noise(seconds=1.0), 8_000)
    margin = round(0.3 * RATE_HZ)
    assert wave.dtype == np.float32
    assert len(wave) == 2 * RATE_HZ + 2 * margin
    assert np.abs(wave).max() == pytest.approx(0.7)
    assert 0 < np.abs(wave[:margin]).max() < 1e-3
    assert 0 < np.abs(wave[-margin:]).max() < 1e-3


def test_silence_stays_silent_in_preparation() -> None:
    assert np.abs(prepare(np.zeros(800, np.float32), RATE_HZ)).max() < 1e-3


@pytest.mark.parametrize("search", SEARCHES)
def test_hearings_use_only_the_words_of_the_search_and_repeat(recogniser: Recogniser, search: Search) -> None:
    first = recogniser.hear(noise(1), RATE_HZ, search)
    recogniser.hear(noise(2), RATE_HZ, search)
    assert recogniser.hear(noise(1), RATE_HZ, search) == first
    if search == "loop":
        assert set(first.split()) <= {"the", *ADJECTIVES, *NOUNS, *VERBS, *PREPOSITIONS}
    if search == "slot":
        assert first == "" or is_slot_sentence(first)


def test_no_sentence_is_heard_in_silence(recogniser: Recogniser) -> None:
    assert recogniser.hear(np.zeros(RATE_HZ, np.float32), RATE_HZ, "slot") == ""
