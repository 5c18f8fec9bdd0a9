"""Packets: whatever the chunks were, the bytes are the file, the last one is known, and none is empty."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from cosy.audio.output import OutputChain, encode_whole
from cosy.server.packets import Packer, Packet, Tally
from cosy.types import AudioChunk, Samples, SpeechRequest

RATE_HZ = 24_000
RNG = np.random.default_rng(0)


def chunks(*lengths_s: float, segments: tuple[int, ...] | None = None) -> list[AudioChunk]:
    """Noise; chunks of one segment unless told otherwise."""
    found, position, seen = [], 0, set()
    for number, length_s in enumerate(lengths_s):
        segment = segments[number] if segments else 0
        samples: Samples = (0.1 * RNG.standard_normal(round(length_s * RATE_HZ))).astype(np.float32)
        text = "" if segment in seen else f"text {segment}"
        seen.add(segment)
        found.append(AudioChunk(samples, RATE_HZ, position, segment, text))
        position += len(samples)
    return found


def pack(given: Iterable[AudioChunk], **request: object) -> list[Packet]:
    wanted = SpeechRequest("", **request)  # type: ignore[arg-type]
    packer = Packer(OutputChain(wanted, RATE_HZ), RATE_HZ * wanted.pitch)
    packets = [packet for chunk in given for packet in packer.push(chunk, 0.5)]
    return packets + list(packer.finish(0.25))


@pytest.mark.parametrize("format", ["pcm", "wav", "mp3", "aac", "flac"])
@pytest.mark.parametrize("lengths_s", [(0.2, 0.2, 0.13), (0.001,), (0.5, 0.0), (0.0, 0.3), (0.004,) * 30])
def test_packets_join_to_the_file_and_add_up_to_its_length(format: str, lengths_s: tuple[float, ...]) -> None:
    given = chunks(*lengths_s)
    packets = pack(given, format=format)
    samples = np.concatenate([chunk.samples for chunk in given])
    whole = encode_whole(samples, SpeechRequest("", format=format))
    joined = b"".join(packet.data for packet in packets)
    assert joined[44:] == whole[44:] if format == "wav" else joined == whole
    assert sum(packet.seconds for packet in packets) == pytest.approx(len(samples) / RATE_HZ)
    assert all(packet.data and packet.seconds > 0 for packet in packets)
    assert [packet.last for packet in packets] == [False] * (len(packets) - 1) + [True]


def test_the_first_chunk_leaves_at_once_but_for_ten_milliseconds() -> None:
    packer = Packer(OutputChain(SpeechRequest("", format="pcm"), RATE_HZ), RATE_HZ)
    [first] = packer.push(chunks(0.2)[0], 0.0)
    assert first.seconds == pytest.approx(0.19)


def test_each_segment_is_named_on_its_first_packet_and_keeps_its_sound() -> None:
    packets = pack(chunks(0.1, 0.1, 0.1, 0.1, segments=(0, 0, 1, 2)), format="pcm")
    assert [packet.text for packet in packets if packet.text] == ["text 0", "text 1", "text 2"]
    for segment, seconds in ((0, 0.2), (1, 0.1), (2, 0.1)):
        own = [packet for packet in packets if packet.segment == segment]
        assert sum(packet.seconds for packet in own) == pytest.approx(seconds)
        assert own[0].offset_s == pytest.approx(sum(p.seconds for p in packets if p.segment < segment))


def test_waiting_for_the_engine_is_told_once() -> None:
    assert sum(packet.compute_s for packet in pack(chunks(0.2, 0.001, 0.2), format="mp3")) == pytest.approx(1.75)


def test_pitch_shortens_what_is_heard() -> None:
    packets = pack(chunks(0.5, 0.5), format="pcm", pitch=2.0)
    assert sum(packet.seconds for packet in packets) == pytest.approx(0.5)


def test_no_sound_makes_no_packet() -> None:
    assert pack(chunks(0.0), format="wav") == []


def test_a_tally_knows_the_sentences_and_their_times() -> None:
    tally = Tally(RATE_HZ * 2.0)
    for chunk in chunks(0.4, 0.2, 0.2, segments=(0, 0, 1)):
        tally.note(chunk)
    told = [(each.index, each.text, round(each.start_s, 3), round(each.end_s, 3)) for each in tally.sentences.values()]
    assert told == [(0, "text 0", 0.0, 0.3), (1, "text 1", 0.3, 0.4)]
