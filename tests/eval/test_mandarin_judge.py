"""The network with its first weights, and the judge that ships."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cosy.errors import MismatchError, MissingFileError
from cosy.eval.mandarin_judge import (
    BLANK,
    CLASS_OF,
    FEATURES,
    RATE_HZ,
    SYLLABLES,
    WEIGHTS,
    JudgeConfig,
    MandarinJudge,
    SyllableNetwork,
    features,
    hear,
    pitch,
)
from cosy.eval.syllable_error import syllable_errors
from cosy.eval.syllables import spoken

TINY = JudgeConfig(width=8, inner=16, early=1, late=1, kernel=3)
PINYIN = "jin1 tian1 de5 dian4 ying3 hen3 you3 yi4 si5"


def noise(seconds: float) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(round(seconds * RATE_HZ)).astype(np.float32)


@pytest.fixture
def tiny() -> SyllableNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SyllableNetwork(TINY).eval()


@pytest.mark.parametrize("samples", [16_000, 16_319, 16_321])
def test_features_are_frames_of_20_ms(samples: int) -> None:
    x = features(torch.from_numpy(noise(2.0)[:samples]))
    assert x.shape == (samples // 320, FEATURES)


def test_features_do_not_depend_on_loudness() -> None:
    wave = torch.from_numpy(noise(0.5))
    torch.testing.assert_close(features(wave).diff(dim=0), features(0.1 * wave).diff(dim=0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("f0_hz", [55.0, 123.4, 431.0])
def test_the_pitch_of_a_buzz_is_found(f0_hz: float) -> None:
    seconds = torch.arange(RATE_HZ) / RATE_HZ
    harmonics = torch.stack([torch.sin(2 * torch.pi * k * f0_hz * seconds) / k for k in range(1, 9)])
    found_hz, voicing = pitch(harmonics.sum(0) + 0.05 * torch.from_numpy(noise(1.0)))
    torch.testing.assert_close(found_hz[2:-2], torch.full_like(found_hz[2:-2], f0_hz), rtol=0.01, atol=0)
    assert (voicing[2:-2] > 0.9).all()


def test_noise_is_unvoiced() -> None:
    assert pitch(torch.from_numpy(noise(1.0)))[1].median() < 0.45


def test_the_height_of_a_tone_is_relative_to_the_voice() -> None:
    glide_hz = 150 * 2 ** torch.linspace(-0.2, 0.2, 2 * RATE_HZ)
    low, high = (torch.sin(torch.cumsum(2 * torch.pi * k * glide_hz / RATE_HZ, 0)) for k in (1.0, 1.6))
    torch.testing.assert_close(features(low)[5:-5, -2], features(high)[5:-5, -2], atol=0.1, rtol=0)
    assert features(low)[90, -2] > 0.8 > -0.8 > features(low)[10, -2]


def test_no_more_than_all_chance_is_given_to_the_classes(tiny: SyllableNetwork) -> None:
    scores = tiny(torch.randn(2, 11, FEATURES, generator=torch.Generator().manual_seed(1)))
    assert scores.shape == (2, 5, 1 + len(SYLLABLES))
    assert (scores.exp().sum(-1) <= 1 + 1e-5).all()  # the rest is for what no syllable is made of


def test_syllables_share_their_parts(tiny: SyllableNetwork) -> None:
    scores = tiny(torch.randn(1, 4, FEATURES, generator=torch.Generator().manual_seed(1)))[0]

    def score(syllable: str) -> torch.Tensor:
        return scores[:, CLASS_OF[syllable]]

    torch.testing.assert_close(score("ma1") - score("ma4"), score("zhuang1") - score("zhuang4"))
    torch.testing.assert_close(score("ma1") - score("ba1"), score("mo2") - score("bo2"))


def test_the_network_sees_640_ms_to_either_side_and_no_further() -> None:
    network = SyllableNetwork().eval()
    x = torch.randn(1, 200, FEATURES, generator=torch.Generator().manual_seed(1))
    before = network(x)[0]
    x[:, 100:] = 0.0
    changed = (network(x)[0] - before).abs().amax(-1) > 0
    assert not changed[: 50 - 16].any()
    assert changed[50 - 15 : 50].any()


def test_a_hearing_joins_repeats_and_drops_blanks() -> None:
    class Scripted(SyllableNetwork):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second = CLASS_OF["ma1"], CLASS_OF["ma5"]
            script = torch.tensor([[BLANK, first, first, BLANK, first, second, BLANK]])
            return torch.nn.functional.one_hot(script, 1 + len(SYLLABLES)).float()

    assert MandarinJudge(Scripted(TINY)).hear(noise(0.5), RATE_HZ) == ["ma1", "ma1", "ma5"]


def test_silence_says_nothing(tiny: SyllableNetwork) -> None:
    assert MandarinJudge(tiny).hear(np.zeros(8000, np.float32), RATE_HZ) == []
    assert MandarinJudge(tiny).hear(np.zeros(0, np.float32), RATE_HZ) == []


def test_weights_that_are_absent_or_of_another_network_are_refused(tiny: SyllableNetwork, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="is absent"):
        MandarinJudge.load(tmp_path / "none.safetensors")
    save_file(dict(tiny.state_dict()), tmp_path / "tiny.safetensors")
    with pytest.raises(MismatchError, match="does not hold the weights"):
        MandarinJudge.load(tmp_path / "tiny.safetensors")


def test_the_shipped_weights_are_small() -> None:
    assert WEIGHTS.stat().st_size < 2_600_000


@pytest.mark.skipif(importlib.util.find_spec("espeakng_loader") is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("variant", ["f2", "m5"])
def test_the_judge_understands_a_voice_it_never_heard(variant: str) -> None:
    from cosy.train.data.espeak import EspeakVoice, speak

    sound = speak(EspeakVoice(variant, 50, 60, 220), "zh", [(s, s) for s in PINYIN.split()])
    heard = hear(sound.audio, sound.rate_hz)
    hearing = syllable_errors(heard, spoken(PINYIN))
    assert hearing.base_errors + hearing.tone_errors <= 2, heard  # of 9; by chance all are wrong
    backwards = syllable_errors(hear(sound.audio[::-1].copy(), sound.rate_hz), spoken(PINYIN))
    assert backwards.base_errors >= 6


def test_a_hearing_does_not_depend_on_loudness_or_on_earlier_ones() -> None:
    wave = noise(1.0)
    first = hear(wave, RATE_HZ)
    hear(noise(0.7), 24_000)
    assert hear(3.0 * wave, RATE_HZ) == first
