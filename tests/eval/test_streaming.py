from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cosy.cli.evaluate import eval_app
from cosy.eval.streaming import Streaming, compare, difference
from cosy.eval.takes import Sound
from tests.eval.tones import RATE_HZ, ear, tone


class Detuned:
    """Streams with an error of so much of the signal, and `more` samples at its end."""

    def __init__(self, error: float = 0.0, more: int = 0) -> None:
        self.error, self.more = error, more
        self.seeds: list[int] = []

    def whole(self, text: str, seed: int) -> Sound:
        self.seeds.append(seed)
        return tone(120.0), RATE_HZ

    def streamed(self, text: str, seed: int) -> Sound:
        self.seeds.append(seed)
        wave = np.float32(1 + self.error) * tone(120.0)
        return np.concatenate([wave, np.zeros(self.more, np.float32)]), RATE_HZ


def test_the_same_audio_differs_by_nothing() -> None:
    told = Streaming(compare(Detuned(), ["hi"], "en"))
    assert told.snr_db == math.inf
    assert told.mel_l1 == 0.0
    assert told.error_rates is None
    assert json.loads(json.dumps(told.as_data(), allow_nan=False))["snr_db"] is None


def test_a_tenth_more_is_twenty_decibel() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    told = difference("hi", (noise, RATE_HZ), (np.float32(1.1) * noise, RATE_HZ))
    assert told.snr_db == pytest.approx(20.0, abs=0.01)
    assert told.mel_l1 == pytest.approx(math.log(1.1), abs=0.01)


def test_another_length_is_told_and_what_both_have_is_compared() -> None:
    (told,) = compare(Detuned(more=100), ["hi"], "en")
    assert told.samples_more == 100
    assert told.noise == 0.0


def test_both_ways_have_the_same_seed_and_the_same_ear() -> None:
    system = Detuned(error=0.01)
    told = Streaming(compare(system, ["Wait there.", "Wait here."], "en", ear(), seed=7))
    assert system.seeds == [7, 7, 8, 8]
    assert told.error_rates == (0.25, 0.25)
    assert "25.0 / 25.0 %" in told.markdown()


def test_two_rates_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="share one rate"):
        difference("hi", (tone(120.0), 16_000), (tone(120.0), 24_000))


def test_the_bundled_model_streams_what_it_says(tmp_path: Path) -> None:
    arguments = ["streaming", "--count", "1", "--recogniser", "none", "--report", str(tmp_path / "new")]
    result = CliRunner().invoke(eval_app, arguments)
    assert result.exit_code == 0, result.output
    data = json.loads((tmp_path / "new" / "report.json").read_text())
    assert data["mel_l1"] < 0.01
    assert data["differences"][0]["samples_more"] == 0
