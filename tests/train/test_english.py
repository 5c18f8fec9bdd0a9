from __future__ import annotations

import itertools
import random
import re
import string

import pytest

from cosy.eval.sentences import EVERYDAY, slot_sentences
from cosy.train.data.english import (
    LISTS,
    SLOT_TEMPLATE,
    TEMPLATES,
    draw,
    fill,
    frequent_words,
    normal_form,
    number_words,
    salad,
)

WORDS = "of and to in is on that by this with you it not or be are from at as your all have new more an was we".split()
MADE = {"number", "digits", "ordinal", "year", "clock"}  # fields that are computed, not listed


def first(count: int, seed: int = 1, held_out: tuple[str, ...] = ()) -> list[str]:
    return list(itertools.islice(draw(seed, WORDS, {normal_form(s) for s in held_out}), count))


def sentences_of(text: str) -> set[str]:
    return {normal_form(part) for part in re.split(r"(?<=[.?!]) ", text)}


def test_the_same_seed_draws_the_same_texts() -> None:
    assert first(200) == first(200)


def test_another_seed_draws_other_texts() -> None:
    assert len(set(first(200)) & set(first(200, seed=2))) < 20


def test_no_text_is_drawn_twice() -> None:
    forms = [normal_form(text) for text in first(2000)]
    assert len(set(forms)) == len(forms)


def test_held_out_sentences_are_not_drawn() -> None:
    unwanted = tuple(first(300))
    assert not {normal_form(t) for t in unwanted} & {normal_form(t) for t in first(2000, held_out=unwanted)}


def test_a_held_out_sentence_is_not_drawn_as_half_of_a_text_either() -> None:
    halves = [text for text in first(3000) if len(sentences_of(text)) == 2]
    unwanted = tuple(re.split(r"(?<=[.?!]) ", text)[1] for text in halves)
    forms = {normal_form(s) for s in unwanted}
    assert len(forms) > 20, "the test needs pairs"
    assert all(forms.isdisjoint(sentences_of(text)) for text in first(3000, held_out=unwanted))


def test_the_grammar_can_say_acceptance_sentences_so_refusing_them_matters() -> None:
    words = re.findall(r"[a-z]+", slot_sentences(1)[0].lower())
    fields = re.findall(r"\{(\w+)\}|the", SLOT_TEMPLATE)
    assert all(field == "" or word in LISTS[field] for word, field in zip(words, fields, strict=True))


def test_acceptance_sentences_are_never_drawn() -> None:
    acceptance = (*slot_sentences(400), *EVERYDAY)
    forms = {normal_form(s) for s in acceptance}
    assert all(forms.isdisjoint(sentences_of(text)) for text in first(3000, held_out=acceptance))


def test_texts_are_plain_sentences() -> None:
    for text in first(2000):
        assert set(text) <= set(string.ascii_letters + " ',.?!"), text
        assert text[0].isupper(), text
        assert text[-1] in ".?!", text
        assert "  " not in text, text


@pytest.mark.parametrize("name", LISTS)
def test_a_word_list_holds_distinct_words(name: str) -> None:
    entries = LISTS[name]
    assert all(re.fullmatch(r"[A-Za-z]+( [A-Za-z]+)*", entry) for entry in entries)
    weighted = ("the",) if name == "det" else ()  # repeated on purpose
    assert len(set(entries)) == len(entries) - sum(entries.count(word) - 1 for word in weighted)


def test_every_field_of_every_template_is_known_and_every_list_is_used() -> None:
    used = {field for template in (*TEMPLATES, SLOT_TEMPLATE) for field in re.findall(r"\{(\w+)\}", template)}
    assert used == set(LISTS) | MADE


def test_templates_differ_and_end_like_sentences() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES)
    assert all(template[-1] in ".?!" for template in TEMPLATES)


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(KeyError, match="colour"):
        fill("the {colour} door.", random.Random(0))


@pytest.mark.parametrize(("template", "said"), [("a old door.", "An old door."), ("such a door.", "Such a door.")])
def test_the_article_fits_what_follows(template: str, said: str) -> None:
    assert fill(template, random.Random(0)) == said


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (7, "seven"),
        (10, "ten"),
        (13, "thirteen"),
        (20, "twenty"),
        (21, "twenty one"),
        (99, "ninety nine"),
        (100, "one hundred"),
        (101, "one hundred one"),
        (115, "one hundred fifteen"),
        (340, "three hundred forty"),
        (1000, "one thousand"),
        (1001, "one thousand one"),
        (2500, "two thousand five hundred"),
        (9999, "nine thousand nine hundred ninety nine"),
    ],
)
def test_numbers_in_words(number: int, words: str) -> None:
    assert number_words(number) == words


def test_all_numbers_are_said_differently() -> None:
    assert len({number_words(n) for n in range(10_000)}) == 10_000


@pytest.mark.parametrize("number", [-1, 10_000])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        number_words(number)


def test_salad_uses_only_the_given_words() -> None:
    for seed in range(50):
        said = normal_form(salad(WORDS, random.Random(seed))).split()
        assert 3 <= len(said) <= 8
        assert set(said) <= set(WORDS)


def test_normal_form_forgets_case_and_punctuation() -> None:
    assert normal_form("Well, it's TEN o'clock!") == "well it's ten o'clock"


def test_frequent_words_are_ordinary_words() -> None:
    pytest.importorskip("wordfreq", reason="the frequency list needs the extra `train`")
    pytest.importorskip("pocketsphinx", reason="the pronouncing dictionary needs the extra `train`")
    words = frequent_words(200)
    assert len(set(words)) == len(words) == 200
    assert {"the", "and", "people"} <= set(words)
    assert all(word.isascii() and word.isalpha() for word in words)
