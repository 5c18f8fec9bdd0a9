"""Counting, cutting, correcting and finding text again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from cosy.server.dialects.dashscope_text import FLUSH, FlushableText, Replacements, Slices, characters, passages


def test_only_ideographs_count_twice() -> None:
    assert characters("你，a 1。") == 7
    assert characters("𠮷㐀〇") == 6
    assert characters("ひらカナ한글é🙂") == 8


def read(pieces: list[str]) -> list[list[str]]:
    async def parts() -> list[list[str]]:
        queue = FlushableText(1000)
        for piece in pieces:
            await queue.put(piece)
        queue.close()
        return [await _all(part.text) async for part in passages(queue)]

    return asyncio.run(parts())


async def _all(text: str | AsyncIterator[str]) -> list[str]:
    return [text] if isinstance(text, str) else [piece async for piece in text]


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], []),
        ([FLUSH], []),
        (["a", "b"], [["a", "b"]]),
        (["a", FLUSH, "b"], [["a"], ["b"]]),
        ([FLUSH, "a", FLUSH, FLUSH, "b", FLUSH], [["a"], ["b"]]),
        (["“", "a", FLUSH, "”", FLUSH, "b"], [["“a"], ["”b"]]),
        (["a", FLUSH, "。"], [["a"]]),
        (["。"], [["。"]]),
    ],
)
def test_a_text_is_cut_where_it_is_flushed(pieces: list[str], expected: list[list[str]]) -> None:
    assert read(pieces) == expected


def test_a_flush_is_no_text() -> None:
    async def count() -> tuple[int, int]:
        queue = FlushableText(3)
        for piece in ("ab", FLUSH, FLUSH, "c"):
            await queue.put(piece)
        return queue.characters, queue.utf8_bytes

    assert asyncio.run(count()) == (3, 3)


WORDS = {"草地": "草弟", "草": "花", "ab": "X", "abcd": "Y", "": "never"}


@pytest.mark.parametrize("text", ["草地草", "abcabcd", "xabx", "", "a", "草地" * 20, "no match at all"])
def test_replacing_does_not_depend_on_the_cuts(text: str) -> None:
    whole = Replacements(WORDS)
    expected = whole.push(text) + whole.finish()
    chance = random.Random(0)
    for _ in range(20):
        words, done, at = Replacements(WORDS), "", 0
        while at < len(text):
            step = chance.randint(1, 3)
            done += words.push(text[at : at + step])
            at += step
        assert done + words.finish() == expected


def test_the_longest_word_wins_and_replacements_are_not_replaced() -> None:
    words = Replacements(WORDS)
    assert words.push("abcd 草地草 ab") + words.finish() == "Y 草弟花 X"
    plain = Replacements({})
    assert plain.push("at once") == "at once"


def sliced(raw: str, *spoken: str) -> list[str]:
    slices = Slices()
    slices.add(raw)
    found = [slices.take(text) for text in spoken]
    found[-1] += slices.rest()
    assert "".join(found) == raw
    assert slices.charged == characters(raw)
    return found


@pytest.mark.parametrize(
    ("raw", "spoken"),
    [
        (["Hello there. ", "How are you?"], ["Hello there.", "How are you?"]),
        (["  床前明月光，", "疑是地上霜。\n"], ["床前明月光，", "疑是地上霜。"]),
        (["I have 3 apples. ", "You have 12."], ["I have three apples.", "You have twelve."]),
        (["共1234元。", "其中5元是税。"], ["共一千二百三十四元。", "其中五元是税。"]),
        (
            ["On 3/4/2024 we met Dr. Smith; ", "he paid $5.50!"],
            ["On March fourth, twenty twenty four we met Doctor Smith;", "he paid five dollars fifty!"],
        ),
        (["No end", ""], ["No end.", ""]),
    ],
)
def test_segments_are_found_in_the_text_as_it_was_sent(raw: list[str], spoken: list[str]) -> None:
    assert sliced("".join(raw), *spoken) == raw


def test_slices_join_to_the_text_whatever_was_spoken() -> None:
    sliced("a, b, c.", "quite another text", "", "c")
    sliced("word " * 2000, "word " * 1200, "word " * 800)


@pytest.mark.parametrize(
    ("raw", "first"),
    [
        ("One. Two.", "One. "),
        ("\n 你好。世界。", "\n 你好。"),
        ("3.5 of it", "3.5 of it"),
        ("", ""),
        ("a" * 100_000, "a" * 100_000),
    ],
)
def test_without_its_text_a_segment_seems_to_be_the_next_sentence(raw: str, first: str) -> None:
    slices = Slices()
    slices.add(raw)
    assert slices.peek("") == first
    assert slices.take(raw) == raw


def test_text_may_come_after_a_slice_was_taken() -> None:
    slices = Slices()
    slices.add("One. ")
    assert slices.take("One.") == "One. "
    slices.add("Two.")
    assert slices.take("Two.") == "Two."
