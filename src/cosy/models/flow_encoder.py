"""The flow's encoder: token embeddings at 25 Hz in, one vector per 50 Hz mel frame out.

Letters: B batch, T tokens, F = 2T frames, D width.  Everything is causal except three tokens of
look-ahead at the very start.  Source: CosyVoice 2, section 2.5.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import FlowEncoderConfig
from cosy.nn.conformer import ConformerBlock, relative_positions
from cosy.nn.conv import CausalConv1d, Conv1d, convolve, extend_left
from cosy.nn.masks import build_masks


class InputLayer(nn.Module):
    """sqrt(D) LayerNorm(W x + b).  Positions enter in the attention, not here."""

    def __init__(self, in_size: int, size: int, dropout: float, positional_dropout: float) -> None:
        super().__init__()
        self.out = nn.Sequential(nn.Linear(in_size, size), nn.LayerNorm(size, eps=1e-5), nn.Dropout(dropout))
        self.dropout = nn.Dropout(positional_dropout)
        self.scale = math.sqrt(size)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.out(x) * self.scale)
        return y

    def positions(self, x: Tensor) -> Tensor:
        """The offset table for a whole sequence like `x` [B, T, D]."""
        table: Tensor = self.dropout(relative_positions(x.shape[1], x.shape[1], x.shape[2], x))
        return table


class LookAhead(nn.Module):
    """x + what the present and the next few tokens say."""

    def __init__(self, size: int, lookahead: int) -> None:
        super().__init__()
        self.conv1 = Conv1d(size, size, lookahead + 1)
        self.conv2 = CausalConv1d(size, size, 3)

    def forward(self, x: Tensor, right: Tensor | None = None) -> Tensor:
        """`x` [B, T, D]; `right` [B, look-ahead, D]: what follows, None: the end, where zeros stand."""
        lookahead = self.conv1.kernel_size[0] - 1
        ahead = F.pad(x, (0, 0, 0, lookahead)) if right is None else torch.cat([x, right], dim=1)
        y: Tensor = x + self.conv2(F.leaky_relu(self.conv1(ahead)))
        return y


class Upsample(nn.Module):
    """Repeat every token twice, then a causal convolution of kernel 5, computed at token rate."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(size, size, 5)

    def forward(self, x: Tensor, left: Tensor | None = None) -> Tensor:
        """`x` [B, T, D] -> [B, 2T, D]; `left` [B, 2, D]: the tokens before, None: zeros."""
        w0, w1, w2, w3, w4 = self.conv.weight.unbind(-1)  # oldest first
        even = torch.stack([w0 + w1, w2 + w3, w4], dim=-1)  # both copies of a token meet two taps, but ...
        odd = torch.stack([w0, w1 + w2, w3 + w4], dim=-1)  # ... which two depends on the frame's parity
        assert self.conv.bias is not None
        pairs = convolve(extend_left(x, 2, left), torch.cat([even, odd]), self.conv.bias.repeat(2))
        return pairs.reshape(x.shape[0], -1, self.conv.out_channels)


class FlowEncoder(nn.Module):
    """Input layer, look-ahead, conformer stack at token rate, upsampling, second stack at frame rate."""

    def __init__(self, config: FlowEncoderConfig) -> None:
        super().__init__()
        size, rates = config.output_size, (config.dropout_rate, config.positional_dropout_rate)
        self.chunk = config.static_chunk_size  # tokens
        self.embed = InputLayer(config.input_size, size, *rates)
        self.pre_lookahead_layer = LookAhead(size, config.pre_lookahead_len)
        self.encoders = nn.ModuleList(block(config) for _ in range(config.num_blocks))
        self.up_layer = Upsample(size)
        self.up_embed = InputLayer(size, size, *rates)
        self.up_encoders = nn.ModuleList(block(config) for _ in range(config.up_blocks))
        self.after_norm = nn.LayerNorm(size, eps=1e-5)

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, *, streaming: bool = False, lookahead: Tensor | None = None
    ) -> Tensor:
        """Embeddings `x` [B, T, D] -> [B, 2T, D].

        `lengths` [B]: valid tokens, None: no padding.  `streaming`: chunk masks instead of full attention.
        `lookahead` [B, 3, D]: embeddings of the tokens that follow, None: there are none.
        """
        chunk = self.chunk if streaming else None
        x = self.pre_lookahead_layer(self.embed(x), None if lookahead is None else self.embed(lookahead))
        positions, mask = self.embed.positions(x), build_masks(x.shape[1], lengths, chunk, x.device).attention
        for layer in self.encoders:
            x = layer(x, positions, mask)

        x = self.up_embed(self.up_layer(x))
        lengths = None if lengths is None else lengths * FRAMES_PER_TOKEN
        chunk = None if chunk is None else chunk * FRAMES_PER_TOKEN
        positions, mask = self.up_embed.positions(x), build_masks(x.shape[1], lengths, chunk, x.device).attention
        for layer in self.up_encoders:
            x = layer(x, positions, mask)
        y: Tensor = self.after_norm(x)
        return y


def block(config: FlowEncoderConfig) -> ConformerBlock:
    """One conformer block of either stack."""
    return ConformerBlock(
        config.output_size,
        config.attention_heads,
        config.linear_units,
        config.dropout_rate,
        config.attention_dropout_rate,
    )
