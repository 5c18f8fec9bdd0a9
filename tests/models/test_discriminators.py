from __future__ import annotations

import torch

from cosy.models.discriminators import Discriminators, PeriodDiscriminator

SMALL = {"period_channels": (4, 4, 8, 8, 8), "spectrogram_channels": 4}


def waves(batch: int = 2) -> torch.Tensor:
    return 0.1 * torch.randn(batch, 4800, generator=torch.Generator().manual_seed(0))


def test_eight_critics_give_a_score_and_six_maps_each() -> None:
    scores, maps = Discriminators(**SMALL)(waves())
    assert len(scores) == len(maps) == 8
    assert all(score.shape[0] == 2 and score.ndim == 2 for score in scores)
    assert all(len(m) == 6 for m in maps)


@torch.no_grad()
def test_the_verdict_on_a_waveform_does_not_depend_on_its_neighbours() -> None:
    critics, wave = Discriminators(**SMALL), waves()
    for together, alone in zip(critics(wave)[0], critics(wave[1:])[0], strict=True):
        torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


def test_the_gradient_reaches_the_waveform_and_every_parameter() -> None:
    critics, wave = Discriminators(**SMALL), waves().requires_grad_()
    torch.cat([score.flatten() for score in critics(wave)[0]]).sum().backward()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()
    assert all(parameter.grad is not None for parameter in critics.parameters())


def test_silence_has_finite_gradients() -> None:
    wave = torch.zeros(1, 4800, requires_grad=True)
    torch.cat([score.flatten() for score in Discriminators(**SMALL)(wave)[0]]).sum().backward()
    assert wave.grad is not None
    assert wave.grad.isfinite().all()


def test_period_critics_keep_the_older_parameter_names() -> None:
    keys = PeriodDiscriminator(2, (4, 4, 8, 8, 8)).state_dict().keys()
    assert {"convs.0.bias", "convs.0.weight_g", "convs.0.weight_v", "conv_post.weight_g"} <= keys


@torch.no_grad()
def test_a_period_critic_sees_each_phase_of_the_period_apart() -> None:
    critic, wave = PeriodDiscriminator(3, (4, 4, 8, 8, 8)), waves(1)
    changed = wave.clone()
    changed[:, 1::3] += 1.0
    difference = critic(changed)[0].unflatten(1, (-1, 3)) != critic(wave)[0].unflatten(1, (-1, 3))
    assert difference[..., 1].any()
    assert not difference[..., [0, 2]].any()
