"""The checkpoint that comes with the package: complete, small, understood, obedient, and the same streamed as whole."""

from __future__ import annotations

import re

import numpy as np
import pytest
import soundfile

from cosy import Cosy
from cosy.api import BUNDLED_MODEL
from cosy.checkpoint.check import check_directory
from cosy.eval.intelligibility import evaluate
from cosy.eval.quality import f0
from cosy.eval.sentences import EVERYDAY, PROSE, slot_sentences
from cosy.nn.threads import is_large

FLOOR = 0.35  # slot word error rate; a system that ignores its text has 0.69
PROSE_FLOOR = 0.6  # the recogniser's own language model; 1.0 for one that ignores its text, 0.12 for a teacher
LARGEST_BYTES = 60_000_000
PRESETS = ["anna", "alex", "benjamin", "charles", "david", "bella", "claire", "diana"]
SENTENCE = "We are going to the beach next week."


@pytest.fixture(scope="module")
def cosy() -> Cosy:
    return Cosy.load(BUNDLED_MODEL)


def median_hz(cosy: Cosy, wave: np.ndarray) -> float:
    contour = f0(wave, cosy.rate_hz)
    return float(np.median(contour[contour > 0]))


def test_it_is_complete_and_small() -> None:
    report = check_directory(BUNDLED_MODEL)
    assert report.ok, report.problems
    assert all(report.works.values())
    assert report.speakers == PRESETS
    assert sum(path.stat().st_size for path in BUNDLED_MODEL.rglob("*") if path.is_file()) < LARGEST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["anna", "alex", "claire"])
def test_a_recogniser_understands_it(cosy: Cosy, voice: str) -> None:
    sentences = slot_sentences(10)
    waves = [(text, cosy.say(text, voice, seed=seed).samples) for seed, text in enumerate(sentences)]
    row = evaluate(voice, waves, cosy.rate_hz, searches=("slot",), mos_clips=0)
    assert row.wer["slot"].rate <= FLOOR, row.heard["slot"]


@pytest.mark.slow
def test_a_recogniser_understands_ordinary_words(cosy: Cosy) -> None:
    waves = [(text, cosy.say(text, "anna", seed=seed).samples) for seed, text in enumerate(PROSE[:12])]
    row = evaluate("anna", waves, cosy.rate_hz, searches=("free",), mos_clips=0)
    assert row.wer["free"].rate <= PROSE_FLOOR, row.heard["free"]


def test_english_is_read_as_phones(cosy: Cosy) -> None:
    tokenizer = cosy.model.text_tokenizer
    text = " ".join((*EVERYDAY, *PROSE))
    assert tokenizer.pronunciations.unknown(text) == []
    ids = tokenizer.encode(text)
    assert len(ids) < 2.5 * len(text.split())
    assert not re.search("[A-Za-z]", tokenizer.decode(ids))


def test_its_networks_are_small_and_stay_exact(cosy: Cosy) -> None:
    assert not any(is_large(network) for network in (cosy.model.llm, cosy.model.flow, cosy.model.hift))


def test_a_stream_is_the_same_audio(cosy: Cosy) -> None:
    text = "The children are playing in the garden after school."
    whole = cosy.say(text, seed=5).samples
    joined = np.concatenate([chunk.samples for chunk in cosy.stream(text, seed=5)])
    np.testing.assert_allclose(joined, whole, atol=1e-3)


def test_every_preset_has_the_pitch_of_its_reference(cosy: Cosy) -> None:
    for voice in PRESETS:
        reference, rate_hz = soundfile.read(BUNDLED_MODEL / "references" / f"{voice}.flac", dtype="float32")
        contour = f0(reference, rate_hz)
        semitones = 12 * np.log2(
            median_hz(cosy, cosy.say(SENTENCE, voice, seed=1).samples) / np.median(contour[contour > 0])
        )
        assert abs(semitones) < 3, (voice, semitones)


def test_a_clone_has_the_pitch_of_its_prompt(cosy: Cosy) -> None:
    """The prompts are references played at another speed: no voice of the training."""
    for name, speed in (("benjamin", 1.12), ("bella", 1.1)):
        reference, rate_hz = soundfile.read(BUNDLED_MODEL / "references" / f"{name}.flac", dtype="float32")
        prompt = (reference, round(rate_hz * speed))
        contour = f0(*prompt)
        cloned = cosy.say(SENTENCE, prompt=prompt, seed=1).samples
        semitones = 12 * np.log2(median_hz(cosy, cloned) / np.median(contour[contour > 0]))
        assert abs(semitones) < 3, (name, semitones)


def test_an_instruction_is_followed_and_not_spoken(cosy: Cosy) -> None:
    def told(instruction: str) -> np.ndarray:
        return cosy.say("Thank you very much for your help yesterday.", instruction=instruction, seed=3).samples

    slow, fast = told("Speak slowly."), told("Speak quickly.")
    assert 1.3 < len(slow) / len(fast) < 3
    assert median_hz(cosy, told("Use a higher pitch.")) > 1.03 * median_hz(cosy, told("Use a lower pitch."))
    whispered = f0(told("Please whisper."), cosy.rate_hz)
    assert np.mean(whispered > 0) < 0.6 * np.mean(f0(told("Speak normally."), cosy.rate_hz) > 0)


def test_mandarin_takes_the_time_that_it_needs(cosy: Cosy) -> None:
    """A syllable takes 0.15 to 0.35 s; whether the right ones are heard is measured by `cosy eval mandarin`."""
    text = "今天湖里的水非常冷，我们下个星期再去。"
    syllables = sum("一" <= char <= "鿿" for char in text)
    for voice in ("diana", "alex"):
        assert 0.15 < cosy.say(text, voice, seed=2).duration_s / syllables < 0.35


@pytest.mark.parametrize("mark", ["[breath]", "[laughter]"])
def test_sounds_without_words_are_taken(cosy: Cosy, mark: str) -> None:
    plain = cosy.say("That is very kind of you.", seed=4).duration_s
    assert plain < cosy.say(f"{mark}That is very kind of you.", seed=4).duration_s < plain + 2.5
