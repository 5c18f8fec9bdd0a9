from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cosy.errors import ParameterError
from cosy.train.data.speakers import LEVELS_DB, STYLES, Voice, spoken_by
from cosy.train.data.teachers import Utterance
from tests.train.tones import RATE_HZ, utterance

world = pytest.importorskip("pyworld", reason="pseudo-speakers need the extra `train`")

F0_HZ = 150.0
SAID = utterance(["two", "three", "five", "six"], F0_HZ)
PLAIN = Voice("ann", "slt")


def f0_of(said: Utterance) -> np.ndarray:
    """F0 in Hz of the voiced frames, as WORLD hears it; empty for a whisper."""
    signal = said.audio.astype(np.float64)
    coarse, times = world.dio(signal, said.rate_hz)
    f0 = world.stonemask(signal, coarse, times, said.rate_hz)
    return np.asarray(f0[f0 > 0])


def test_a_plain_voice_leaves_the_engine_alone() -> None:
    said = spoken_by(PLAIN, SAID)
    assert said == replace(SAID, speaker="ann")
    assert said.audio is SAID.audio


@pytest.mark.parametrize("style", STYLES)
def test_a_style_is_told_and_its_tempo_scales_duration_and_spans(style: str) -> None:
    said, tempo = spoken_by(PLAIN, SAID, style), STYLES[style].tempo
    assert (said.style, said.speaker, said.text) == (style, "ann", SAID.text)
    assert len(said.audio) / said.rate_hz == pytest.approx(len(SAID.audio) / RATE_HZ / tempo, abs=0.02)
    for before, after in ((SAID.phones, said.phones), (SAID.words, said.words)):
        np.testing.assert_allclose([s.end_s for s in after], np.array([s.end_s for s in before]) / tempo)
        assert [s.label for s in after] == [s.label for s in before]


@pytest.mark.parametrize("style", ["high", "low", "soft", "loud"])
def test_a_style_scales_the_median_of_the_pitch(style: str) -> None:
    assert np.median(f0_of(spoken_by(PLAIN, SAID, style))) == pytest.approx(F0_HZ * STYLES[style].pitch, rel=0.03)


def test_a_whisper_has_no_pitch() -> None:
    plain, whispered = f0_of(SAID), f0_of(spoken_by(PLAIN, SAID, "whisper"))
    assert len(whispered) < 0.1 * len(plain)


@pytest.mark.parametrize("pitch", [0.8, 1.3])
def test_a_voice_has_a_pitch_of_its_own(pitch: float) -> None:
    said = spoken_by(Voice("bob", "slt", pitch=pitch), SAID)
    assert np.median(f0_of(said)) == pytest.approx(pitch * F0_HZ, rel=0.03)


def test_tempos_of_voice_and_style_multiply() -> None:
    said = spoken_by(Voice("bob", "slt", tempo=1.2), SAID, "slow")
    assert len(said.audio) / said.rate_hz == pytest.approx(len(SAID.audio) / RATE_HZ / (1.2 * 0.72), abs=0.02)


def glide() -> Utterance:
    """One vowel whose pitch rises from 120 to 180 Hz."""
    time = np.arange(RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 60 * time) / RATE_HZ
    wave = sum(np.sin(h * phase) / h for h in range(1, 12))
    return Utterance("ah", (0.1 * np.asarray(wave)).astype(np.float32), RATE_HZ)


@pytest.mark.parametrize("intonation", [0.5, 1.6])
def test_intonation_scales_the_spread_of_the_pitch_around_its_mean(intonation: float) -> None:
    before = np.log(f0_of(glide())[20:-20])
    after = np.log(f0_of(spoken_by(Voice("bob", "slt", intonation=intonation), glide()))[20:-20])
    assert np.std(after) == pytest.approx(intonation * np.std(before), rel=0.15)
    assert np.mean(after) == pytest.approx(np.mean(before), abs=0.03)


def centroid_hz(said: Utterance) -> float:
    power = np.abs(np.fft.rfft(said.audio)) ** 2
    return float(np.sum(np.fft.rfftfreq(len(said.audio), 1 / said.rate_hz) * power) / power.sum())


def test_a_longer_tract_is_darker_and_a_shorter_one_brighter() -> None:
    dark, bright = (centroid_hz(spoken_by(Voice("bob", "slt", formants=f), SAID)) for f in (0.85, 1.2))
    assert dark < centroid_hz(SAID) < bright


def test_effort_brightens_a_voice() -> None:
    soft, loud = (centroid_hz(spoken_by(PLAIN, SAID, style)) for style in ("soft", "loud"))
    assert soft < loud


def test_the_neutral_style_changes_nothing() -> None:
    assert LEVELS_DB[""] == 0.0
    assert next(iter(STYLES)) == ""


def test_a_rate_that_costs_more_than_it_gives_is_brought_down() -> None:
    said = spoken_by(PLAIN, utterance(["two"], rate_hz=32_000), "high")
    assert said.rate_hz == 24_000
    assert len(said.audio) / said.rate_hz == pytest.approx(1.2, abs=0.02)


def test_what_a_voice_makes_of_an_utterance_is_always_the_same() -> None:
    first, second = (spoken_by(PLAIN, SAID, "whisper").audio for _ in range(2))
    assert np.array_equal(first, second)


def test_an_unknown_style_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ParameterError, match="style 'drunk'; known: '', 'slow'"):
        spoken_by(PLAIN, SAID, "drunk")
