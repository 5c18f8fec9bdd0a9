from __future__ import annotations

import math

import torch

from cosy.models import vocoder_loss as loss


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_perfect_scores_cost_nothing() -> None:
    ones, zeros = [torch.ones(2, 5)] * 3, [torch.zeros(2, 5)] * 3
    assert loss.generator_adversarial(ones) == 0
    assert loss.discriminator_adversarial(ones, zeros) == 0
    assert loss.discriminator_adversarial(zeros, ones) == 6  # one for each of three critics, on both sides


def test_feature_matching_adds_all_maps_twice() -> None:
    real = [[torch.zeros(1, 2), torch.zeros(1, 7)], [torch.zeros(1, 3)]]
    generated = [[m + 0.5 for m in maps] for maps in real]
    assert loss.feature_matching(real, generated) == 3.0


def test_tpr_is_the_mean_squared_shortfall_under_the_median() -> None:
    a, b = torch.tensor([[0.1, 0.2, 0.3, 0.7]]), torch.zeros(1, 4)
    median = 0.2  # the lower middle
    torch.testing.assert_close(loss.tpr([a], [b]), torch.tensor((0.1 - median) ** 2))


def test_tpr_stops_at_tau_for_every_critic() -> None:
    a, b = [noise(2, 50) * 100] * 3, [noise(2, 50, seed=1) * 100] * 3
    torch.testing.assert_close(loss.tpr(a, b, tau=0.04), torch.tensor(0.12))


def test_tpr_of_scores_that_differ_by_a_constant_is_zero() -> None:
    assert loss.tpr([torch.ones(2, 4)], [torch.zeros(2, 4)]) == 0


def test_equal_waveforms_have_no_spectral_distance() -> None:
    wave = noise(2, 9600)
    distance = loss.stft_losses(wave, wave)
    assert distance.total == 0
    assert loss.mel_loss(wave, wave) == 0


def test_a_gain_of_e_is_one_apart_in_every_logarithm() -> None:
    wave = noise(2, 9600)
    distance = loss.stft_losses(math.e * wave, wave)
    torch.testing.assert_close(distance.mel, torch.tensor(1.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(distance.magnitude, torch.tensor(1.0), atol=1e-3, rtol=0)
    torch.testing.assert_close(distance.convergence, torch.tensor(math.e - 1), atol=1e-3, rtol=0)


def test_silence_has_finite_losses_and_gradients() -> None:
    wave = torch.zeros(1, 9600, requires_grad=True)
    distance = loss.stft_losses(wave, torch.zeros(1, 9600)).total + loss.stft_losses(wave, noise(1, 9600)).total
    distance.backward()
    assert distance.isfinite()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()


def test_descending_the_spectral_losses_brings_a_waveform_nearer() -> None:
    target, wave = noise(1, 4800), noise(1, 4800, seed=1).requires_grad_()
    optimiser = torch.optim.Adam([wave], lr=3e-3)
    start = loss.stft_losses(wave, target).total.item()
    for _ in range(20):
        optimiser.zero_grad()
        loss.stft_losses(wave, target).total.backward()
        optimiser.step()
    assert loss.stft_losses(wave, target).total.item() < 0.8 * start


def test_only_frames_that_count_take_two_takes_apart() -> None:
    one, other = noise(2, 9600), noise(2, 9600, seed=1)
    everywhere, nowhere = torch.ones(2, 20), torch.zeros(2, 20)
    assert loss.takes_apart(one, one, everywhere) == 0
    assert loss.takes_apart(one, other, nowhere) == 0
    half = torch.cat([torch.ones(2, 10), torch.zeros(2, 10)], dim=1)
    share = loss.takes_apart(one, other, half) / loss.takes_apart(one, other, everywhere)
    assert 0.4 < share < 0.6


def test_a_hiss_is_best_imitated_by_a_hiss_once_two_takes_are_compared() -> None:
    recorded, one, other = (noise(24, 4800, seed=seed) for seed in range(3))
    middle = noise(1, 4800, seed=3).requires_grad_()  # a wave without chance that is as near as can be to all of them
    optimiser = torch.optim.Adam([middle], lr=3e-3)
    for _ in range(60):
        optimiser.zero_grad()
        humming = loss.stft_losses(middle.expand(24, -1), recorded).total
        humming.backward()
        optimiser.step()
    hissing = loss.stft_losses(one, recorded).total
    assert hissing > 1.05 * humming, "by the distance alone it is best to do without chance"
    assert hissing - 0.5 * loss.takes_apart(one, other, torch.ones(24, 10)) < 0.95 * humming


def test_the_generator_total_weighs_its_terms() -> None:
    one = torch.ones(())
    assert loss.GeneratorLoss(one, one, one, one, one).total == 1 + 2 + 45 + 1 + 1
    assert loss.DiscriminatorLoss(one, one).total == 2


def test_a_frame_that_is_played_again_is_a_repetition() -> None:
    unvoiced = torch.ones(1, 20)
    hiss, buzz = noise(1, 9600), noise(1, 480).repeat(1, 20)
    assert loss.repetition(hiss, unvoiced) < 0.02
    torch.testing.assert_close(loss.repetition(buzz, unvoiced), torch.tensor(1.0))
    torch.testing.assert_close(loss.repetition(0.1 * buzz, unvoiced), torch.tensor(1.0))


def test_repetition_counts_between_two_unvoiced_frames() -> None:
    buzz, unvoiced = noise(1, 480).repeat(1, 20), torch.zeros(1, 20)
    assert loss.repetition(buzz, unvoiced) == 0
    unvoiced[:, ::2] = 1
    assert loss.repetition(buzz, unvoiced) == 0
    unvoiced[:, 1] = 1
    torch.testing.assert_close(loss.repetition(buzz, unvoiced), torch.tensor(1.0))


def test_silence_repeats_nothing_and_has_finite_gradients() -> None:
    wave = torch.zeros(1, 4800, requires_grad=True)
    distance = loss.repetition(wave, torch.ones(1, 10))
    distance.backward()
    assert distance == 0
    assert wave.grad is not None
    assert wave.grad.isfinite().all()


def test_short_windows_tell_when_a_burst_comes() -> None:
    """A click 5 ms late is half as far again in windows of 5 ms as in one of 20 ms, and counted where it was asked."""
    early, late, counted = torch.zeros(1, 9600), torch.zeros(1, 9600), torch.zeros(1, 20)
    early[:, 4900:4920], late[:, 5020:5040] = 0.5, 0.5
    assert loss.transient_distance(early, late, counted) == 0
    counted[:, 10] = 1
    short, long = (loss.transient_distance(early, late, counted, sizes=(size,)) for size in (128, 512))
    assert short > 1.5 * long > 0
    assert loss.transient_distance(early, early, counted) == 0
    elsewhere = counted.roll(5)
    assert loss.transient_distance(early, late, elsewhere) == 0


def test_takes_count_where_the_window_holds_nothing_voiced() -> None:
    one, other = noise(1, 9600), noise(1, 9600, seed=1)
    nowhere, frame, stretch = torch.zeros(1, 20), torch.zeros(1, 20), torch.zeros(1, 20)
    frame[:, 10], stretch[:, 9:12] = 1, 1
    short, long = (loss.takes_apart(one, other, frame, sizes=(size,)).item() for size in (512, 2048))
    assert loss.takes_apart(one, other, nowhere) == 0
    assert short > 0
    assert long == 0, "a long window reaches into the frames beside it"
    assert loss.takes_apart(one, other, stretch, sizes=(2048,)) > 0
    assert loss.takes_apart(one, one, torch.ones(1, 20)) == 0
