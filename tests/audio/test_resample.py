from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cosy.audio.resample import Resampler, resample
from cosy.errors import ParameterError
from tests.audio.signals import chirp

RATES = [(24_000, 16_000), (16_000, 24_000), (44_100, 16_000), (22_050, 24_000), (24_000, 8000), (48_000, 24_000)]
rates = st.sampled_from([*RATES, (24_000, 24_000), (44_101, 16_000), (24_000, 48_000), (96_000, 100)])


def in_chunks(wave: Tensor, from_hz: int, to_hz: int, cuts: list[int]) -> Tensor:
    resampler = Resampler(from_hz, to_hz)
    bounds = [0, *sorted(min(cut, wave.shape[-1]) for cut in cuts), wave.shape[-1]]
    parts = [resampler.push(wave[..., a:b]) for a, b in pairwise(bounds)]
    return torch.cat([*parts, resampler.finish()], dim=-1)


@settings(deadline=None, max_examples=50)
@given(samples=st.integers(0, 3000), pair=rates)
def test_the_length_is_scaled_and_rounded_up(samples: int, pair: tuple[int, int]) -> None:
    from_hz, to_hz = pair
    assert resample(torch.zeros(2, samples), *pair).shape == (2, -(-samples * to_hz // from_hz))


@settings(deadline=None, max_examples=50)
@given(samples=st.integers(0, 2000), pair=rates, cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_chunks_cut_anywhere_equal_one_shot(samples: int, pair: tuple[int, int], cuts: list[int]) -> None:
    wave = torch.randn(samples, generator=torch.Generator().manual_seed(samples))
    torch.testing.assert_close(in_chunks(wave, *pair, cuts), resample(wave, *pair), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pair", RATES)
def test_single_samples_equal_one_shot(pair: tuple[int, int]) -> None:
    wave = torch.randn(2, 300, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(in_chunks(wave, *pair, list(range(300))), resample(wave, *pair), rtol=0, atol=1e-6)


@pytest.mark.parametrize("pair", RATES)
def test_the_formula_summed_by_hand_gives_the_same(pair: tuple[int, int]) -> None:
    wave = torch.randn(200, generator=torch.Generator().manual_seed(1)).double()
    cutoff = 0.99 * min(pair) / pair[0]  # relative to the input rate
    i = torch.arange(200, dtype=torch.float64)
    expected = []
    for q in range(math.ceil(200 * pair[1] / pair[0])):
        u = (cutoff * (i - q * pair[0] / pair[1])).clamp(-6, 6)
        expected.append((wave * torch.sinc(u) * torch.cos(torch.pi * u / 12) ** 2 * cutoff).sum())
    torch.testing.assert_close(resample(wave, *pair), torch.stack(expected), rtol=0, atol=2e-6)


@pytest.mark.parametrize("pair", RATES)
def test_a_chirp_stays_the_same_chirp(pair: tuple[int, int]) -> None:
    got = resample(torch.from_numpy(chirp(0.5, pair[0])), *pair)
    expected = torch.from_numpy(chirp(0.5, pair[1]))
    edge = pair[1] // 100
    assert (got - expected)[edge:-edge].abs().max() < 2e-2


def test_a_tone_above_the_new_nyquist_frequency_disappears() -> None:
    tone = torch.sin(2 * torch.pi * 10_000 * torch.arange(24_000) / 24_000)
    assert resample(tone, 24_000, 16_000)[200:-200].abs().max() < 1e-2


def test_one_resampler_per_stream_keeps_streams_apart() -> None:
    a, b = torch.randn(2, 480, generator=torch.Generator().manual_seed(2))
    first, second = Resampler(24_000, 16_000), Resampler(24_000, 16_000)
    got_a = [first.push(a[:100])]
    got_b = [second.push(b)]
    got_a += [first.push(a[100:]), first.finish()]
    got_b += [second.finish()]
    torch.testing.assert_close(torch.cat(got_a), resample(a, 24_000, 16_000), rtol=0, atol=1e-6)
    torch.testing.assert_close(torch.cat(got_b), resample(b, 24_000, 16_000), rtol=0, atol=1e-6)


def test_a_chunk_comes_out_but_for_half_the_filter() -> None:
    assert Resampler(24_000, 16_000).push(torch.zeros(2400)).shape[0] >= 1600 - 7


def test_gradients_flow_through_resampling() -> None:
    wave = torch.zeros(1, 480, requires_grad=True)
    resample(wave, 24_000, 16_000).sum().backward()
    assert wave.grad is not None
    assert wave.grad.abs().sum() > 0


@pytest.mark.parametrize("pair", [(0, 16_000), (16_000, 0), (-1, 16_000)])
def test_rates_must_be_positive(pair: tuple[int, int]) -> None:
    with pytest.raises(ParameterError, match="positive"):
        resample(torch.zeros(10), *pair)
