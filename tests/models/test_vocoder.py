from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from cosy.config import VocoderConfig
from cosy.models.source import Source
from cosy.models.vocoder import Snake, Vocoder, harmonic_noise, normalise_keys
from tests.weights import key_weight

TINY = VocoderConfig(base_channels=16, f0_cond_channels=8)
HOP = TINY.hop_samples


def tiny() -> Vocoder:
    """A vocoder with audible, unsaturated output and F0 above the voicing threshold."""
    vocoder = Vocoder(TINY)
    state = {k: torch.from_numpy(key_weight(k, v.shape)) for k, v in vocoder.state_dict().items()}
    state["conv_post.parametrizations.weight.original0"] *= 0.2
    state["f0_predictor.classifier.weight"] *= 300.0
    vocoder.load_state_dict(state)
    return vocoder.eval()


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pitch(batch: int, frames: int) -> Tensor:
    """A glide with an unvoiced stretch."""
    f0 = 200.0 + 5.0 * draw(batch, frames).cumsum(1)
    f0[:, 4:7] = 0.0
    return f0.clamp(min=0.0)


# --- the network


def test_the_official_size_has_the_official_number_of_entries_and_weights() -> None:
    state = Vocoder(VocoderConfig()).state_dict()
    assert len(state) == 328
    assert sum(value.numel() for value in state.values()) == 20_821_295


def test_snake_adds_a_squared_sine() -> None:
    snake, x = Snake(3), draw(2, 3, 7)
    snake.alpha.data = torch.tensor([0.5, 1.0, 2.0])
    alpha = snake.alpha.detach()[:, None]
    torch.testing.assert_close(snake(x).detach(), x + (1 - torch.cos(2 * alpha * x)) / (2 * alpha))


@torch.no_grad()
def test_every_mel_frame_becomes_480_samples_within_the_limit() -> None:
    vocoder = tiny()
    wave, source = vocoder(3.0 * draw(2, 80, 7), draw(2, 7 * HOP, 9))
    assert wave.shape == (2, 7 * HOP)
    assert source.shape == (2, 1, 7 * HOP)
    assert wave.abs().max() <= 0.99
    assert wave.std() > 1e-3


@torch.no_grad()
def test_a_mel_frame_touches_fourteen_frames_of_audio_on_both_sides() -> None:
    vocoder, m, frames = tiny().double(), 17, 35
    mel, source = draw(1, 80, frames).double(), 0.1 * draw(1, 1, frames * HOP).double()
    before = vocoder.decode(mel, source)
    mel[:, :, m] += 10.0
    touched = (vocoder.decode(mel, source) != before)[0].nonzero()
    assert touched.min() >= HOP * m - 6299
    assert touched.max() <= HOP * m + 6783
    assert touched.max() - touched.min() > 20 * HOP


@torch.no_grad()
def test_a_source_sample_touches_6878_samples_on_both_sides() -> None:
    vocoder, n, frames = tiny().double(), 8000, 35
    mel, source = draw(1, 80, frames).double(), 0.1 * draw(1, 1, frames * HOP).double()
    before = vocoder.decode(mel, source)
    source[:, :, n] += 1.0
    touched = (vocoder.decode(mel, source) != before)[0].nonzero()
    assert touched.min() >= n - 6874
    assert touched.max() <= n + 6878


@torch.no_grad()
def test_a_row_of_a_batch_sounds_as_it_does_alone() -> None:
    vocoder, mel, noise = tiny(), draw(3, 80, 6), draw(3, 6 * HOP, 9)
    together, _ = vocoder(mel, noise)
    for i in range(3):
        alone, _ = vocoder(mel[i : i + 1], noise[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=0)


@torch.no_grad()
def test_a_cached_source_replaces_the_start_of_the_new_one() -> None:
    vocoder, mel, noise = tiny(), draw(1, 80, 5), draw(1, 5 * HOP, 9)
    _, free = vocoder(mel, noise)
    cache = draw(1, 1, 700)
    wave, source = vocoder(mel, noise, cache)
    assert torch.equal(source, torch.cat([cache, free[:, :, 700:]], 2))
    assert torch.equal(wave, vocoder.decode(mel, source))


@torch.no_grad()
def test_folding_changes_the_keys_but_not_the_sound() -> None:
    vocoder, mel, noise = tiny(), draw(1, 80, 6), draw(1, 6 * HOP, 9)
    before, _ = vocoder(mel, noise)
    after, _ = vocoder.fold()(mel, noise)
    torch.testing.assert_close(after, before, atol=1e-5, rtol=0)
    assert not [key for key in vocoder.state_dict() if "parametrizations" in key]


def test_f0_is_float64_in_evaluation_and_differentiable_in_training() -> None:
    vocoder, mel = tiny(), draw(2, 80, 6)
    precise, plain = vocoder.f0(mel), vocoder.train().f0(mel)
    assert (precise.dtype, plain.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(precise.float(), plain, atol=1e-2, rtol=1e-4)
    plain.mean().backward()
    assert vocoder.f0_predictor.classifier.weight.grad is not None


def test_audio_teaches_the_mix_of_the_source_but_not_the_f0_predictor() -> None:
    vocoder = tiny().train()
    wave, _ = vocoder(draw(1, 80, 4), draw(1, 4 * HOP, 9))
    wave.square().mean().backward()
    untaught = {key for key, value in vocoder.named_parameters() if value.grad is None}
    assert untaught == {key for key, _ in vocoder.named_parameters() if key.startswith("f0_predictor.")}


# --- the source


@torch.no_grad()
def test_a_steady_voice_is_a_sum_of_steady_sines() -> None:
    source = Source(TINY)
    sines, voiced = source.sines(torch.full((1, 20), 203.0), source.init_state(1), final=True)
    sines, n = sines[0, HOP // 2 :], torch.arange(20 * HOP, dtype=torch.float64)
    phase = 203.0 / 24_000 * (HOP + n - 239.5)  # cycles
    expected = 0.1 * torch.sin(2 * math.pi * phase[:, None] * torch.arange(1, 10))
    torch.testing.assert_close(sines[240:-240].double(), expected[240:-240], atol=1e-6, rtol=0)
    assert voiced[:, HOP // 2 :].all()


@pytest.mark.parametrize("cuts", [[1] * 23, [7, 1, 3, 12], [22, 1], [5, 18]])
@torch.no_grad()
def test_a_source_made_in_chunks_continues_its_phase(cuts: list[int]) -> None:
    source, f0, seed = Source(TINY), pitch(2, 23), 5
    whole = source(f0, harmonic_noise(seed, 0, 23 * HOP).expand(2, -1, -1))
    state, start, parts = source.init_state(2), -HOP // 2, []
    for chunk in f0.split(cuts, 1):
        final = start + chunk.shape[1] * HOP + HOP // 2 == 23 * HOP
        samples = chunk.shape[1] * HOP + (HOP // 2 if final else 0)
        noise = harmonic_noise(seed, start, samples).expand(2, -1, -1)
        parts.append(source.extend(chunk, noise, state, final))
        start += samples
    torch.testing.assert_close(torch.cat(parts, 2)[:, :, HOP // 2 :], whole, atol=1e-6, rtol=0)


@torch.no_grad()
def test_a_reset_row_starts_anew_beside_one_that_goes_on() -> None:
    source, f0, noise = Source(TINY), pitch(2, 6), torch.zeros(2, 6 * HOP, 9)
    state = source.init_state(2)
    first = source.extend(f0, noise, state)
    state.reset(torch.tensor([1]))
    second = source.extend(f0, noise, state)
    torch.testing.assert_close(second[1], first[1])
    assert (second[0] - first[0]).abs().max() > 1e-3


@torch.no_grad()
def test_noise_belongs_to_absolute_samples_however_it_is_drawn() -> None:
    whole = harmonic_noise(7, -240, 12_000)
    cuts = [0, 1, 240, 4799, 5040, 5041, 9000, 12_000]
    parts = [harmonic_noise(7, a - 240, b - a) for a, b in pairwise(cuts)]
    assert torch.equal(torch.cat(parts, 1), whole)
    assert harmonic_noise(7, 100, 0).shape == (1, 0, 9)


def test_noise_is_standard_normal_and_differs_by_seed_block_and_harmonic() -> None:
    noise = harmonic_noise(0, 0, 24_000)
    assert (noise.dtype, noise.shape) == (torch.float32, (1, 24_000, 9))
    assert abs(noise.mean()) < 0.01  # 216 000 values: five standard errors
    assert abs(noise.std() - 1) < 0.01
    assert not torch.equal(noise, harmonic_noise(1, 0, 24_000))
    assert not torch.equal(noise[:, :4800], noise[:, 4800:9600])
    assert abs((noise[..., 0] * noise[..., 1]).mean()) < 0.04


def test_noise_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    harmonic_noise(3, 0, 100)
    assert torch.equal(torch.get_rng_state(), before)


# --- names


def old_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    for new, old in names.items():
        state = {key.replace(new, old): value for key, value in state.items()}
    return state


def test_current_names_stay_as_they_are() -> None:
    state = tiny().state_dict()
    assert normalise_keys(state).keys() == state.keys()


def test_older_weight_norm_names_are_understood() -> None:
    state = dict(tiny().state_dict())
    result = normalise_keys(old_names(state))
    assert result.keys() == state.keys()
    assert all(torch.equal(result[key], state[key]) for key in state)


def test_an_adversarial_training_state_loads_without_its_critics() -> None:
    state = {f"generator.{key}": value for key, value in tiny().state_dict().items()}
    state |= {"discriminator.mpd.discriminators.0.convs.0.weight_g": torch.zeros(1), "epoch": 3, "step": 9}
    tiny().load_state_dict(normalise_keys(state))


@torch.no_grad()
def test_a_folded_state_loads_and_sounds_the_same() -> None:
    vocoder, mel, noise = tiny(), draw(1, 80, 5), draw(1, 5 * HOP, 9)
    expected, _ = vocoder(mel, noise)
    other = Vocoder(TINY).eval()
    other.load_state_dict(normalise_keys(vocoder.fold().state_dict()))
    torch.testing.assert_close(other(mel, noise)[0], expected, atol=1e-4, rtol=0)
