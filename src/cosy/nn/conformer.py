"""Conformer blocks without convolution: relative-position attention and a feed-forward layer.

Letters: B batch, Q queries, K keys, H heads, d head size, D = H d width.  The queries are always the
last Q of the K positions, so Q = K is a whole sequence and Q < K a piece of a stream.
Source: Transformer-XL (Dai et al. 2019), section 3.3; CosyVoice 2, section 2.5.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.nn.cache import KeyValues
from cosy.nn.masks import NOTHING_HIDDEN, Masks


def relative_positions(queries: int, keys: int, width: int, like: Tensor) -> Tensor:
    """Sines and cosines [Q+K, D] of the offsets K-1, K-2, ..., -Q (query minus key), most positive first.

    One row more than there are offsets: the spare one lets `relative_shift` be a plain reshape.
    """
    offset = torch.arange(keys - 1, -queries - 1, -1, device=like.device, dtype=torch.float32)
    frequency = torch.exp(torch.arange(0, width, 2, device=like.device) * (-math.log(10_000.0) / width))
    angle = offset[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).reshape(-1, width).to(like.dtype)


def relative_shift(x: Tensor) -> Tensor:
    """[..., Q, Q+K] scores by offset -> [..., Q, K] scores by key.

    Column j of row i is the offset K-Q+i-j, which stands at place Q-1-i+j of the row: each row starts
    one place before the one above, so rows read one element short line the keys up.
    """
    queries, rows = x.shape[-2:]
    lined_up = x.flatten(-2)[..., queries - 1 : -1].view(*x.shape[:-1], rows - 1)
    return lined_up[..., : rows - queries]


def stream_positions(offsets: Tensor, width: int, like: Tensor) -> Tensor:
    """The table of `relative_positions` that covers the integer `offsets` and starts with the greatest."""
    return relative_positions(max(-int(offsets.min()), 0), int(offsets.max()) + 1, width, like)


def pick_offsets(x: Tensor, offsets: Tensor) -> Tensor:
    """[B, H, Q, rows] scores by offset, greatest first -> [B, H, Q, K] scores by key, for `offsets` [B, Q, K]."""
    rows = (offsets.max() - offsets)[:, None]
    return x.gather(-1, rows.expand(-1, x.shape[1], -1, -1))


class RelativeAttention(nn.Module):
    """softmax( ((q_i + u) k_j + (q_i + v) W_pos pe(i-j)) / sqrt(d) ) over j."""

    def __init__(self, size: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.linear_q = nn.Linear(size, size)
        self.linear_k = nn.Linear(size, size)
        self.linear_v = nn.Linear(size, size)
        self.linear_out = nn.Linear(size, size)
        self.linear_pos = nn.Linear(size, size, bias=False)
        self.pos_bias_u = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, size // heads)))
        self.pos_bias_v = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, size // heads)))

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> KeyValues:
        return KeyValues.empty(self.pos_bias_u, batch, self.heads, capacity, self.pos_bias_u.shape[1], dtype)

    def forward(
        self, x: Tensor, positions: Tensor, masks: Masks = NOTHING_HIDDEN, state: KeyValues | None = None
    ) -> Tensor:
        """`x` [B, T, D] -> [B, T, D].

        `positions` [rows, D]: from `relative_positions`, in a stream from `stream_positions`.
        `state`: of the streams that `x` continues, which advances in place; None: `x` is the whole sequence.
        """
        q = self.split(self.linear_q(x))
        k = self.split(self.linear_k(x))
        v = self.split(self.linear_v(x))
        if state is not None:
            k, v = state.extend(k, v, masks.window)
        p = self.split(self.linear_pos(positions))  # [H, rows, d]
        by_offset = (q + self.pos_bias_v[:, None]).matmul(p.mT)
        window = masks.window
        by_key = relative_shift(by_offset) if window is None else pick_offsets(by_offset, window.offsets)
        bias = by_key / math.sqrt(q.shape[-1])
        if masks.attention is not None:
            bias = bias.masked_fill(~masks.attention, -math.inf)
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q + self.pos_bias_u[:, None], k, v, attn_mask=bias, dropout_p=dropout)
        out: Tensor = self.linear_out(y.transpose(1, 2).flatten(2))  # (B, H, T, d) -> (B, T, D)
        return out

    def split(self, x: Tensor) -> Tensor:
        """[..., T, D] -> [..., H, T, d]."""
        return x.view(*x.shape[:-1], self.heads, -1).transpose(-2, -3)


class FeedForward(nn.Module):
    """W2 SiLU(W1 x)."""

    def __init__(self, size: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.w_1 = nn.Linear(size, inner)
        self.w_2 = nn.Linear(inner, size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.w_2(self.dropout(F.silu(self.w_1(x))))
        return y


class ConformerBlock(nn.Module):
    """Pre-norm attention and feed-forward, each with a residual; no macaron half, no convolution."""

    def __init__(self, size: int, heads: int, inner: int, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.self_attn = RelativeAttention(size, heads, attention_dropout)
        self.feed_forward = FeedForward(size, inner, dropout)
        self.norm_mha = nn.LayerNorm(size, eps=1e-12)
        self.norm_ff = nn.LayerNorm(size, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def init_state(self, batch: int, capacity: int, dtype: torch.dtype | None = None) -> KeyValues:
        return self.self_attn.init_state(batch, capacity, dtype)

    def forward(
        self, x: Tensor, positions: Tensor, masks: Masks = NOTHING_HIDDEN, state: KeyValues | None = None
    ) -> Tensor:
        """`x` [B, T, D]; the other arguments as in `RelativeAttention`."""
        x = x + self.dropout(self.self_attn(self.norm_mha(x), positions, masks, state))
        y: Tensor = x + self.dropout(self.feed_forward(self.norm_ff(x)))
        return y
