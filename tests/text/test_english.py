from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy.text.english import cardinal, english, ordinal, year

SPOKEN = [
    ("Pi is 3.14.", "Pi is three point one four."),
    ("1,234", "one thousand two hundred thirty-four"),
    ("It costs $1,234.56.", "It costs one thousand two hundred thirty-four dollars and fifty-six cents."),
    ("$0.99", "ninety-nine cents"),
    ("$1", "one dollar"),
    ("$1.00", "one dollar"),
    ("$3.5 billion", "three point five billion dollars"),
    ("$5M", "five million dollars"),
    ("£2.01", "two pounds and one penny"),
    ("100 EUR", "one hundred euros"),
    ("¥500", "five hundred yen"),
    ("3.5%", "three point five percent"),
    ("-5°C", "minus five degrees Celsius"),
    ("5 km at 60km/h", "five kilometers at sixty kilometers per hour"),
    ("1 kg", "one kilogram"),
    ("100m", "one hundred meters"),
    ("16GB", "sixteen gigabytes"),
    ("at 3:30 pm", "at three thirty PM"),
    ("at 10:05", "at ten oh five"),
    ("at 3:00", "at three o'clock"),
    ("at 6 a.m. sharp", "at six AM sharp"),
    ("at 6 p.m. We left.", "at six PM. We left."),
    ("May 5th, 2021", "May fifth, twenty twenty-one"),
    ("the 5th of May", "the fifth of May"),
    ("Dec. 25", "December twenty-fifth"),
    ("2020-01-05", "January fifth, twenty twenty"),
    ("12/31/1999", "December thirty-first, nineteen ninety-nine"),
    ("2020-13-45", "two thousand twenty thirteen forty-five"),
    ("In 1905, 2000 and 2024.", "In nineteen oh five, two thousand and twenty twenty-four."),
    ("2010 people", "two thousand ten people"),
    ("the 1990s and '80s", "the nineteen nineties and eighties"),
    ("the 3rd, 21st and 100th", "the third, twenty-first and one hundredth"),
    ("Call 555-123-4567 now", "Call five five five, one two three, four five six seven now"),
    ("(555) 123-4567", "five five five, one two three, four five six seven"),
    ("+44 20 7946 0958", "four four, two zero, seven nine four six, zero nine five eight"),
    ("pages 10-20", "pages ten to twenty"),
    ("2019–2020", "twenty nineteen to twenty twenty"),
    ("1/2 and 3/4", "one half and three quarters"),
    ("1 1/2 cups", "one and a half cups"),
    ("2½", "two and a half"),
    ("24/7", "twenty-four seven"),
    ("2+2=4", "two plus two equals four"),
    ("3:2", "three to two"),
    ("#1", "number one"),
    ("No. 5", "number five"),
    ("Room 007", "Room zero zero seven"),
    ("A4, B2B, MP3, COVID-19", "A four, B two B, MP three, COVID nineteen"),
    ("v1.2.3", "version one point two point three"),
    ("192.168.0.1", "one nine two dot one six eight dot zero dot one"),
    ("1,2,3", "one, two, three"),
    ("5² + 2³", "five squared plus two cubed"),
    ("a1b22", "a one b twenty-two"),
    ("Dr. Smith", "Doctor Smith"),
    ("Mr. and Mrs. Lee vs. St. John", "Mr. and Missus Lee versus Saint John"),
    ("Main St. is long", "Main Street is long"),
    ("e.g. this, i.e. that", "for example, this, that is, that"),
    ("apples, pears, etc.", "apples, pears, et cetera."),
    ("J. K. Rowling", "J K Rowling"),
    ("https://example.com/a?b=1.", "example dot com slash a question mark b equals one."),
    ("www.cosy.dev", "www dot cosy dot dev"),
    ("me.too@example.com", "me dot too at example dot com"),
    ("<strong>5</strong> [laughter]", "<strong>five</strong> [laughter]"),
    ("R & B", "R and B"),
]

UNCHANGED = [
    "Hmm",
    "Oh!",
    "um, I don't know",
    "Wait... what?",
    "It's John's, isn't it?",
    "Hello [laughter] <strong>there</strong> [breath]",
    "naïve café",
    'She said "yes".',
    "C:\\folder",
    "Henry VIII",
]


@pytest.mark.parametrize(("text", "expected"), SPOKEN, ids=[text for text, _ in SPOKEN])
def test_written_english_as_spoken(text: str, expected: str) -> None:
    assert english(text) == expected


@pytest.mark.parametrize("text", UNCHANGED)
def test_plain_words_stay(text: str) -> None:
    assert english(text) == text


@given(st.text(alphabet="0123456789.,:/-+%$ ab°'", max_size=30))
def test_no_digit_is_left(text: str) -> None:
    assert not any(char in "0123456789" for char in english(text))


@given(st.integers(0, 10**15 - 1))
def test_separators_do_not_change_a_number(value: int) -> None:
    assert cardinal(f"{value:,}") == cardinal(str(value))


def test_a_number_too_long_for_a_name_is_read_by_digit() -> None:
    assert cardinal("1" * 16) == " ".join(["one"] * 16)


def test_ordinals_agree_with_inflect() -> None:
    import inflect

    words = inflect.engine()
    for value in (1, 2, 3, 5, 8, 9, 11, 12, 13, 20, 21, 40, 99, 100, 112, 1000, 1012, 20_000):
        expected = words.number_to_words(words.ordinal(value), andword="", comma="")
        assert ordinal(str(value)) == " ".join(expected.split())


@pytest.mark.parametrize(
    ("digits", "expected"),
    [("1900", "nineteen hundred"), ("2008", "two thousand eight"), ("2010", "twenty ten"), ("1066", "ten sixty-six")],
)
def test_years(digits: str, expected: str) -> None:
    assert year(digits) == expected
