from __future__ import annotations

import pytest

from cosy.errors import ParameterError
from cosy.eval.sentences import EVERYDAY
from cosy.eval.trials import LONGEST, trial_sentences
from cosy.text.normalize import write_out


def test_lengths_go_round_and_are_those_announced() -> None:
    sentences = trial_sentences(2 * LONGEST)
    assert [sentence.words for sentence in sentences] == 2 * list(range(1, LONGEST + 1))
    assert all(len(sentence.text.split()) == sentence.words for sentence in sentences)


def test_a_smaller_count_is_a_prefix() -> None:
    assert trial_sentences(90)[:7] == trial_sentences(7)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_numbers_are_among_them_and_can_be_written_out(language: str) -> None:
    texts = [sentence.text for sentence in trial_sentences(60, language)]
    assert sum(any(char.isdigit() for char in text) for text in texts) > 40
    assert not any(char.isdigit() for text in texts for char in write_out(text, language))


def test_mandarin_has_no_spaces_and_ends_as_it_should() -> None:
    for text, _ in trial_sentences(60, "zh"):
        assert " " not in text
        assert text.endswith("。")


def test_no_acceptance_sentence_is_among_them() -> None:
    assert not set(EVERYDAY) & {text for text, _ in trial_sentences(600)}


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(ParameterError, match="choose one of en, zh"):
        trial_sentences(1, "fr")
