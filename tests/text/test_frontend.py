from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy.errors import TextError
from cosy.text.frontend import TextFrontend
from cosy.text.lexicon import Lexicon
from cosy.text.rules import Rewrite
from cosy.text.special_tokens import END_OF_PROMPT
from cosy.text.split import SEGMENT_LIMIT, is_speakable
from cosy.text.tokenizer import TextTokenizer

READ = [
    ("Hmm, Dr. Smith paid $1,234.", "Hmm, Doctor Smith paid one thousand two hundred thirty-four dollars."),
    ("今天2.5度，嗯。", "今天二点五度，嗯。"),
    ("用PyTorch 2.5，It works on 15 test sets, 但是", "用PyTorch二点五，It works on fifteen test sets,但是。"),
    ("2024年のテストです", "二千二十四年のテストです。"),
    ("오늘은 3월 5일", "오늘은 3월 5일."),
    ("在笑声[laughter]中他<strong>停下</strong>来", "在笑声[laughter]中他<strong>停下</strong>来。"),
]  # fmt: skip


def texts(frontend: TextFrontend, text: str, **options: object) -> list[str]:
    return [segment.text for segment in frontend.segments(text, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text for text, _ in READ])
def test_the_chain(frontend: TextFrontend, text: str, expected: str) -> None:
    assert texts(frontend, text) == [expected]


def test_segments_carry_language_and_ids(frontend: TextFrontend) -> None:
    (segment,) = frontend.segments("你好")
    assert (segment.language, segment.ids) == ("zh", tuple(frontend.tokenizer.encode("你好。")))
    assert segment.tokens == len(segment.ids)


def test_marks_switch_everything_off(frontend: TextFrontend) -> None:
    text = "Say 5.5<|endofprompt|> things. " * 30
    assert texts(frontend, text) == [text]
    assert frontend.explain(text) == []


def test_two_characters_that_only_look_like_a_mark_do_not(frontend: TextFrontend) -> None:
    assert texts(frontend, "a <| b |> 5") == ["a <| b |> five."]


@pytest.mark.parametrize("text", ["", "  \n ", "...", "。！？", "😀😀", "♪", "\x00", "\ud800", "\u0301", "\u200b"])
def test_text_without_anything_to_speak_is_an_error(frontend: TextFrontend, text: str) -> None:
    with pytest.raises(TextError, match="nothing to speak"):
        frontend.segments(text)


def test_normalising_can_be_switched_off(tokenizer: TextTokenizer, frontend: TextFrontend) -> None:
    assert texts(frontend, "Pi is 3.14", normalise=False) == ["Pi is 3.14."]
    assert texts(TextFrontend(tokenizer, normalise=False), "Pi is 3.14") == ["Pi is 3.14."]


def test_splitting_can_be_switched_off(frontend: TextFrontend) -> None:
    assert len(texts(frontend, "One sentence of words. " * 50, split=False)) == 1


def test_the_official_policy_reads_as_the_official_chain(tokenizer: TextTokenizer) -> None:
    official = TextFrontend(tokenizer, policy="official")
    assert texts(official, "Price is 3.14") == ["Price is three.fourteen."]
    assert texts(official, "价格是15元，3.5折，") == ["价格是15元，3。5折。"]
    assert official.explain("Room 101") == [Rewrite("official", "101", "one hundred and one")]


def test_the_lexicon_comes_first(tokenizer: TextTokenizer) -> None:
    frontend = TextFrontend(tokenizer, Lexicon({"3.14": "pi", "重庆": "崇庆"}))
    assert texts(frontend, "3.14") == ["pi."]
    assert frontend.explain("重庆5")[0] == Rewrite("lexicon", "重庆", "崇庆")


def test_every_change_is_explained(frontend: TextFrontend) -> None:
    assert frontend.explain("It is 5% of $3 😀") == [
        Rewrite("emoji", "😀", " "),
        Rewrite("currency", "$3", "three dollars"),
        Rewrite("percent", "5%", "five percent"),
    ]
    assert frontend.explain("It is so.") == []


def test_a_prompt_text_is_one_string(frontend: TextFrontend) -> None:
    assert frontend.prompt_text("I have 2. " * 40) == ("I have two. " * 40).strip()
    assert frontend.prompt_text("") == ""


@pytest.mark.parametrize("text", ["speak softly", " speak softly ", f"speak softly{END_OF_PROMPT}"])
def test_an_instruction_ends_with_its_mark_once(frontend: TextFrontend, text: str) -> None:
    assert frontend.instruction(text) == f"speak softly{END_OF_PROMPT}"


@pytest.mark.parametrize("text", ["", "  ", END_OF_PROMPT])
def test_an_empty_instruction_is_an_error(frontend: TextFrontend, text: str) -> None:
    with pytest.raises(TextError, match="instruction"):
        frontend.instruction(text)


@given(text=st.text(max_size=200), hint=st.sampled_from(["", "en", "zh", "ja", "ko", "de"]))
def test_any_text_gives_segments_or_a_text_error(frontend: TextFrontend, text: str, hint: str) -> None:
    try:
        segments = frontend.segments(text, hint)
    except TextError:
        return
    assert segments
    assert all(is_speakable(segment.text) and segment.ids for segment in segments)


@given(
    st.text(alphabet="abcdé ,.!?;:'\"()中文，。！？、あん한글\n", max_size=300),
    st.sampled_from(["en", "zh", "ja", "ko"]),
)
def test_words_without_digits_and_signs_are_kept(frontend: TextFrontend, text: str, hint: str) -> None:
    try:
        spoken = "".join(texts(frontend, text, language=hint))
    except TextError:
        spoken = ""
    assert re.findall(r"\w", spoken) == re.findall(r"\w", text)


LONG = 20_000
HARD = [
    "x" * LONG,
    "字" * LONG,
    "word " * (LONG // 5),
    "1" * LONG,
    "1," * (LONG // 2),
    "1.2" * (LONG // 3),
    "a@" * (LONG // 2),
    "A.B." * (LONG // 4),
    "a" + " " * LONG + "b",
    "a" + " \n" * (LONG // 2) + "b",
    "[laughter]" * (LONG // 10),
    "a" + "\u0301" * LONG,
    "<|" * (LONG // 2) + "a",
]


@pytest.mark.parametrize("text", HARD, ids=[text[:12] for text in HARD])
def test_long_and_odd_texts_end_in_bounded_segments(frontend: TextFrontend, text: str) -> None:
    segments = frontend.segments(text)
    assert all(min(segment.tokens, len(segment.text)) <= SEGMENT_LIMIT for segment in segments)
