"""The velocity field of the flow: causal convolutions and attention in the shape of a U without resampling.

Letters: B batch, F frames, C width, M mel bands, R resnets.  All tensors are time-major [B, F, .].
Nothing here depends on neighbouring frames except causal convolutions and masked attention, and no
normalisation runs over time, so a frame's value is final once its attention chunk is complete.
Source: CosyVoice 2, section 2.5; Matcha-TTS (Mehta et al. 2024), section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import repeat
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import EstimatorConfig
from cosy.nn.cache import KeyValues
from cosy.nn.conv import CausalConv1d, Context, Conv1d, carry
from cosy.nn.masks import Masks, zero_padding
from cosy.nn.state import State


@dataclass
class ResnetState(State):
    block1: Context | None = None
    block2: Context | None = None


@dataclass
class StageState(State):
    resnet: ResnetState | None = None
    transformers: list[KeyValues] | None = None
    conv: Context | None = None


@dataclass
class EstimatorState(State):
    """What one estimator call keeps of the frames so far; an Euler step and a guidance branch each have their own."""

    stages: list[StageState]
    final_block: Context | None = None


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

    def init_state(self, batch: int) -> Context:
        return cast(CausalConv1d, self.block[0]).init_state(batch)

    def forward(self, x: Tensor, masks: Masks, state: Context | None = None) -> Tensor:
        conv, _, norm, mish = self.block
        x = zero_padding(x, masks.valid)
        return zero_padding(mish(norm(conv(x, carry(state, x, masks.window)))), masks.valid)


class Resnet(nn.Module):
    """Two causal blocks with the time vector between them, and a projected residual."""

    def __init__(self, in_size: int, size: int, time_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Mish(), nn.Linear(time_size, size))
        self.block1 = CausalBlock(in_size, size)
        self.block2 = CausalBlock(size, size)
        self.res_conv = Conv1d(in_size, size, 1)

    def init_state(self, batch: int) -> ResnetState:
        return ResnetState(self.block1.init_state(batch), self.block2.init_state(batch))

    def forward(self, x: Tensor, time: Tensor, masks: Masks, state: ResnetState | None = None) -> Tensor:
        """`x` [B, F, in], `time` [B or 1, C]: this resnet's `mlp` of the time embedding -> [B, F, C]."""
        kept = state or ResnetState()
        inner = self.block1(x, masks, kept.block1) + time[:, None]
        y: Tensor = self.block2(inner, masks, kept.block2) + self.res_conv(zero_padding(x, masks.valid))
        return y


def attend(q: Tensor, k: Tensor, v: Tensor, masks: Masks) -> Tensor:
    """softmax(q k^T / sqrt(d)) v; q [B, H, Q, d], k and v [B, H, K, d]."""
    if q.dtype != torch.bfloat16 or q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v, attn_mask=masks.attention)
    # For a few queries, three plain steps beat the fused kernel.  The product would copy transposed keys slowly.
    scores = (q * q.shape[-1] ** -0.5) @ k.contiguous().mT
    if masks.attention is not None:
        first, hidden = masks.hidden
        scores[..., first:].masked_fill_(hidden, -math.inf)
    y: Tensor = scores.softmax(-1) @ v
    return y


class Attention(nn.Module):
    """Multi-head attention without positions: those come from the convolutions."""

    def __init__(self, size: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.to_q = nn.Linear(size, heads * head_size, bias=False)
        self.to_k = nn.Linear(size, heads * head_size, bias=False)
        self.to_v = nn.Linear(size, heads * head_size, bias=False)
        self.to_qkv: nn.Module | None = None  # all three in one, see `cosy.nn.precision`
        self.to_out = nn.ModuleList([nn.Linear(heads * head_size, size)])

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> KeyValues:
        like = cast(Tensor, self.to_out[0].bias)
        if dtype is not None and dtype.itemsize == like.itemsize:
            dtype = None  # another format of the same size saves nothing and would be converted at every call
        return KeyValues.empty(like, batch, self.heads, capacity, self.head_size, dtype)

    def forward(self, x: Tensor, masks: Masks, state: KeyValues | None = None) -> Tensor:
        parts = self.project(x)
        q, k, v = (part.view(*x.shape[:2], self.heads, self.head_size).transpose(1, 2) for part in parts)
        if state is not None:
            k, v = state.extend(k, v, masks.window)
        y = attend(q, k, v, masks)
        out: Tensor = self.to_out[0](y.transpose(1, 2).flatten(2))  # (B, H, F, d) -> (B, F, H d)
        return out

    def project(self, x: Tensor) -> tuple[Tensor, ...]:
        """[B, F, C] -> queries, keys and values, each [B, F, H d]."""
        if self.to_qkv is not None:
            return cast(Tensor, self.to_qkv(x)).chunk(3, -1)
        return self.to_q(x), self.to_k(x), self.to_v(x)


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

    def forward(self, x: Tensor, masks: Masks, state: KeyValues | None = None) -> Tensor:
        x = x + self.attn1(self.norm1(x), masks, state)
        y: Tensor = x + self.ff(self.norm3(x))
        return y


class Transformers(nn.ModuleList):
    """The transformers of one stage."""

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> list[KeyValues]:
        return [cast(Transformer, layer).attn1.init_state(batch, capacity, dtype) for layer in self]

    def forward(self, x: Tensor, masks: Masks, state: list[KeyValues] | None = None) -> Tensor:
        for layer, memory in zip(self, state or repeat(None, len(self)), strict=True):
            x = layer(x, masks, memory)
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

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> StageState:
        resnet, transformers, *conv = self
        return StageState(
            cast(Resnet, resnet).init_state(batch),
            cast(Transformers, transformers).init_state(batch, capacity, dtype),
            cast(CausalConv1d, conv[0]).init_state(batch) if conv else None,
        )

    def forward(self, x: Tensor, time: Tensor, masks: Masks, state: StageState | None = None) -> Tensor:
        """Resnet and transformers; `conv` follows where the skip connection has been taken."""
        kept = state or StageState()
        y: Tensor = self[1](self[0](x, time, masks, kept.resnet), masks, kept.transformers)
        return y

    def conv(self, x: Tensor, masks: Masks, state: StageState | None = None) -> Tensor:
        x = zero_padding(x, masks.valid)
        y: Tensor = self[2](x, carry(None if state is None else state.conv, x, masks.window))
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

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> EstimatorState:
        """The start of `batch` streams; room for `capacity` frames, keys and values stored as `dtype`."""
        stages = [stage.init_state(batch, capacity, dtype) for stage in self.stages()]
        return EstimatorState(stages, self.final_block.init_state(batch))

    def forward(
        self, x: Tensor, condition: Tensor, time: Tensor, masks: Masks, state: EstimatorState | None = None
    ) -> Tensor:
        """Velocity [B, F, M].

        `x` [B, F, M]: the mel state.  `condition` [B, F, 3M]: from `conditions`.
        `time` [B or 1, R, C]: from `time_vectors`.  `masks`: from `build_masks`, with a state from `stream_masks`.
        `state`: of the streams that `x` continues, which advances in place; None: `x` is the whole sequence.
        """
        (down, *middle, up), (first, *between, last) = self.stages(), time.unbind(1)
        kept = state or EstimatorState([StageState() for _ in self.stages()])
        down_kept, *middle_kept, up_kept = kept.stages
        x = skip = down(torch.cat([x, condition], dim=-1), first, masks, down_kept)
        x = down.conv(x, masks, down_kept)
        for stage, vector, stage_kept in zip(middle, between, middle_kept, strict=True):
            x = stage(x, vector, masks, stage_kept)
        x = up(torch.cat([x, skip], dim=-1), last, masks, up_kept)
        x = self.final_block(up.conv(x, masks, up_kept), masks, kept.final_block)
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
