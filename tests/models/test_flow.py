"""Laws of the token-to-mel flow, on a small random network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cosy.config import EstimatorConfig, FlowConfig, FlowEncoderConfig
from cosy.errors import MismatchError, ParameterError
from cosy.models.flow import Flow
from cosy.models.flow_decoder import NOISE_BLOCK, fixed_noise, time_grid
from cosy.models.flow_encoder import Upsample
from cosy.models.flow_loss import FlowDraws, flow_loss
from tests.weights import key_weight

CHUNK = 4  # tokens
SMALL = FlowConfig(
    vocab_size=30,
    input_size=16,
    encoder=FlowEncoderConfig(
        input_size=16,
        output_size=16,
        attention_heads=2,
        linear_units=24,
        num_blocks=1,
        up_blocks=1,
        static_chunk_size=CHUNK,
        dropout_rate=0.0,
        positional_dropout_rate=0.0,
        attention_dropout_rate=0.0,
    ),
    estimator=EstimatorConfig(
        channels=16, attention_head_dim=8, num_heads=2, n_blocks=1, num_mid_blocks=1, static_chunk_size=2 * CHUNK
    ),
    n_timesteps=3,
)


@pytest.fixture(scope="module")
def flow() -> Flow:
    flow = Flow(SMALL)
    flow.load_state_dict({k: torch.from_numpy(key_weight(k, v.shape)) for k, v in flow.state_dict().items()})
    return flow.eval()


def tokens(size: int, seed: int = 0) -> Tensor:
    return torch.randint(0, SMALL.vocab_size, (1, size), generator=torch.Generator().manual_seed(seed))


def prompt(size: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "prompt_token": tokens(size, seed=2),
        "prompt_feat": torch.randn(1, 2 * size, 80, generator=generator),
        "embedding": torch.randn(1, SMALL.spk_embed_dim, generator=generator),
    }


# --- streaming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt_tokens", [0, 3, 7])
def test_later_tokens_never_change_earlier_blocks(flow: Flow, prompt_tokens: int) -> None:
    generated, voice = tokens(18), prompt(prompt_tokens)
    final = (prompt_tokens + 18 - 3) // CHUNK * CHUNK  # borders count from the first prompt token
    known = generated[:, : final + 3 - prompt_tokens]
    other = torch.cat([known, tokens(9, seed=5)], dim=1)
    mels = [flow.inference(t, **voice, streaming=True, finalize=False) for t in (known, generated, other)]
    frames = 2 * (final - prompt_tokens)
    assert mels[0].shape[-1] == frames
    for mel in mels[1:]:
        assert torch.allclose(mel[:, :, :frames], mels[0], atol=1e-5)


@pytest.mark.parametrize("prompt_tokens", [0, 5])
def test_prefix_calls_at_block_borders_join_to_the_one_shot_solve(flow: Flow, prompt_tokens: int) -> None:
    generated, voice = tokens(17), prompt(prompt_tokens)
    whole = flow.inference(generated, **voice, streaming=True, finalize=True)
    pieces, done = [], 0
    for border in range(CHUNK, prompt_tokens + 17 - 3 + 1, CHUNK):
        seen = border + 3 - prompt_tokens
        if border > prompt_tokens:
            mel = flow.inference(generated[:, :seen], **voice, streaming=True, finalize=False)
            pieces.append(mel[:, :, done:])
            done = mel.shape[-1]
    pieces.append(whole[:, :, done:])
    assert done > 0
    assert torch.allclose(torch.cat(pieces, dim=-1), whole, atol=1e-5)


def test_full_attention_is_another_mode(flow: Flow) -> None:
    full, chunked = (flow.inference(tokens(18), **prompt(3), streaming=s, finalize=True) for s in (False, True))
    assert (full - chunked).abs().max() > 0.01


def test_upsampling_pieces_with_their_left_context_equal_one_shot() -> None:
    layer, x = Upsample(6), torch.randn(2, 7, 6)
    repeated = torch.nn.functional.pad(x.repeat_interleave(2, dim=1).mT, (4, 0))
    assert torch.allclose(layer(x), layer.conv(repeated).mT, atol=1e-6)
    assert torch.allclose(torch.cat([layer(x[:, :3]), layer(x[:, 3:], left=x[:, 1:3])], dim=1), layer(x), atol=1e-6)


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize("streaming", [False, True])
@torch.no_grad()
def test_a_padded_item_is_estimated_as_if_alone(flow: Flow, streaming: bool) -> None:
    lengths, frames = torch.tensor([22, 13]), 22
    x, given = torch.randn(2, frames, 80), torch.randn(2, frames, 240)
    net, time = flow.decoder.estimator, flow.decoder.estimator.time_vectors(torch.tensor([0.3, 0.6]))
    both = net(x, given, time, flow.decoder.masks(frames, lengths, streaming, x.device))
    alone = net(x[1:, :13], given[1:, :13], time[1:], flow.decoder.masks(13, None, streaming, x.device))
    assert torch.allclose(both[1:, :13], alone, atol=1e-5)
    assert not both[1, 13:].any()


@pytest.mark.parametrize("streaming", [False, True])
@torch.no_grad()
def test_encoding_a_padded_item_differs_from_alone_only_by_the_look_ahead(flow: Flow, streaming: bool) -> None:
    # The last three valid tokens look into padding, so only frames that attend to none of them can be equal:
    # in chunk mode those of the blocks before.
    token = torch.cat([tokens(14), tokens(14, seed=3)])
    both = flow.encode(token, torch.tensor([14, 11]), streaming=streaming)
    alone = flow.encode(token[1:, :11], streaming=streaming)
    assert both.shape == (2, 28, 80)
    if streaming:
        assert torch.allclose(both[1, : 2 * 8], alone[0, : 2 * 8], atol=1e-5)
    padding_changed = torch.cat([token[1:, :11], tokens(3, seed=9)], dim=1)
    again = flow.encode(torch.cat([token[:1], padding_changed]), torch.tensor([14, 11]), streaming=streaming)
    assert torch.equal(again, both)


@torch.no_grad()
def test_token_ids_below_zero_count_as_zero(flow: Flow) -> None:
    assert torch.equal(flow.encode(torch.tensor([[-1, 5]])), flow.encode(torch.tensor([[0, 5]])))


# --- noise and times -----------------------------------------------------------------------------


def test_noise_is_the_draw_after_seed_zero_and_leaves_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    noise = fixed_noise(40)
    assert torch.equal(torch.get_rng_state(), before)
    assert noise.shape == (1, 80, 40)
    assert noise[0, 0, :3].tolist() == pytest.approx([-1.1258398, -1.1523602, -0.2505786])
    assert noise[0, 1, 0].item() == pytest.approx(0.8691794)


def test_noise_at_a_frame_depends_on_its_index_alone() -> None:
    whole = fixed_noise(NOISE_BLOCK + 70)
    assert torch.equal(whole[..., :50], fixed_noise(50))
    assert torch.equal(whole[..., -100:], fixed_noise(100, start=NOISE_BLOCK - 30))
    assert torch.equal(whole[..., NOISE_BLOCK:], fixed_noise(70, start=NOISE_BLOCK))
    assert whole[0, 79, NOISE_BLOCK - 1].item() == pytest.approx(-0.0832944)
    assert not torch.equal(whole[..., NOISE_BLOCK:], whole[..., :70])


def test_temperature_scales_the_noise(flow: Flow) -> None:
    mu, spks, noise = torch.zeros(1, 8, 80), torch.zeros(1, 80), fixed_noise(8)

    def solved(temperature: float, noise: Tensor) -> Tensor:
        other = Flow(replace(SMALL, temperature=temperature))
        other.load_state_dict(flow.state_dict())
        with torch.no_grad():
            return other.eval().solve(mu, mu, spks, streaming=True, noise=noise)

    assert torch.equal(solved(0.5, noise), solved(1.0, 0.5 * noise))
    assert torch.equal(solved(0.0, noise), solved(0.0, noise.flip(2)))
    assert not torch.allclose(solved(1.0, noise), solved(0.0, noise), atol=0.1)


def test_no_frames_need_no_noise() -> None:
    assert fixed_noise(0).shape == (1, 80, 0)
    assert fixed_noise(0, start=NOISE_BLOCK).shape == (1, 80, 0)


def test_changing_returned_noise_does_not_change_the_next() -> None:
    expected = fixed_noise(5)
    fixed_noise(5).zero_()
    assert torch.equal(fixed_noise(5), expected)


def test_time_runs_from_zero_to_one_in_growing_steps() -> None:
    grid = time_grid(10)
    assert grid[[0, 1, -1]].tolist() == pytest.approx([0.0, 0.01231164, 1.0], abs=1e-6)
    assert (grid.diff().diff() > 0).all()


# --- inference -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("finalize", "frames"), [(True, 20), (False, 14)])
def test_inference_returns_the_frames_after_the_prompt(flow: Flow, finalize: bool, frames: int) -> None:
    voice = prompt(4)
    mel = flow.inference(tokens(10), **voice, streaming=False, finalize=finalize)
    assert mel.shape == (1, 80, frames)
    voice["prompt_feat"] = voice["prompt_feat"][:, :5]
    assert flow.inference(tokens(10), **voice, streaming=False, finalize=finalize).shape == (1, 80, frames + 3)


def test_too_few_tokens_are_an_error_that_says_so(flow: Flow) -> None:
    with pytest.raises(ParameterError, match="0 tokens"):
        flow.inference(tokens(3), **prompt(0), streaming=True, finalize=False)
    with pytest.raises(ParameterError, match="prompt's 8"):
        flow.inference(tokens(0), **{**prompt(4), "prompt_token": tokens(2)}, streaming=True, finalize=True)


def test_bfloat16_weights_give_a_float32_mel_close_to_the_exact_one(flow: Flow) -> None:
    half = Flow(SMALL).eval()
    half.load_state_dict(flow.state_dict())
    exact, rough = (f.inference(tokens(9), **prompt(3), streaming=True, finalize=True) for f in (flow, half.bfloat16()))
    assert rough.dtype == torch.float32
    assert (rough - exact).square().mean() < 0.01 * exact.square().mean()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pre_lookahead_len": 2}, "pre_lookahead_len"),
        ({"output_size": 64}, "in_channels"),
        ({"estimator": replace(SMALL.estimator, out_channels=81)}, "out_channels"),
        ({"estimator": replace(SMALL.estimator, static_chunk_size=CHUNK)}, "static_chunk_size"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        Flow(replace(SMALL, **change))


# --- training ------------------------------------------------------------------------------------


def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {
        "token": torch.randint(0, SMALL.vocab_size, (3, 11), generator=generator),
        "token_len": torch.tensor([11, 6, 9]),
        "feat": torch.randn(3, 22, 80, generator=generator),
        "embedding": torch.randn(3, SMALL.spk_embed_dim, generator=generator),
    }


def draws(seed: int = 0, **options: Any) -> FlowDraws:
    return FlowDraws.sample(torch.Generator().manual_seed(seed), batch()["token_len"], 22, SMALL, **options)


def test_draws_repeat_with_the_generator_and_stay_in_range() -> None:
    assert torch.equal(draws(3).noise, draws(3).noise)
    many = [draws(seed) for seed in range(200)]
    cond_len = torch.stack([d.cond_len for d in many])
    assert (cond_len <= (0.3 * 2 * batch()["token_len"]).long()).all()
    assert (cond_len.max(dim=0).values == (0.3 * 2 * batch()["token_len"]).long()).all()
    # 600 draws: all shares lie within five standard deviations (0.1) of their rates
    assert torch.stack([d.keep for d in many]).float().mean().item() == pytest.approx(0.8, abs=0.1)
    assert sum(d.streaming for d in many) / 200 == pytest.approx(0.5, abs=0.18)
    assert torch.stack([d.t for d in many]).mean().item() == pytest.approx(0.5, abs=0.1)


def test_cosine_time_prefers_early_times() -> None:
    straight, warped = draws(0).t, draws(0, cosine_time=True).t
    assert torch.allclose(warped, 1 - torch.cos(straight * torch.pi / 2))


@pytest.mark.parametrize("streaming", [False, True])
def test_the_loss_ignores_padding(flow: Flow, streaming: bool) -> None:
    given, chance = batch(), replace(draws(), streaming=streaming)
    loss, details = flow_loss(flow, **given, draws=chance)
    padding = ~details.mask
    noisy = {**given, "feat": torch.where(padding, 7.0, given["feat"])}
    again, _ = flow_loss(flow, **noisy, draws=replace(chance, noise=torch.where(padding, -3.0, chance.noise)))
    assert details.mu.shape == (3, 22, 80)
    assert details.mask.sum().item() == 2 * (11 + 6 + 9)
    assert again.item() == pytest.approx(loss.item(), rel=1e-5)


def test_every_parameter_learns() -> None:
    flow = Flow(SMALL)
    loss, _ = flow_loss(flow, **batch(), draws=replace(draws(), keep=torch.ones(3, dtype=torch.bool)))
    loss.backward()
    silent = [name for name, p in flow.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_the_loss_works_under_bfloat16_autocast(flow: Flow) -> None:
    exact, _ = flow_loss(flow, **batch(), draws=draws())
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = flow_loss(flow, **batch(), draws=draws())
        mel = flow.inference(tokens(9), **prompt(3), streaming=True, finalize=True)
    assert rough.dtype == mel.dtype == torch.float32
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)


def test_a_new_model_starts_the_estimator_kaiming_normal_without_bias() -> None:
    conv = Flow(SMALL).decoder.estimator.final_block.block[0]
    assert not conv.bias.any()
    assert conv.weight.std().item() == pytest.approx((2 / (16 * 3)) ** 0.5, rel=0.2)  # 768 draws: 5 sigma = 13 %
