from __future__ import annotations

import functools
import itertools
import random
import re
import string
from collections import Counter

import pytest

from cosy.eval.sentences import EVERYDAY, PROSE, slot_sentences
from cosy.train.data.english import (
    GLUE,
    ONES,
    ORDINALS,
    TENS,
    draw,
    fill,
    frequent_words,
    near_forms,
    normal_form,
    number_words,
    salad,
)
from cosy.train.data.english_templates import EVERYDAY as TALK
from cosy.train.data.english_templates import GRAMMAR, PHRASES, SLOT_TEMPLATE
from cosy.train.data.english_words import LISTS, verb_forms

NUMERIC = {*ONES, *TENS, *ORDINALS, *"hundred thousand thirtieth o'clock in the morning evening".split()}
TEMPLATES = (*GRAMMAR, *TALK, *PHRASES)
WORDS = "of and to in is on that by this with you it not or be are from at as your all have new more an was we".split()
MADE = {
    "number",
    "small",
    "tens",
    "digit",
    "digits",
    "ordinal",
    "year",
    "clock",
}  # fields that are computed, not listed


def first(count: int, seed: int = 1, held_out: tuple[str, ...] = ()) -> list[str]:
    return list(itertools.islice(draw(seed, WORDS, held_out), count))


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
    acceptance = (*slot_sentences(400), *EVERYDAY, *PROSE)
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
    assert all(re.fullmatch(r"[A-Za-z{}_,]+( [A-Za-z{}_,]+)*", entry) for entry in entries)
    weighted = ("the",) if name == "det" else ("{name}",) if name == "person" else ()  # repeated on purpose
    assert len(set(entries)) == len(entries) - sum(entries.count(word) - 1 for word in weighted)


def test_every_field_of_every_template_is_known_and_every_list_is_used() -> None:
    entries = itertools.chain.from_iterable(LISTS.values())
    used = {field for template in (*TEMPLATES, SLOT_TEMPLATE, *entries) for field in re.findall(r"\{(\w+)\}", template)}
    assert used == set(LISTS) | MADE


def test_templates_differ_and_end_like_sentences() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES)
    assert all(template[-1] in ".?!" for template in TEMPLATES)


def test_an_unknown_field_is_an_error() -> None:
    with pytest.raises(KeyError, match="colour"):
        fill("the {colour} door.", random.Random(0))


def ends(template: str, words: tuple[str, ...], start: int, wrong: int) -> frozenset[tuple[int, int]]:
    """Where in `words` (end, words that differ) a saying of `template` from `start` may end, one word different."""
    states = {(start, wrong)}
    for token in re.findall(r"\{\w+\}|[A-Za-z']+", template):
        states = {end for at, off in states for end in token_ends(token, words, at, off)}
    return frozenset(states)


@functools.cache
def token_ends(token: str, words: tuple[str, ...], start: int, wrong: int) -> frozenset[tuple[int, int]]:
    if token[0] != "{":
        off = wrong + (start < len(words) and token.lower() != words[start])
        return frozenset({(start + 1, off)} if start < len(words) and off <= 1 else ())
    field = token[1:-1]
    if field in MADE:
        off = [word not in NUMERIC for word in words[start:]]
        ways = ((start + n, wrong + sum(off[:n])) for n in range(1, len(off) + 1))
        return frozenset((end, total) for end, total in ways if total <= 1)
    return frozenset().union(*(ends(entry, words, start, wrong) for entry in LISTS[field]))


def without_article_form(sentence: str) -> tuple[str, ...]:
    return tuple("a" if word == "an" else word for word in normal_form(sentence).split())


def test_the_walk_through_templates_finds_what_a_template_says_and_one_word_beside_it() -> None:
    for said, wrong in (("the old man {does} here.", 0), ("the old man {does} there.", 1)):
        assert ends(said, ("the", "old", "man", "feels", "tired", "here"), 0, 0) >= {(6, wrong)}
    assert not ends("a new man {does} there.", ("the", "old", "man", "feels", "tired", "here"), 0, 0)


@pytest.mark.parametrize("sentence", [*EVERYDAY, *PROSE])
def test_no_template_can_say_a_written_acceptance_sentence_even_with_one_word_changed(sentence: str) -> None:
    words = without_article_form(sentence)
    assert [t for t in TEMPLATES if any(end == len(words) for end, _ in ends(t, words, 0, 0))] == []


def test_a_sentence_one_word_from_a_held_out_one_is_not_drawn() -> None:
    unwanted = tuple(text for text in first(300) if len(sentences_of(text)) == 1 and len(text.split()) >= 5)
    near = {near for text in unwanted for near in near_forms(normal_form(text))}
    drawn = {sentence for text in first(2000, held_out=unwanted) for sentence in sentences_of(text)}
    assert len(unwanted) > 100, "the test needs sentences"
    assert all(near.isdisjoint(near_forms(sentence)) for sentence in drawn)


def test_long_texts_have_three_to_five_sentences_and_at_most_sixty_words() -> None:
    long = [text for text in first(3000) if len(re.findall(r"[.?!](?: |$)", text)) >= 3]
    assert 100 < len(long) < 260, "about six percent"
    assert all(len(text.split()) <= 60 and len(re.findall(r"[.?!](?: |$)", text)) <= 5 for text in long)


@pytest.mark.parametrize(
    ("phrase", "forms"),
    [
        ("go home", ("go home", "goes home", "going home", "went home", "gone home")),
        ("wash up", ("wash up", "washes up", "washing up", "washed up", "washed up")),
        ("worry", ("worry", "worries", "worrying", "worried", "worried")),
        ("stay", ("stay", "stays", "staying", "stayed", "stayed")),
        ("bake", ("bake", "bakes", "baking", "baked", "baked")),
    ],
)
def test_verbs_are_conjugated(phrase: str, forms: tuple[str, ...]) -> None:
    assert verb_forms(phrase) == forms


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("a old door.", "An old door."),
        ("such a door.", "Such a door."),
        ("a university.", "A university."),
        ("in a hour.", "In an hour."),
        ("a ugly umbrella or a umbrella.", "An ugly umbrella or an umbrella."),
    ],
)
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


def test_salad_uses_only_the_given_words_and_small_ones() -> None:
    for seed in range(50):
        said = normal_form(salad(WORDS, random.Random(seed))).split()
        assert 3 <= len(said) <= 16
        assert set(said) <= {*WORDS, *GLUE}


def test_a_word_of_a_salad_is_drawn_by_the_root_of_its_frequency() -> None:
    ranked, rng = [f"w{'x' * rank}" for rank in range(100)], random.Random(0)
    said = Counter(word for _ in range(8000) for word in normal_form(salad(ranked, rng)).split())
    first, later = (sum(said[word] for word in ranked[a:b]) for a, b in ((0, 25), (25, 100)))
    assert first / later == pytest.approx(1, abs=0.05), "half of the draws fall on the first quarter of the ranks"


def test_normal_form_forgets_case_and_punctuation() -> None:
    assert normal_form("Well, it's TEN o'clock!") == "well it's ten o'clock"


def test_frequent_words_are_ordinary_words() -> None:
    pytest.importorskip("wordfreq", reason="the frequency list needs the extra `train`")
    pytest.importorskip("pocketsphinx", reason="the pronouncing dictionary needs the extra `train`")
    words = frequent_words(200)
    assert len(set(words)) == len(words) == 200
    assert {"the", "and", "people"} <= set(words)
    assert all(word.isascii() and word.isalpha() for word in words)
