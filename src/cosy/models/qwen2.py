"""Qwen2, the decoder-only transformer under the language model (Qwen2 Technical Report, section 2.2).

It maps embeddings to normalised hidden states and knows neither text nor speech: tables, ids and
heads are `speech_lm`'s, except the text table, which the checkpoint keeps here.

Letters: B rows, T new positions, S positions attended to, D width, H query heads, K key/value heads,
G = H / K query heads per key/value head, d head size.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.config import Qwen2Config
from cosy.errors import ParameterError
from cosy.nn.state import State


class Window(NamedTuple):
    """Where the new positions of one call go and what they attend to: the same for every layer."""

    slots: slice | Tensor  # to write; a slice where all rows agree, otherwise (B, T)
    positions: slice | Tensor  # for the rotation, likewise
    end: int  # slots attended to
    mask: Tensor | None  # (B or 1, 1, G * T, end), True where attended to; None: everything, or `causal`
    causal: bool = False  # the cache was empty: plain causal attention over the new positions


@dataclass
class KVCache(State):
    """Keys and values of all layers, and how many of them each row holds.

    One slot beyond the capacity takes what padding writes, so that no index depends on a row's length.
    """

    k: list[Tensor]  # per layer (B, K, capacity + 1, d)
    v: list[Tensor]  # per layer (B, K, capacity + 1, d)
    length: Tensor  # (B,) int64

    @property
    def capacity(self) -> int:
        """Positions a row can hold."""
        return self.k[0].shape[2] - 1

    def grown(self, capacity: int) -> KVCache:
        """A copy with room for `capacity` positions."""

        def wider(old: Tensor) -> Tensor:
            new = old.new_zeros(*old.shape[:2], capacity + 1, old.shape[3])
            new[:, :, : self.capacity] = old[:, :, :-1]
            return new

        return KVCache([wider(k) for k in self.k], [wider(v) for v in self.v], self.length.clone())

    def window(self, T: int, lengths: Tensor | None, groups: int) -> Window:
        """Place `T` new positions, of which `lengths` (B,) count (None: all)."""
        on_host = self.length.device.type == "cpu"  # there a length is free to read; a GPU would have to finish first
        if on_host:
            longest = int((self.length + (T if lengths is None else lengths)).max())
            assert longest <= self.capacity, f"{longest} positions do not fit a cache of {self.capacity}"
            if lengths is None and int(self.length.min()) + T == longest:
                return self._aligned(longest - T, longest, groups)
        steps = torch.arange(T, device=self.length.device)
        positions = self.length[:, None] + steps
        kept = positions < self.capacity
        if lengths is not None:
            kept = kept & (steps < lengths[:, None])
        slots = torch.where(kept, positions, self.capacity)
        end = min(int(self.length.max()) + T, self.capacity) if on_host else self.capacity
        return Window(slots, positions.clamp(max=self.capacity - 1), end, self._mask(positions, end, groups))

    def _aligned(self, start: int, end: int, groups: int) -> Window:
        """All rows continue at `start`: slices instead of indices, and no mask where none is needed."""
        span = slice(start, end)
        if start == 0:
            return Window(span, span, end, None, causal=True)
        if end - start == 1:
            return Window(span, span, end, None)
        positions = torch.arange(start, end, device=self.length.device)[None]
        return Window(span, span, end, self._mask(positions, end, groups))

    @staticmethod
    def _mask(positions: Tensor, end: int, groups: int) -> Tensor:
        allowed = torch.arange(end, device=positions.device) <= positions[..., None]  # (B, T, end)
        return allowed.repeat(1, groups, 1)[:, None]


class Qwen2Output(NamedTuple):
    """What the backbone returns."""

    hidden: Tensor  # (B, T, D), after the final norm
    attention: dict[int, Tensor]  # layer -> float32 probabilities (B, H, T, T), of the layers asked for


class RMSNorm(nn.Module):
    """Root-mean-square norm with float32 statistics."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        h = x.float()
        h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * h.type_as(x)


def rotary_tables(positions: int, size: int, theta: float) -> tuple[Tensor, Tensor]:
    """Cosine and signed sine, each (positions, 1, size), for `rotate`."""
    frequency = theta ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
    angle = torch.arange(positions, dtype=torch.float32)[:, None, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    return torch.cat([cos, cos], -1), torch.cat([-sin, sin], -1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding, half-split form: halves [a, b] become [a cos - b sin, b cos + a sin]."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin).type_as(x)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """q (B, H, T, d) over k, v (B, K, S, d), softmax in float32 -> (B, H, T, d)."""
    if causal:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    grouped = q.reshape(*k.shape[:2], -1, q.shape[3])  # heads sharing keys follow one another: no key is repeated
    return F.scaled_dot_product_attention(grouped, k.type_as(q), v.type_as(q), attn_mask=mask).view_as(q)


def attend_openly(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Causal attention that also returns its probabilities (B, H, T, T), float32."""
    T, groups = q.shape[2], q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.mT).float() * q.shape[3] ** -0.5
    probs = scores.masked_fill(future, -torch.inf).softmax(-1)
    return probs.type_as(v) @ v, probs


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = config.num_attention_heads, config.num_key_value_heads, config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, self.heads * self.size)
        self.k_proj = nn.Linear(config.hidden_size, self.kv_heads * self.size)
        self.v_proj = nn.Linear(config.hidden_size, self.kv_heads * self.size)
        self.o_proj = nn.Linear(self.heads * self.size, config.hidden_size, bias=False)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor] | None,
        window: Window | None,
        openly: bool,
    ) -> tuple[Tensor, Tensor | None]:
        """x (B, T, D) -> the same, and the probabilities if `openly`."""
        B, T, _ = x.shape
        both = torch.cat([self.q_proj(x), self.k_proj(x)], -1).view(B, T, -1, self.size)  # rotated in one go
        both = rotate(both, *rotary)
        q, k = both[:, :, : self.heads], both[:, :, self.heads :]  # (B, T, H or K, d)
        v = self.v_proj(x).view(B, T, self.kv_heads, self.size)
        q, probs = q.transpose(1, 2), None  # (B, T, H, d) -> (B, H, T, d)
        if openly:
            y, probs = attend_openly(q, k.transpose(1, 2), v.transpose(1, 2))
        elif cache is None or window is None:
            y = attend(q, k.transpose(1, 2), v.transpose(1, 2), None, causal=True)
        else:
            y = attend(q, _store(cache[0], k, window), _store(cache[1], v, window), window.mask, window.causal)
        return self.o_proj(y.transpose(1, 2).reshape(B, T, -1)), probs


def _store(cache: Tensor, new: Tensor, window: Window) -> Tensor:
    """Write `new` (B, T, K, d) into `cache` (B, K, slots, d); returns what is attended to."""
    if isinstance(window.slots, slice):
        cache[:, :, window.slots] = new.transpose(1, 2)
    else:
        rows = torch.arange(len(cache), device=cache.device)[:, None]
        cache[rows, :, window.slots] = new.type_as(cache)
    return new.transpose(1, 2) if window.causal else cache[:, :, : window.end]


class MLP(nn.Module):
    """SiLU-gated feed-forward."""

    def __init__(self, size: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(size, inner, bias=False)
        self.up_proj = nn.Linear(size, inner, bias=False)
        self.down_proj = nn.Linear(inner, size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return y


class Layer(nn.Module):
    """Pre-norm residual block."""

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config.hidden_size, config.intermediate_size)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor] | None,
        window: Window | None,
        openly: bool,
    ) -> tuple[Tensor, Tensor | None]:
        y, probs = self.self_attn(self.input_layernorm(x), rotary, cache, window, openly)
        x = x + y
        return x + self.mlp(self.post_attention_layernorm(x)), probs


class Qwen2(nn.Module):
    """The backbone, with the text embedding it is published with."""

    cos: Tensor  # (max positions, 1, d)
    sin: Tensor

    def __init__(self, config: Qwen2Config) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        cos, sin = rotary_tables(config.max_position_embeddings, config.head_dim, config.rope_theta)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def init_state(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for `batch` rows of up to `capacity` positions.

        Raises ParameterError beyond the positions the model knows.
        """
        self._check_positions(capacity)
        config, like = self.config, self.norm.weight
        shape = (batch, config.num_key_value_heads, capacity + 1, config.head_dim)
        return KVCache(
            k=[like.new_zeros(shape, requires_grad=False) for _ in self.layers],
            v=[like.new_zeros(shape, requires_grad=False) for _ in self.layers],
            length=torch.zeros(batch, dtype=torch.long, device=like.device),
        )

    def forward(
        self,
        x: Tensor,
        state: KVCache | None = None,
        lengths: Tensor | None = None,
        attention_layers: Collection[int] = (),
    ) -> Qwen2Output:
        """Hidden states of embeddings x (B, T, D), continuing `state` if given, which advances in place.

        Rows are padded on the right: of row b the first lengths[b] positions count (None: all) and only
        they enter the state; hidden states beyond them mean nothing.  Causality already keeps padding
        from what comes before it, so without a state `lengths` changes nothing.
        `attention_layers` names layers whose attention probabilities are wanted (without a state only).
        Raises ParameterError if T exceeds the positions the model knows.
        """
        assert state is None or not attention_layers, "attention probabilities are for whole sequences"
        T = x.shape[1]
        self._check_positions(T)
        groups = self.config.num_attention_heads // self.config.num_key_value_heads
        window = None if state is None else state.window(T, lengths, groups)
        places = slice(T) if window is None else window.positions
        rotary = self.cos[places], self.sin[places]
        attention: dict[int, Tensor] = {}
        for i, layer in enumerate(self.layers):
            cache = None if state is None else (state.k[i], state.v[i])
            x, probs = layer(x, rotary, cache, window, i in attention_layers)
            if probs is not None:
                attention[i] = probs
        if state is not None:
            state.length += T if lengths is None else lengths
        return Qwen2Output(self.norm(x), attention)

    def _check_positions(self, wanted: int) -> None:
        limit = self.config.max_position_embeddings
        if wanted > limit:
            raise ParameterError(f"{wanted} positions asked for, the language model knows {limit}: shorten the input")
