from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cosy.errors import MismatchError
from cosy.text.frontend import TextFrontend
from cosy.text.incremental import IncrementalText
from cosy.text.sandhi import Sandhi, SandhiStream, Spelling
from cosy.text.tokenizer import CONFIG_FILE, TextTokenizer, add_characters
from tests.text.cuts import draw_cuts

FALLING = "是个去定万下会见意不"
SPELLINGS = {"一": Spelling("姨", "意", FALLING), "不": Spelling("醭", "步", FALLING)}
SANDHI = Sandhi(SPELLINGS)
TROUBLE = (*"一不点半看好是天第二去，a 1", "对不起", "万一", "[breath]", "\n", "\u0301")
troubled_text = st.lists(st.sampled_from(TROUBLE), max_size=12).map("".join)


@pytest.fixture(scope="module")
def spelling_tokenizer(tokenizer: TextTokenizer, tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    directory = tmp_path_factory.mktemp("spelling")
    return add_characters(tokenizer.directory, "姨意醭步一不点", directory, sandhi=SPELLINGS)


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("一个", "姨个"),
        ("一天", "意天"),
        ("不去", "醭去"),
        ("不好", "步好"),
        ("不一定", "步姨定"),
        ("一不小心", "姨步小心"),
        ("我有一点钱", "我有意点钱"),
        ("三点一刻", "三点意刻"),
        ("一点半，一点钟，一点五", "一点半，一点钟，一点五"),  # yi1
        ("第一天，一号，十一个，一九五一年，周一去", "第一天，一号，十一个，一九五一年，周一去"),
        ("万一下雨，统一了", "万一下雨，统一了"),
        ("看一看，好不好", "看一看，好不好"),  # neutral
        ("一天一天", "意天意天"),
        ("不得不去", "步得醭去"),
        ("对不起，看不见", "对不起，看不见"),
        ("统一。不，我不", "统一。不，我不"),  # at an end
        ("一 个，不a", "一 个，不a"),
        ("", ""),
    ],
)
def test_they_are_written_as_they_are_said(text: str, spelt: str) -> None:
    assert SANDHI.spell(text) == spelt


def test_without_spellings_a_text_stays() -> None:
    assert Sandhi({}).spell("不是一个") == "不是一个"


@given(text=troubled_text, data=st.data())
@example(text="一点半看一看", data=None)
def test_a_stream_is_spelt_like_the_whole(text: str, data: st.DataObject | None) -> None:
    pieces = draw_cuts(data, text) if data else text
    stream = SandhiStream(SANDHI)
    spelt = [stream.push(piece) for piece in pieces]
    assert "".join([*spelt, stream.finish()]) == SANDHI.spell(text)
    assert stream.finish() == ""


def test_a_stream_waits_for_the_next_character_alone() -> None:
    stream = SandhiStream(SANDHI)
    assert [stream.push(char) for char in "我不是一点"] == ["我", "", "醭是", "", ""]
    assert stream.push("钱") == "意点钱"


@given(text=troubled_text, data=st.data())
def test_ids_of_a_stream_are_those_of_the_joined_text(
    spelling_tokenizer: TextTokenizer, text: str, data: st.DataObject
) -> None:
    whole = spelling_tokenizer.encode(text)
    assert list(spelling_tokenizer.encode_stream(draw_cuts(data, text))) == whole
    assert list(spelling_tokenizer.encode_stream(text)) == whole


def test_a_vocabulary_brings_its_spellings(tokenizer: TextTokenizer, spelling_tokenizer: TextTokenizer) -> None:
    assert spelling_tokenizer.encode("不是一个") == spelling_tokenizer.encode_spelt("醭是姨个")
    assert tokenizer.encode("不是一个") == tokenizer.encode_spelt("不是一个")
    assert TextTokenizer(spelling_tokenizer.directory).sandhi.spellings == SPELLINGS


def test_text_in_pieces_has_the_ids_of_its_segments(spelling_tokenizer: TextTokenizer) -> None:
    text = "我不去，你去不去？一点半不行，一个人也不来。对不起，统一不了！" * 4
    reader = IncrementalText(TextFrontend(spelling_tokenizer))
    pieces = [piece for char in text for piece in reader.push(char)] + reader.finish()
    segments = [piece.segment_text for piece in pieces if piece.ends_segment]
    assert len(segments) > 1
    assert [i for piece in pieces for i in piece.ids] == [i for s in segments for i in spelling_tokenizer.encode(s)]


@pytest.mark.parametrize(
    "value",
    [
        *("一", ["一"], {"一": "姨"}, {"一": {"rising": "姨"}}, None),
        {"一": {"rising": 1, "falling": "意", "before": ""}},
        {"一": {"rising": "姨姨", "falling": "意", "before": ""}},
        {"一": {"rising": "姨", "falling": "意", "before": ["是"]}},
    ],
)
def test_damaged_spellings_are_named(tokenizer: TextTokenizer, tmp_path: Path, value: object) -> None:
    add_characters(tokenizer.directory, "", tmp_path)
    config = json.loads((tmp_path / CONFIG_FILE).read_text(encoding="utf-8"))
    (tmp_path / CONFIG_FILE).write_text(json.dumps({**config, "tone_sandhi": value}))
    with pytest.raises(MismatchError, match="tone_sandhi"):
        TextTokenizer(tmp_path)
