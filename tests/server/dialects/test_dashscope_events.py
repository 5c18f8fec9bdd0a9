"""Sentences told packet by packet, for engines that know a segment's text at its start and for those that do not."""

from __future__ import annotations

from cosy.server.dialects.dashscope_events import Sentences
from cosy.server.dialects.dashscope_text import Slices
from cosy.server.speech import Packet


def packet(segment: int, start_s: float, text: str = "", last: bool = False) -> Packet:
    return Packet(b"ab", 1.0, 0.1, segment, text, start_s, last)


def told(sentences: Sentences, *packets: Packet) -> list[tuple[str, str, int]]:
    """Kind, text and characters of each event."""
    found = [result for each in packets for result in sentences.results(each)]
    return [(each.output["type"][9:], each.output.get("original_text", ""), each.characters) for each in found]


def test_the_text_of_a_segment_may_come_with_its_first_packet() -> None:
    raw = Slices()
    raw.add("One. Two. ")
    assert told(Sentences(raw, False), packet(0, 0, "One."), packet(0, 1), packet(1, 2, "Two.", last=True)) == [
        ("begin", "One. ", 0),
        ("synthesis", "", 5),
        ("synthesis", "", 5),
        ("end", "One. ", 5),
        ("begin", "Two. ", 5),
        ("synthesis", "", 10),
        ("end", "Two. ", 10),
    ]


def test_the_text_of_a_segment_may_come_with_its_last_packet() -> None:
    raw = Slices()
    raw.add("I have 3 app")
    sentences = Sentences(raw, False)
    assert told(sentences, packet(0, 0)) == [("begin", "I have 3 app", 0), ("synthesis", "", 0)]
    raw.add("les. And a pear")
    assert told(sentences, packet(0, 1, "I have three apples."), packet(1, 2)) == [
        ("synthesis", "", 17),
        ("end", "I have 3 apples. ", 17),
        ("begin", "And a pear", 17),
        ("synthesis", "", 17),
    ]
    assert told(sentences, packet(1, 3, "And a pear.", last=True))[-1] == ("end", "And a pear", 27)


def test_only_one_result_of_a_packet_has_its_audio() -> None:
    sentences = Sentences(Slices(), False)
    for each in (packet(0, 0), packet(1, 1), packet(2, 2, last=True)):
        assert [result.data for result in sentences.results(each) if result.data] == [b"ab"]


def test_times_are_told_when_a_sentence_has_ended() -> None:
    results = [*Sentences(Slices(), True).results(packet(0, 0.5, last=True))]
    assert "end_time" not in results[0].output["sentence"]
    assert results[-1].output["sentence"] == {"index": 0, "words": [], "begin_time": 500, "end_time": 1500}
