from __future__ import annotations

import pytest

from cosy.errors import ParameterError
from cosy.train.data.phones import PHONES, is_pause, phone_index


def test_phones_are_distinct_and_fit_a_byte() -> None:
    assert len(set(PHONES)) == len(PHONES) < 256
    assert PHONES[0] == "pau"


@pytest.mark.parametrize(
    ("label", "names", "phone"),
    [
        ("aa", "radio", "aa"),
        ("ssil", "radio", "pau"),
        ("axr", "radio", "er"),
        ("dx", "radio", "t"),
        ("hv", "radio", "hh"),
        ("i:", "en", "iy"),
        ("tS", "en", "ch"),
        ("@", "en", "ax"),
        ("3:", "en", "er"),
        ("p", "zh", "b"),  # an unaspirated stop is the English voiced one
        ("ph", "zh", "p"),
        ("ts.", "zh", "tr"),
        ("y", "zh", "yu"),
        ("s", "en", "s"),
    ],
)
def test_labels_of_the_engines_map_to_one_phone_set(label: str, names: str, phone: str) -> None:
    assert PHONES[phone_index(label, names)] == phone


def test_mandarin_tells_aspirated_from_unaspirated_and_retroflex_from_palatal() -> None:
    labels = ["p", "ph", "t", "th", "k", "kh", "ts.", "ts.h", "tS;", "tS;h", "ts", "tsh", "s", "s.", "S;"]
    assert len({phone_index(label, "zh") for label in labels}) == len(labels)


def test_an_unknown_phone_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match="'qq'; known: pau, aa"):
        phone_index("qq")


def test_only_silence_is_a_pause() -> None:
    assert is_pause("pau")
    assert is_pause("ssil")
    assert not is_pause("aa")
