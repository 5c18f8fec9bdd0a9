from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy.errors import TextError
from cosy.text.borders import MAX_HELD, Kind, next_border
from cosy.text.frontend import TextFrontend
from cosy.text.incremental import SEGMENT_TOKENS, IncrementalText, TextPiece
from cosy.text.lexicon import Lexicon
from cosy.text.split import SEGMENT_LIMIT, TOKEN_MAX, is_speakable
from cosy.text.tokenizer import TextTokenizer
from tests.text.cuts import draw_cuts

# What makes trouble at a border: whatever several words, or the next characters, say how to read.
TROUBLE = (
    *("the quick ", "brown", " fox. ", "Dr.", " Smith", "Main St. ", "J. K. ", "e.g. ", "etc.", " p.m. ", "U.S."),
    *("$1,234.56", " billion ", "3.14", " 5 ", "km", "/h", "May 5, 2021", "2020-01-05 ", "3:30", "555-123-4567", "1/2"),
    *("https://example.com/a?b=1.", "me@example.com ", "**bold** ", "<strong>", "</strong>", "[laughter]", "- item"),
    *("今天天气很好", "，", "。", "共1,234人", "：", "“", "”", "漢字", "かな", "カタカナ", "ｶﾞ"),
    *("２０２４年", "…", "——"),
    *("안녕하세요 ", "3월 ", "Привет ", "שלום", "हिन्दी ", "।", "e\u0301", "\u0301", "か\u3099", "😀", "👍🏽"),
    *("\u200b", "\ufeff"),
    *(" ", "  ", "\n", "\r\n", "\n\n", "\u3000", "!", "?", ".", ",", ";", "-", "'", '"', "(", ")", "5", "a", "A", "好"),
    *("<", "|", "word " * 30, "好" * 90, "7" * 90),
)  # fmt: skip
troubled_text = st.lists(st.sampled_from(TROUBLE), max_size=25).map("".join)
HINTS = ("", "en", "zh", "ja", "ko", "de")


def read(frontend: TextFrontend, *pieces: str, **options: object) -> list[TextPiece]:
    reader = IncrementalText(frontend, **options)  # type: ignore[arg-type]
    return [out for piece in pieces for out in reader.push(piece)] + reader.finish()


def spoken(frontend: TextFrontend, text: str, **options: object) -> list[str]:
    """The segments."""
    return [piece.segment_text for piece in read(frontend, text, **options) if piece.ends_segment]


@given(text=troubled_text, hint=st.sampled_from(HINTS), normalise=st.booleans(), split=st.booleans(), data=st.data())
def test_the_way_a_text_arrives_changes_nothing(
    frontend: TextFrontend, text: str, hint: str, normalise: bool, split: bool, data: st.DataObject
) -> None:
    options = {"language": hint, "normalise": normalise, "split": split}
    whole = read(frontend, text, **options)
    assert read(frontend, *draw_cuts(data, text), **options) == whole
    assert read(frontend, *text, **options) == whole  # character by character


@given(text=st.text(max_size=80), data=st.data())
def test_nor_does_it_for_any_unicode_text(frontend: TextFrontend, text: str, data: st.DataObject) -> None:
    assert read(frontend, *draw_cuts(data, text)) == read(frontend, *text) == read(frontend, text)


@given(text=st.lists(st.sampled_from(["<|endofprompt|>", "<|x", "|>", *TROUBLE]), max_size=12).map("".join))
def test_nor_with_marks_or_with_a_lexicon_or_the_official_policy(frontend: TextFrontend, text: str) -> None:
    lexicon = TextFrontend(frontend.tokenizer, Lexicon({"quick brown": "slow", "天气": "天色"}))
    for each in (frontend, lexicon, TextFrontend(frontend.tokenizer, policy="official")):
        assert read(each, *text) == read(each, text)


@given(text=troubled_text, hint=st.sampled_from(HINTS))
def test_pieces_join_to_segments_that_are_tokenised_as_running_text(
    frontend: TextFrontend, text: str, hint: str
) -> None:
    said, ids = "", []
    for piece in read(frontend, text, language=hint):
        said, ids = said + piece.text, [*ids, *piece.ids]
        if piece.ends_segment:
            assert (said, ids) == (piece.segment_text, frontend.tokenizer.encode(said))
            assert is_speakable(said)
            assert said == said.lstrip()
            assert len(ids) <= SEGMENT_LIMIT + 1  # a full stop
            said, ids = "", []
        else:
            assert piece.segment_text == ""
    assert said == "".join(map(str, ids)) == ""


@given(text=st.text(alphabet="abcdé ,.!?;:'\"()中文，。！？、あん한글\n", max_size=300), hint=st.sampled_from(HINTS))
def test_words_without_digits_and_signs_are_kept(frontend: TextFrontend, text: str, hint: str) -> None:
    said = "".join(spoken(frontend, text, language=hint))
    assert re.findall(r"\w", said) == re.findall(r"\w", text)


# A bar at every border: what is left of one is spoken without knowing what is right of it.
READ = [
    ("Hello, world! I have 25 apples and pears.", "Hello,| world!| I| have twenty-five apples| and| pears."),
    ("Dr. Smith lives in St. John, not on Main St. today.",
     "Doctor Smith| lives| in Saint John,| not| on| Main Street today."),
    ("It costs $1,234.56 today, not 3.14.",
     "It| costs one thousand two hundred thirty-four dollars and fifty-six cents today,| not three point one four."),
    ("We met on May 5, 2021, e.g. at example.com. Then we left.",
     "We| met| on| May fifth, twenty twenty-one, for example, at example dot com.|Then| we| left."),
    ("He left at 6 p.m. We stayed 5 km away.", "He| left| at six PM. We| stayed five kilometers| away."),
    ("Call +44 20 7946 0958 now, please.",
     "Call four four, two zero, seven nine four six, zero nine five eight now,| please."),
    ("今天天气很好，我们去玩。共1,234人，价格是3.5元。好。",
     "今|天|天|气|很|好，|我|们|去|玩。|共一千二百三十四人，|价格是三点五元。|好。"),
    ("他说：It took us 25 minutes, really.真的", "他说：|It took us twenty-five minutes, really。|真的|。"),
    ("2024年3月5日に東京でコンサートがあります。カタカナ テスト、3つです。",
     "二千二十四年三月五日に東京でコンサートがあります。|カ|タ|カ|ナ テ|ス|ト、|三つです。"),
    ("오늘은 3월 5일 입니다. 날씨가 좋네요.", "오늘은 3월 5일 입니다.| 날씨가| 좋네요."),
    ("Great! 😀 Let's go now.", "Great!| Let's| go| now."),
    ("Title\n\nBody\n- milk\n- eggs", "Title.| Body| - milk| - eggs|."),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READ, ids=[text for text, _ in READ])
def test_where_a_text_is_cut_and_how_it_is_read(frontend: TextFrontend, text: str, expected: str) -> None:
    assert "|".join(piece.text for piece in read(frontend, text) if piece.text) == expected


# When words come out: what has arrived, and what has been spoken of it by then.
LATENCY = [
    ("Hello", ""),
    ("Hello, wor", ""),  # "Hello," waits for the whole of the next word
    ("Hello, world ", "Hello,"),
    ("Hello, world and ", "Hello, world"),
    ("So it is. ", "So it"),  # a dot could be an abbreviation's
    ("So it is. A", "So it is."),
    ("So it is! ", "So it"),
    ("So it is! 5", "So it is!"),
    ("I have 5 ", "I"),
    ("I have 5 km ", "I"),
    ("I have 5 km to ", "I have five kilometers"),
    ("On May 5, 2021, we", "On"),
    ("On May 5, 2021, we ", "On May fifth, twenty twenty-one,"),
    ("今天天", ""),
    ("今天天气", "今"),  # a number's reading looks three characters back
    ("今天天气很好，", "今天天气很"),
    ("今天天气很好，我", "今天天气很好，"),
    ("我有25个苹果和梨", ""),  # a number holds its clause
    ("我有25个苹果和梨，你", "我有二十五个苹果和梨，"),
    ("カタカナの", "カタ"),
    ("今日は3時です", ""),
    ("今日は3時です。ま", "今日は三時です。"),
    ("오늘은 날씨가 ", "오늘은"),
    ("오늘은 날씨가 좋", "오늘은"),
]


@pytest.mark.parametrize(("arrived", "expected"), LATENCY, ids=[arrived for arrived, _ in LATENCY])
def test_when_words_come_out(frontend: TextFrontend, arrived: str, expected: str) -> None:
    assert "".join(piece.text for piece in IncrementalText(frontend).push(arrived)) == expected


@pytest.mark.parametrize("piece", ["x", "7", "7,", "好7", " -", "\u0301", "a.b", " 5", "<|"])
def test_nothing_is_held_for_long(frontend: TextFrontend, piece: str) -> None:
    reader = IncrementalText(frontend)
    for _ in range(300):
        reader.push(piece)
        assert len(reader._held) <= MAX_HELD + 64 + len(piece)


@pytest.mark.parametrize("text", ["", " \n ", "...", "😀", "\u200b", "。！？"])
def test_a_text_with_nothing_to_say_gives_no_piece(frontend: TextFrontend, text: str) -> None:
    assert read(frontend, text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hi", "Hi."),
        ("Hi,", "Hi."),
        ("Hi!", "Hi!"),
        ("“Hi.”", "“Hi.”"),
        ("好", "好。"),
        ("好，", "好。"),
        ("Hi 😀", "Hi."),
    ],
)
def test_a_text_ends_with_a_full_stop(frontend: TextFrontend, text: str, expected: str) -> None:
    assert spoken(frontend, text) == [expected]


def test_a_segment_ends_with_the_first_sentence_that_makes_it_long_enough(frontend: TextFrontend) -> None:
    sentence = "The quick brown fox jumps over the lazy dog again."
    segments = spoken(frontend, " ".join([sentence] * 30))
    sizes = [len(frontend.tokenizer.encode(segment)) for segment in segments]
    one = len(frontend.tokenizer.encode(sentence))
    assert len(segments) > 3
    assert all(SEGMENT_TOKENS <= size <= SEGMENT_TOKENS + one for size in sizes[:-1])
    assert all(segment.endswith("again.") for segment in segments)


def test_a_sentence_without_end_is_cut_at_a_comma_and_else_between_words(frontend: TextFrontend) -> None:
    *clauses, _ = spoken(frontend, "we all go there, " * 100)
    assert all(clause.endswith(",") for clause in clauses)
    assert all(TOKEN_MAX <= len(frontend.tokenizer.encode(clause)) < TOKEN_MAX + 20 for clause in clauses)
    words = spoken(frontend, "word " * 400)
    assert all(re.fullmatch("word( word)*[.]?", segment) for segment in words)
    assert all(len(frontend.tokenizer.encode(segment)) <= SEGMENT_LIMIT + 1 for segment in words)


def test_a_model_that_reads_less_gets_shorter_segments(frontend: TextFrontend) -> None:
    short = TextFrontend(frontend.tokenizer)
    short.limit = 30
    clauses = spoken(short, "we all go there, " * 40)
    sizes = [len(short.tokenizer.encode(clause)) for clause in clauses]
    assert all(15 <= size <= 30 for size in sizes[:-1])
    assert all(clause.endswith(",") for clause in clauses[:-1])
    whole = [len(segment.ids) for segment in short.segments("we all go there, " * 40)]
    assert max(whole) <= 30 + 1  # a full stop


def test_splitting_and_normalising_can_be_switched_off(frontend: TextFrontend) -> None:
    assert len(spoken(frontend, "One sentence of words. " * 50, split=False)) == 1
    assert spoken(frontend, "Pi  is\n3.14, 50%", normalise=False) == ["Pi  is\n3.14, 50%."]


def test_a_text_with_a_mark_stays_as_it_is_in_one_segment(frontend: TextFrontend) -> None:
    text = "Say 5.5<|endofprompt|> things.  Then 7. " * 30
    (segment,) = spoken(frontend, text)
    assert segment == text


def test_what_stands_before_the_stretch_with_a_mark_was_read_already(frontend: TextFrontend) -> None:
    assert spoken(frontend, "I say 5 nice things softly<|endofprompt|>5.") == [
        "I say five nice things softly<|endofprompt|>5."
    ]


def test_the_official_policy_leaves_streamed_text_alone(tokenizer: TextTokenizer) -> None:
    text = " Price is 3.14, \n and so on. " * 20
    assert spoken(TextFrontend(tokenizer, policy="official"), text) == [text]


def test_an_entry_of_the_lexicon_may_have_several_words(tokenizer: TextTokenizer) -> None:
    frontend = TextFrontend(tokenizer, Lexicon({"New York City": "the big apple", "重庆": "崇庆"}))
    assert read(frontend, *"I love New York City, really.")[0].text == "I love the big apple,"
    assert spoken(frontend, "我爱重庆火锅。") == ["我爱崇庆火锅。"]


@pytest.mark.parametrize(("hint", "expected"), [("en", "Room five."), ("zh", "Room五。"), ("zh-CN", "Room五。")])
def test_the_hint_decides_the_language(frontend: TextFrontend, hint: str, expected: str) -> None:
    assert spoken(frontend, "Room 5", language=hint) == [expected]


def test_each_language_of_a_text_is_read_by_its_own_rules(frontend: TextFrontend) -> None:
    english, chinese = "There are 5 of them here. " * 12, "这里有5个人。" * 12
    segments = spoken(frontend, english + "\n\n" + chinese)
    assert segments[0].startswith("There are five of them")
    assert segments[-1].endswith("这里有五个人。")


def test_an_unknown_language_is_an_error(frontend: TextFrontend) -> None:
    with pytest.raises(TextError, match="klingon"):
        IncrementalText(frontend, "klingon")


def test_halves_of_a_surrogate_pair_may_arrive_apart(frontend: TextFrontend) -> None:
    assert read(frontend, "a \ud83d", "\ude00 b \ud83d") == read(frontend, "a \U0001f600 b ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word word ", (4, Kind.WORD)),
        ("word, word ", (5, Kind.CLAUSE)),
        ("word. Word", (5, Kind.SENTENCE)),
        ("word\n\nx", (4, Kind.PARAGRAPH)),
        ("好。好", (2, Kind.SENTENCE)),
        ("word", None),
        ("Dr. Smith ", None),
        ("5 km ", None),
    ],
)
def test_borders(text: str, expected: tuple[int, Kind] | None) -> None:
    assert next_border(text, ended=False, spaced=lambda _: True) == expected
