"""The flow's training objective, with every random draw an argument.

Letters: B batch, T tokens, F = 2T frames, M mel bands.  Source: Lipman et al. 2023 (optimal-transport path);
CosyVoice 2, section 2.5 (unified streaming and non-streaming training).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cosy.config import FlowConfig
from cosy.models.flow import Flow
from cosy.nn.estimator import conditions
from cosy.nn.masks import valid_positions, zero_padding


@dataclass(frozen=True)
class FlowDraws:
    """All chance of one batch."""

    streaming: bool  # chunk masks or full attention, for encoder and estimator alike
    cond_len: Tensor  # [B] int64, leading target frames given as condition
    t: Tensor  # [B] flow time in [0, 1]
    noise: Tensor  # [B, F, M]
    keep: Tensor  # [B] bool, False where guidance training drops mu, speaker and condition

    @classmethod
    def sample(
        cls,
        generator: torch.Generator,
        token_len: Tensor,
        frames: int,
        config: FlowConfig,
        *,
        streaming_rate: float = 0.5,
        cond_rate: float = 0.5,
        cond_share: float = 0.3,
        cosine_time: bool = False,
        first_rate: float = 0.0,
        noise_scale: float = 1.0,
    ) -> FlowDraws:
        """Draw for a batch of `token_len` [B] tokens, padded to `frames`; tensors land on `token_len`'s device.

        `streaming_rate`: how often a batch is chunk-masked.  `cond_rate`: how often an item is given a prompt,
        of at most `cond_share` of its frames.  `cosine_time`: warp t by 1 - cos(pi t / 2), the older recipe.
        `first_rate`: how often t is 0, where a solver begins and nothing of the target is to be seen.
        `noise_scale`: how much larger the noise is than the solver's.
        """
        size = token_len.shape[0]

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=generator.device).to(token_len.device)

        longest = (cond_share * config.token_mel_ratio * token_len).long()  # inclusive
        cond_len = (uniform(size) * (longest + 1)).long().clamp(max=longest)
        cond_len = cond_len * (uniform(size) < cond_rate)
        t = uniform(size)
        t = 1 - torch.cos(t * (0.5 * math.pi)) if cosine_time else t
        if first_rate > 0:
            t = t * (uniform(size) >= first_rate)
        noise = torch.randn((size, frames, config.output_size), generator=generator, device=generator.device)
        return cls(
            streaming=bool(uniform(1) < streaming_rate),
            cond_len=cond_len,
            t=t,
            noise=noise_scale * noise.to(token_len.device),
            keep=uniform(size) > config.training_cfg_rate,
        )


@dataclass(frozen=True)
class FlowLossDetails:
    """What the loss was made of, for auxiliary losses and logs."""

    mu: Tensor  # [B, F, M], the encoder's output, before guidance dropout
    mask: Tensor  # [B, F, 1] bool, True on valid frames
    velocity: Tensor  # [B, F, M], estimated
    target: Tensor  # [B, F, M], the velocity to estimate


def flow_loss(
    flow: Flow, token: Tensor, token_len: Tensor, feat: Tensor, embedding: Tensor, draws: FlowDraws
) -> tuple[Tensor, FlowLossDetails]:
    """Mean squared velocity error over valid frames, a float32 scalar, and its details.

    `token` [B, T] ids; `token_len` [B]; `feat` [B, 2T, M] log-mel; `embedding` [B, 192] raw speaker vectors.
    """
    frame_len = token_len * flow.config.token_mel_ratio
    mask = valid_positions(frame_len, feat.shape[1])[:, :, None]
    padded = bool((token_len < token.shape[1]).any())

    mu = flow.encode(token, token_len if padded else None, streaming=draws.streaming)
    cond = zero_padding(feat, valid_positions(draws.cond_len, feat.shape[1])[:, :, None])
    keep = draws.keep[:, None, None]
    given = conditions(mu, flow.speaker(embedding), cond) * keep

    t, stay = draws.t[:, None, None], 1 - flow.config.sigma_min
    y = (1 - stay * t) * draws.noise + t * feat
    target = feat - stay * draws.noise

    masks = flow.decoder.masks(feat.shape[1], frame_len if padded else None, draws.streaming, feat.device)
    velocity = flow.decoder.estimator(y, given, flow.decoder.estimator.time_vectors(draws.t), masks)
    squares = (velocity.float() - target).square() * mask
    loss = squares.sum() / (mask.sum() * feat.shape[-1])
    return loss, FlowLossDetails(mu, mask, velocity, target)
