"""The velocity field of the flow: causal convolutions and attention in the shape of a U without resampling.

Letters: B batch, F frames, C width, M mel bands, R resnets.  All tensors are time-major [B, F, .].
Nothing here depends on neighbouring frames except causal convolutions and masked attention, and no
normalisation runs over time, so a frame's value is final once its attention chunk is complete.
Source: CosyVoice 2, section 2.5; Matcha-TTS (Mehta et al. 2024), section 3.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import EstimatorConfig
from cosy.nn.conv import CausalConv1d, Conv1d
from cosy.nn.masks import Masks, zero_padding


def time_features(t: Tensor, width: int) -> Tensor:
    """Flow times [S] in [0, 1], float32 -> sines and cosines [S, width]."""
    half = width // 2
    frequency = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000.0) / (half - 1)))
    angle = 1000.0 * t[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)


class TimeMLP(nn.Module):
    def __init__(self, in_size: int, size: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_size, size)
        self.linear_2 = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear_2(F.silu(self.linear_1(x)))
        return y


class CausalBlock(nn.Module):
    """Mish(LayerNorm(conv(x)))."""

    def __init__(self, in_size: int, size: int) -> None:
        super().__init__()
        # The checkpoint numbers its norm 2: place 1 was a transposition.
        self.block = nn.Sequential(CausalConv1d(in_size, size, 3), nn.Identity(), nn.LayerNorm(size), nn.Mish())

    def forward(self, x: Tensor, valid: Tensor | None) -> Tensor:
        return zero_padding(self.block(zero_padding(x, valid)), valid)


class Resnet(nn.Module):
    """Two causal blocks with the time vector between them, and a projected residual."""

    def __init__(self, in_size: int, size: int, time_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_size, size))
        self.block1 = CausalBlock(in_size, size)
        self.block2 = CausalBlock(size, size)
        self.res_conv = Conv1d(in_size, size, 1)

    def forward(self, x: Tensor, time: Tensor, valid: Tensor | None) -> Tensor:
        """`x` [B, F, in], `time` [B or 1, C]: this resnet's `mlp` of the time embedding -> [B, F, C]."""
        inner = self.block1(x, valid) + time[:, None]
        y: Tensor = self.block2(inner, valid) + self.res_conv(zero_padding(x, valid))
        return y


class Attention(nn.Module):
    """Multi-head attention without positions: those come from the convolutions."""

    def __init__(self, size: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(size, heads * head_size, bias=False)
        self.to_k = nn.Linear(size, heads * head_size, bias=False)
        self.to_v = nn.Linear(size, heads * head_size, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(heads * head_size, size)])

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        q, k, v = (to(x).view(*x.shape[:2], self.heads, -1).transpose(1, 2) for to in (self.to_q, self.to_k, self.to_v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        out: Tensor = self.to_out[0](y.transpose(1, 2).flatten(2))  # (B, H, F, d) -> (B, F, H d)
        return out


class GELU(nn.Module):
    """A linear layer and the exact (erf) GELU."""

    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(size, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x))


class FeedForward(nn.Module):
    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GELU(size, inner), nn.Identity(), nn.Linear(inner, size))  # place 1: dropout of 0

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.net(x)
        return y


class Transformer(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        size = config.channels
        self.norm1 = nn.LayerNorm(size)
        self.attn1 = Attention(size, config.num_heads, config.attention_head_dim)
        self.norm3 = nn.LayerNorm(size)
        self.ff = FeedForward(size, 4 * size)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = x + self.attn1(self.norm1(x), mask)
        y: Tensor = x + self.ff(self.norm3(x))
        return y


class Transformers(nn.ModuleList):
    """The transformers of one stage."""

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        for transformer in self:
            x = transformer(x, mask)
        return x


class Stage(nn.ModuleList):
    """A resnet [0], transformers [1] and, where the stage ends in one, a causal convolution [2]."""

    def __init__(self, in_size: int, config: EstimatorConfig, *, conv: bool) -> None:
        size = config.channels
        parts = [Resnet(in_size, size, 4 * size), Transformers(Transformer(config) for _ in range(config.n_blocks))]
        super().__init__([*parts, CausalConv1d(size, size, 3)] if conv else parts)

    def time_vector(self, time: Tensor) -> Tensor:
        """The time embedding [S, 4C] as the resnet adds it, [S, C]."""
        vector: Tensor = self[0].mlp(time)  # type: ignore[operator]
        return vector

    def forward(self, x: Tensor, time: Tensor, masks: Masks) -> Tensor:
        """Resnet and transformers; `conv` follows where the skip connection has been taken."""
        y: Tensor = self[1](self[0](x, time, masks.valid), masks.attention)
        return y

    def conv(self, x: Tensor, masks: Masks) -> Tensor:
        y: Tensor = self[2](zero_padding(x, masks.valid))
        return y


class Estimator(nn.Module):
    """Velocity of the mel state at flow time t, given the encoder's mu, the speaker and the prompt mel."""

    def __init__(self, config: EstimatorConfig) -> None:
        super().__init__()
        size, self.time_size = config.channels, config.in_channels
        self.chunk = config.static_chunk_size  # frames
        self.time_mlp = TimeMLP(self.time_size, 4 * size)
        self.down_blocks = nn.ModuleList([Stage(config.in_channels, config, conv=True)])
        self.mid_blocks = nn.ModuleList(Stage(size, config, conv=False) for _ in range(config.num_mid_blocks))
        self.up_blocks = nn.ModuleList([Stage(2 * size, config, conv=True)])
        self.final_block = CausalBlock(size, size)
        self.final_proj = Conv1d(size, config.out_channels, 1)
        self.apply(kaiming)

    def stages(self) -> list[Stage]:
        """All stages in the order they run."""
        return cast("list[Stage]", [*self.down_blocks, *self.mid_blocks, *self.up_blocks])

    def time_vectors(self, t: Tensor) -> Tensor:
        """Flow times [S] in [0, 1], float32 -> what each of the R resnets adds, [S, R, C]."""
        time = self.time_mlp(time_features(t, self.time_size).to(self.time_mlp.linear_1.weight.dtype))
        return torch.stack([stage.time_vector(time) for stage in self.stages()], dim=1)

    def forward(self, x: Tensor, condition: Tensor, time: Tensor, masks: Masks) -> Tensor:
        """Velocity [B, F, M].

        `x` [B, F, M]: the mel state.  `condition` [B, F, 3M]: from `conditions`.
        `time` [B or 1, R, C]: from `time_vectors`.  `masks`: from `build_masks`.
        """
        (down, *middle, up), (first, *between, last) = self.stages(), time.unbind(1)
        x = skip = down(torch.cat([x, condition], dim=-1), first, masks)
        x = down.conv(x, masks)
        for stage, vector in zip(middle, between, strict=True):
            x = stage(x, vector, masks)
        x = up(torch.cat([x, skip], dim=-1), last, masks)
        x = self.final_block(up.conv(x, masks), masks.valid)
        return zero_padding(self.final_proj(x), masks.valid)


def conditions(mu: Tensor, spks: Tensor, cond: Tensor) -> Tensor:
    """Encoder output [B, F, M], speaker [B, M] and prompt mel [B, F, M] side by side, [B, F, 3M]."""
    return torch.cat([mu, spks[:, None].expand_as(mu), cond], dim=-1)


def kaiming(module: nn.Module) -> None:
    """Kaiming-normal weights (fan-in, ReLU gain) and zero biases, as the official training starts."""
    if isinstance(module, (nn.Linear, nn.Conv1d)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
