from __future__ import annotations

import importlib.util
import itertools
import random
import re
from collections import Counter

import pytest

from cosy.eval.sentences import MANDARIN_EVERYDAY, MIXED
from cosy.train.data.mandarin import LENGTHS, SALAD_HANZI, draw, fill, hanzi, normal_form, number_words, spoken
from cosy.train.data.mandarin_templates import MIXED as MIXED_TEMPLATES
from cosy.train.data.mandarin_templates import NAMED, TEMPLATES
from cosy.train.data.mandarin_words import LISTS

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jieba") is None, reason="the dictionary is in extra `train`")

MARKS = "，。？！"
ACCEPTANCE = (*MANDARIN_EVERYDAY, *MIXED)


def first(count: int, seed: int = 1, held_out: tuple[str, ...] = ()) -> list[str]:
    return list(itertools.islice(draw(seed, held_out), count))


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return first(4000)


def sentences_of(text: str) -> set[str]:
    return {normal_form(part) for part in re.split(r"(?<=[。？！])", text) if part}


def test_the_same_seed_draws_the_same_texts(texts: list[str]) -> None:
    assert first(500) == texts[:500]


def test_another_seed_draws_other_texts(texts: list[str]) -> None:
    assert len(set(texts[:300]) & set(first(300, seed=2))) < 30


def test_no_text_is_drawn_twice(texts: list[str]) -> None:
    forms = [normal_form(text) for text in texts]
    assert len(set(forms)) == len(forms)


def test_a_round_of_the_salad_brings_every_common_hanzi(texts: list[str]) -> None:
    assert set(hanzi(SALAD_HANZI)) <= set("".join(texts))


def test_texts_have_between_4_and_30_units(texts: list[str]) -> None:
    assert all(len(normal_form(text).split()) in LENGTHS for text in texts)


def test_texts_are_hanzi_with_chinese_marks_and_some_english_words(texts: list[str]) -> None:
    for text in texts:
        assert re.fullmatch(rf"[\u4e00-\u9fffA-Za-z' {MARKS}]+[。？！]", text), text
        assert not re.search(rf"[\u4e00-\u9fff{MARKS}] | [\u4e00-\u9fff{MARKS}]", text), text


def test_texts_are_as_the_front_end_leaves_them(texts: list[str]) -> None:
    for text in texts[:1000]:
        assert spoken(text) == text


def test_digits_are_spoken() -> None:
    assert spoken("一共 35 元，时间 8:05。") == "一共三十五元，时间八点零五分。"


def test_one_text_in_ten_has_english_in_it(texts: list[str]) -> None:
    with_english = sum(re.search("[A-Za-z]", text) is not None for text in texts)
    assert 0.08 < with_english / len(texts) < 0.14


def test_rare_hanzi_come_up_much_more_often_than_in_running_text(texts: list[str]) -> None:
    counts = Counter("".join(texts))
    assert sum(counts[char] for char in hanzi(SALAD_HANZI)[2000:]) / sum(counts.values()) > 0.05


def test_held_out_sentences_are_not_drawn_nor_ones_that_differ_in_one_hanzi(texts: list[str]) -> None:
    unwanted = tuple(text for text in texts[:300] if len(sentences_of(text)) == 1)
    near = {form.replace(unit, "*", 1) for form in map(normal_form, unwanted) for unit in form.split()}
    for text in first(2000, held_out=unwanted):
        for form in sentences_of(text):
            assert form not in map(normal_form, unwanted)
            assert len(form.split()) < 5 or not near & {form.replace(unit, "*", 1) for unit in form.split()}, text


def test_acceptance_sentences_are_never_drawn() -> None:
    forms = {normal_form(s) for s in ACCEPTANCE}
    assert all(forms.isdisjoint(sentences_of(text)) for text in first(3000, held_out=ACCEPTANCE))


def test_acceptance_sentences_are_everyday_sentences_without_digits() -> None:
    assert len(set(MANDARIN_EVERYDAY)) == 40
    for sentence in MANDARIN_EVERYDAY:
        assert 6 <= len(normal_form(sentence).split()) <= 20, sentence
        assert re.fullmatch(rf"[\u4e00-\u9fff{MARKS}]+", sentence), sentence


def test_mixed_acceptance_sentences_have_both_languages() -> None:
    assert len(set(MIXED)) == 10
    assert all(re.search("[A-Za-z]", s) and re.search("[\u4e00-\u9fff]", s) for s in MIXED)


def test_the_vocabulary_has_the_hanzi_we_use_before_other_common_ones() -> None:
    vocabulary = hanzi(3500)
    assert len(set(vocabulary)) == 3500
    assert set("鹦鹉饺子赵冯的一是") <= set(vocabulary[:1100])
    assert set("蛮罪臣蒸") <= set(vocabulary[1100:])


@pytest.mark.parametrize("template", [*TEMPLATES, *MIXED_TEMPLATES, *NAMED])
def test_every_field_of_a_template_can_be_filled(template: str) -> None:
    text = fill(template, random.Random(0))
    assert "{" not in text
    assert text[-1] in "。？！"


def test_two_fields_of_one_name_are_filled_differently() -> None:
    for seed in range(50):
        left, right = fill("{drink}，{drink}", random.Random(seed)).split("，")
        assert left != right


def test_no_list_says_a_word_twice() -> None:
    assert [name for name, words in LISTS.items() if not name.endswith("_en") and len(set(words)) < len(words)] == []


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "零"),
        (2, "二"),
        (10, "十"),
        (15, "十五"),
        (20, "二十"),
        (101, "一百零一"),
        (110, "一百一十"),
        (212, "二百一十二"),
        (1005, "一千零五"),
        (1050, "一千零五十"),
        (2024, "两千零二十四"),
        (10_000, "一万"),
        (20_000, "两万"),
        (100_000, "十万"),
        (100_010, "十万零一十"),
        (305_000, "三十万五千"),
        (40_220_000, "四千零二十二万"),
    ],
)
def test_numbers_are_spelled(number: int, words: str) -> None:
    assert number_words(number) == words


@pytest.mark.parametrize("number", [-1, 10**8])
def test_a_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=str(number)):
        number_words(number)
