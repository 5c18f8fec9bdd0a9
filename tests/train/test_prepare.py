from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosy.train.data.corpus import LEAD_S, TAIL_S
from cosy.train.data.listing import Row
from cosy.train.data.prepare import REASONS, Dropped, prepare
from cosy.train.data.teachers import Utterance
from cosy.types import Samples
from tests.train.sounds import RATE_HZ, TEXT, buzz, padded, write


def row(audio: Path, text: str = TEXT, language: str = "en") -> Row:
    return Row(audio, text, "ada", language, "sad", "Sigh.")


def used(found: Utterance | Dropped) -> Utterance:
    assert isinstance(found, Utterance), found
    return found


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_any_format_is_read(tmp_path: Path, suffix: str) -> None:
    said = used(prepare(row(write(tmp_path / f"a.{suffix}", buzz()))))
    assert len(said.audio) / said.rate_hz == pytest.approx(2.0, abs=0.1)
    assert said.audio.dtype == np.float32


def test_what_the_row_knows_is_kept(tmp_path: Path) -> None:
    said = used(prepare(row(write(tmp_path / "a.wav", buzz()))))
    assert (said.text, said.speaker, said.language, said.style, said.instruction) == (TEXT, "ada", "en", "sad", "Sigh.")


def test_silence_is_cut_to_a_short_lead_and_tail(tmp_path: Path) -> None:
    said = used(prepare(row(write(tmp_path / "a.wav", padded(buzz(), 1.0, 3.0)))))
    assert len(said.audio) / RATE_HZ == pytest.approx(LEAD_S + 2.0 + TAIL_S, abs=0.05)
    assert not said.audio[: round(0.9 * LEAD_S * RATE_HZ)].any()


def test_channels_are_averaged(tmp_path: Path) -> None:
    wave = buzz()
    mono, stereo = (
        used(prepare(row(write(tmp_path / f"{name}.wav", each))))
        for name, each in (("mono", wave), ("stereo", np.stack([wave * 1.5, wave * 0.5], axis=1)))
    )
    np.testing.assert_allclose(stereo.audio, mono.audio, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "language", "spoken"),
    [
        ("It was 5 o'clock, really.", "en", "It was five o'clock, really."),
        ("我今天买了3个苹果", "zh", "我今天买了三个苹果"),
        ("Well [breath] I see <laughter>that</laughter>", "en", "Well [breath] I see <laughter>that</laughter>"),
        ("Sadly<|endofprompt|>I have 5 dogs.", "en", "Sadly<|endofprompt|>I have 5 dogs."),
    ],
)
def test_text_is_as_the_language_model_will_read_it(tmp_path: Path, text: str, language: str, spoken: str) -> None:
    assert used(prepare(row(write(tmp_path / "a.wav", buzz()), text, language))).text == spoken


def noise(seconds: float) -> Samples:
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


BAD: dict[str, tuple[Samples, int, str]] = {
    "no text": (buzz(), RATE_HZ, "..."),
    "low rate": (buzz(rate_hz=8000), 8000, TEXT),
    "too long": (buzz(11.0), RATE_HZ, TEXT * 5),
    "silent": (padded(buzz(level=1e-5), 0.0, 1.0), RATE_HZ, TEXT),
    "too short": (padded(buzz(0.4), 1.0, 1.0), RATE_HZ, "no"),
    "clipped": (np.clip(buzz(level=2.0), -1, 1), RATE_HZ, TEXT),
    "no speech": (noise(2.0), RATE_HZ, TEXT),
    "wrong pace": (buzz(), RATE_HZ, TEXT * 5),
}


@pytest.mark.parametrize("reason", BAD)
def test_a_bad_row_is_dropped_with_the_reason(tmp_path: Path, reason: str) -> None:
    wave, rate_hz, text = BAD[reason]
    bad = row(write(tmp_path / "a.wav", wave, rate_hz), text)
    found = prepare(bad, max_s=10.0)
    assert isinstance(found, Dropped)
    assert (found.reason, found.row) == (reason, bad)


@pytest.mark.parametrize(
    ("reason", "value"), [("low rate", 8000), ("too long", 11.0), ("too short", 0.4), ("wrong pace", 95 / 2)]
)
def test_the_value_that_decided_is_told(tmp_path: Path, reason: str, value: float) -> None:
    wave, rate_hz, text = BAD[reason]
    found = prepare(row(write(tmp_path / "a.wav", wave, rate_hz), text), max_s=10.0)
    assert isinstance(found, Dropped)
    assert found.value == pytest.approx(value, rel=0.1)


@pytest.mark.parametrize("content", [None, b"", b"not audio at all", b"RIFF\x24\x00\x00\x00WAVEfmt "])
def test_a_file_that_cannot_be_read_is_dropped_with_the_reason(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    found = prepare(row(path))
    assert isinstance(found, Dropped)
    assert found.reason == "unreadable"
    assert str(path) in str(found.value)


def test_every_reason_is_tried() -> None:
    assert {*BAD, "unreadable"} == set(REASONS)


def test_a_long_silence_does_not_make_a_recording_long(tmp_path: Path) -> None:
    used(prepare(row(write(tmp_path / "a.wav", padded(buzz(9.0), 4.0, 4.0)), TEXT * 5), max_s=10.0))


def test_the_speech_of_a_long_file_is_not_searched_for_ever(tmp_path: Path) -> None:
    found = prepare(row(write(tmp_path / "a.wav", padded(buzz(2.0), 20.0, 0.0))), max_s=10.0)
    assert isinstance(found, Dropped)
    assert found.reason == "silent"
