"""The flow's encoder: token embeddings at 25 Hz in, one vector per 50 Hz mel frame out.

Letters: B batch, T tokens, F = 2T frames, D width.  Everything is causal except three tokens of
look-ahead at the very start.  Source: CosyVoice 2, section 2.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import repeat

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.config import FlowEncoderConfig
from cosy.nn.cache import KeyValues
from cosy.nn.conformer import ConformerBlock, relative_positions, stream_positions
from cosy.nn.conv import CausalConv1d, Context, Conv1d, carry, context, convolve, extend_left
from cosy.nn.masks import Masks, Window, build_masks, zero_padding
from cosy.nn.state import State


@dataclass
class EncoderState(State):
    """What the encoder keeps of the tokens so far; None throughout for a whole sequence."""

    pre_lookahead_layer: Context | None = None
    encoders: list[KeyValues] | None = None  # slots are tokens
    up_layer: Context | None = None
    up_encoders: list[KeyValues] | None = None  # slots are frames


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

    def positions(self, x: Tensor, window: Window | None = None) -> Tensor:
        """The offset table for a whole sequence like `x` [B, T, D], or for its `window` of a stream."""
        if window is not None:
            return stream_positions(window.offsets, x.shape[2], x)
        table: Tensor = self.dropout(relative_positions(x.shape[1], x.shape[1], x.shape[2], x))
        return table


class LookAhead(nn.Module):
    """x + what the present and the next few tokens say."""

    def __init__(self, size: int, lookahead: int) -> None:
        super().__init__()
        self.conv1 = Conv1d(size, size, lookahead + 1)
        self.conv2 = CausalConv1d(size, size, 3)

    def init_state(self, batch: int) -> Context:
        return self.conv2.init_state(batch)

    def forward(
        self, x: Tensor, right: Tensor | None = None, window: Window | None = None, state: Context | None = None
    ) -> Tensor:
        """`x` [B, T, D]; `right` [B, look-ahead, D]: what follows, None: the end, where zeros stand.

        `window` and `state`: of the streams that `x` continues.
        """
        lookahead = self.conv1.kernel_size[0] - 1
        ahead = F.pad(x, (0, 0, 0, lookahead)) if right is None else torch.cat([x, right], dim=1)
        a = F.leaky_relu(self.conv1(ahead))
        y: Tensor = x + self.conv2(a, carry(state, a, window))
        return y


class Upsample(nn.Module):
    """Repeat every token twice, then a causal convolution of kernel 5, computed at token rate."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(size, size, 5)
        self.product: nn.Module | None = None

    def init_state(self, batch: int) -> Context:
        return context(self.conv, batch, 2)  # tokens

    def forward(self, x: Tensor, left: Tensor | None = None) -> Tensor:
        """`x` [B, T, D] -> [B, 2T, D]; `left` [B, 2, D]: the tokens before, None: zeros."""
        x = extend_left(x, 2, left)
        pairs = convolve(x, *self.kernel()) if self.product is None else self.product(x)
        return pairs.reshape(x.shape[0], -1, self.conv.out_channels)

    def kernel(self) -> tuple[Tensor, Tensor]:
        """[2D, D, 3] and [2D] for the two frames of a token."""
        w0, w1, w2, w3, w4 = self.conv.weight.unbind(-1)  # oldest first
        even = torch.stack([w0 + w1, w2 + w3, w4], dim=-1)  # both copies of a token meet two taps, but ...
        odd = torch.stack([w0, w1 + w2, w3 + w4], dim=-1)  # ... which two depends on the frame's parity
        assert self.conv.bias is not None
        return torch.cat([even, odd]), self.conv.bias.repeat(2)

    def replace(self, product: nn.Module) -> None:
        self.product = product
        del self.conv.weight


class Conformers(nn.ModuleList):
    """The blocks of one stack."""

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> list[KeyValues]:
        return [layer.init_state(batch, capacity, dtype) for layer in self]  # type: ignore[operator]

    def forward(self, x: Tensor, positions: Tensor, masks: Masks, state: list[KeyValues] | None = None) -> Tensor:
        for layer, memory in zip(self, state or repeat(None, len(self)), strict=True):
            x = layer(x, positions, masks, memory)
        return x


class FlowEncoder(nn.Module):
    """Input layer, look-ahead, conformer stack at token rate, upsampling, second stack at frame rate."""

    def __init__(self, config: FlowEncoderConfig) -> None:
        super().__init__()
        size, rates = config.output_size, (config.dropout_rate, config.positional_dropout_rate)
        self.chunk = config.static_chunk_size  # tokens
        self.embed = InputLayer(config.input_size, size, *rates)
        self.pre_lookahead_layer = LookAhead(size, config.pre_lookahead_len)
        self.encoders = Conformers(block(config) for _ in range(config.num_blocks))
        self.up_layer = Upsample(size)
        self.up_embed = InputLayer(size, size, *rates)
        self.up_encoders = Conformers(block(config) for _ in range(config.up_blocks))
        self.after_norm = nn.LayerNorm(size, eps=1e-5)

    def forward(
        self, x: Tensor, lengths: Tensor | None = None, *, streaming: bool = False, lookahead: Tensor | None = None
    ) -> Tensor:
        """Embeddings `x` [B, T, D] -> [B, 2T, D].

        `lengths` [B]: valid tokens, None: no padding.  `streaming`: chunk masks instead of full attention.
        `lookahead` [B, 3, D]: embeddings of the tokens that follow, None: there are none.
        """
        size, chunk = x.shape[1], self.chunk if streaming else None
        tokens = build_masks(size, lengths, chunk, x.device)
        lengths = None if lengths is None else lengths * FRAMES_PER_TOKEN
        chunk = None if chunk is None else chunk * FRAMES_PER_TOKEN
        frames = build_masks(size * FRAMES_PER_TOKEN, lengths, chunk, x.device)
        return self.run(self.embed(x), None if lookahead is None else self.embed(lookahead), tokens, frames)

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> EncoderState:
        """The start of `batch` streams; room for `capacity` tokens, keys and values stored as `dtype`."""
        return EncoderState(
            self.pre_lookahead_layer.init_state(batch),
            self.encoders.init_state(batch, capacity, dtype),
            self.up_layer.init_state(batch),
            self.up_encoders.init_state(batch, FRAMES_PER_TOKEN * capacity, dtype),
        )

    def stream(self, x: Tensor, real: Tensor, tokens: Masks, frames: Masks, state: EncoderState) -> Tensor:
        """The next chunk of some streams: embeddings `x` [B, T + look-ahead, D] -> [B, 2T, D].

        `real` [B, T + look-ahead, 1]: False past the end of a stream.  Zeros stand there after the input layer,
        not before it, and past the end of a row shorter than T as well.
        """
        size = x.shape[1] - self.pre_lookahead_layer.conv1.kernel_size[0] + 1
        x = zero_padding(self.embed(x), real)
        return self.run(x[:, :size], x[:, size:], tokens, frames, state)

    def run(
        self, x: Tensor, right: Tensor | None, tokens: Masks, frames: Masks, state: EncoderState | None = None
    ) -> Tensor:
        """All that follows the input layer: `x` [B, T, D] and what comes after it -> [B, 2T, D]."""
        kept = state or EncoderState()
        x = self.pre_lookahead_layer(x, right, tokens.window, kept.pre_lookahead_layer)
        x = self.encoders(x, self.embed.positions(x, tokens.window), tokens, kept.encoders)
        x = self.up_embed(self.up_layer(x, carry(kept.up_layer, x, tokens.window)))
        x = self.up_encoders(x, self.up_embed.positions(x, frames.window), frames, kept.up_encoders)
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
