"""The checkpoint that comes with the package: complete, small, understood, and the same streamed as whole."""

from __future__ import annotations

import numpy as np
import pytest

from cosy import Cosy
from cosy.api import BUNDLED_MODEL
from cosy.checkpoint.check import check_directory
from cosy.eval.intelligibility import evaluate
from cosy.eval.sentences import slot_sentences

FLOOR = 0.35  # slot word error rate; a system that ignores its text has 0.69
LARGEST_BYTES = 60_000_000


@pytest.fixture(scope="module")
def cosy() -> Cosy:
    return Cosy.load(BUNDLED_MODEL)


def test_it_is_complete_and_small() -> None:
    report = check_directory(BUNDLED_MODEL)
    assert report.ok, report.problems
    assert all(report.works.values())
    assert report.speakers == ["anna", "alex"]
    assert sum(path.stat().st_size for path in BUNDLED_MODEL.rglob("*") if path.is_file()) < LARGEST_BYTES


@pytest.mark.slow
@pytest.mark.parametrize("voice", ["anna", "alex"])
def test_a_recogniser_understands_it(cosy: Cosy, voice: str) -> None:
    sentences = slot_sentences(10)
    waves = [(text, cosy.say(text, voice, seed=seed).samples) for seed, text in enumerate(sentences)]
    row = evaluate(voice, waves, cosy.rate_hz, searches=("slot",), mos_clips=0)
    assert row.wer["slot"].rate <= FLOOR, row.heard["slot"]


def test_a_stream_is_the_same_audio(cosy: Cosy) -> None:
    text = "The children are playing in the garden after school."
    whole = cosy.say(text, seed=5).samples
    joined = np.concatenate([chunk.samples for chunk in cosy.stream(text, seed=5)])
    np.testing.assert_allclose(joined, whole, atol=1e-3)


def test_an_instruction_is_not_spoken(cosy: Cosy) -> None:
    plain = cosy.say("Thank you very much for your help.", seed=3).duration_s
    told = cosy.say("Thank you very much for your help.", instruction="Speak with a happy voice.", seed=3).duration_s
    assert told < 1.4 * plain


def test_low_and_high_voices_differ_in_pitch(cosy: Cosy) -> None:
    from cosy.eval.quality import f0

    def median_hz(voice: str) -> float:
        contour = f0(cosy.say("We are going to the beach next week.", voice, seed=1).samples, cosy.rate_hz)
        return float(np.median(contour[contour > 0]))

    assert median_hz("anna") > 1.3 * median_hz("alex")
