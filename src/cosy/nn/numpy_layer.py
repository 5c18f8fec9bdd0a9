"""Layers of a decoder in NumPy, because a token has few numbers and many calls.

PyTorch spends some 10 microseconds on a call, NumPy one or two: with layers 192 wide a token takes a fifth of the
time, and between products in integers, which stay PyTorch's, a third of it is saved (docs/design/0003-precision.md).
`NumpyLayer` stands in for a layer of `models.qwen2` on the CPU, reads and writes the same cache, and is for inference
only.

Letters: B rows, T new positions, S positions attended to, D width, H query heads, K key/value heads, G = H / K,
d head size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cosy.nn.packed import ZERO, Int8Linear

Array = NDArray[np.floating[Any]]
Product = Callable[[Array], Array]  # (..., K) -> (..., N)


TINY = np.float32(1e-30)


class Window(Protocol):
    """Where new positions go and what they attend to: `models.qwen2.Window`."""

    slots: Any
    end: int
    mask: Tensor | None
    causal: bool


class Product32:
    """x W^T in float32."""

    def __init__(self, weight: Tensor) -> None:
        self.columns = np.ascontiguousarray(weight.detach().float().numpy().T)

    def __call__(self, x: Array) -> Array:
        y: Array = x @ self.columns
        return y


class Product8:
    """x W^T in integers, see `Int8Linear`."""

    def __init__(self, weight: Tensor) -> None:
        self.linear = Int8Linear(weight, None)

    def __call__(self, x: Array) -> Array:
        step = np.maximum(np.maximum.reduce(np.abs(x), -1, keepdims=True), TINY) / 127
        integers = (x / step + (ZERO + 0.5)).astype(np.uint8)
        y: Array = self.linear.sums(torch.from_numpy(integers)).numpy()
        y *= step
        return y


class NumpyLinear(nn.Module):
    """x W^T + b on the CPU, (..., K) -> (..., N)."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.product, self.bias = Product32(layer.weight), layer.bias.detach().float().numpy()

    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(self.product(x.float().numpy()) + self.bias)


class NumpyLayer(nn.Module):
    """Pre-norm grouped-query attention with rotary positions, then a SiLU-gated feed-forward layer."""

    def __init__(self, layer: nn.Module, product: Callable[[Tensor], Product] = Product32) -> None:
        """Takes the weights of a `models.qwen2.Layer`; the norms' gains go into the products after them."""
        super().__init__()
        attention: Any = layer.self_attn
        mlp: Any = layer.mlp
        norms: list[Any] = [layer.input_layernorm, layer.post_attention_layernorm]
        self.heads, self.kv_heads, self.size = attention.heads, attention.kv_heads, attention.size
        self.eps, self.scale = np.float32(norms[0].eps), np.float32(self.size**-0.5)
        projections = attention.q_proj, attention.k_proj, attention.v_proj
        self.qkv = product(torch.cat([p.weight for p in projections]) * norms[0].weight)
        self.bias = torch.cat([p.bias for p in projections]).detach().float().numpy()
        self.out = product(attention.o_proj.weight)
        self.gate_up = product(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]) * norms[1].weight)
        self.down = product(mlp.down_proj.weight)
        self.inner = mlp.gate_proj.out_features

    def forward(
        self, x: Tensor, rotary: tuple[Tensor, Tensor], cache: tuple[Tensor, Tensor], window: Window, openly: bool
    ) -> tuple[Tensor, None]:
        """x (B, T, D) -> the same; there are no probabilities to return."""
        assert not openly, "attention probabilities are for training"
        h = x.numpy()
        h = h + self.attend(normed(h, self.eps), rotary, cache, window)
        inner = self.gate_up(normed(h, self.eps))
        gate, up = inner[..., : self.inner], inner[..., self.inner :]
        return torch.from_numpy(h + self.down(silu(gate) * up)), None

    def attend(self, x: Array, rotary: tuple[Tensor, Tensor], cache: tuple[Tensor, Tensor], window: Window) -> Array:
        (B, T, _), H, K, d = x.shape, self.heads, self.kv_heads, self.size
        qkv = (self.qkv(x) + self.bias).reshape(B, T, H + 2 * K, d)
        turned = rotated(qkv[:, :, : H + K], *(table.numpy() for table in rotary))
        k = _store(cache[0].numpy(), turned[:, :, H:], window)
        v = _store(cache[1].numpy(), qkv[:, :, H + K :], window)
        q = turned[:, :, :H].swapaxes(1, 2).reshape(B, K, -1, d)  # (B, K, G T, d)
        scores = q @ k.swapaxes(2, 3) * self.scale
        if window.causal and T > 1:
            scores += np.tile(np.triu(np.full((T, T), -np.inf, dtype=np.float32), 1), (H // K, 1))
        elif window.mask is not None:
            scores[~np.broadcast_to(window.mask.numpy(), scores.shape)] = -np.inf
        y = (softmax(scores) @ v).reshape(B, H, T, d)
        return self.out(y.swapaxes(1, 2).reshape(B, T, -1))


def normed(x: Array, eps: np.float32) -> Array:
    """Root-mean-square norm without gains."""
    squares: Array = np.add.reduce(x * x, -1, keepdims=True)
    y: Array = x / np.sqrt(squares / np.float32(x.shape[-1]) + eps)
    return y


def silu(x: Array) -> Array:
    """x sigmoid(x), by way of tanh, which does not overflow."""
    half = x * np.float32(0.5)
    y: Array = half * np.tanh(half) + half
    return y


def rotated(x: Array, cos: Array, sin: Array) -> Array:
    """Rotary embedding with a signed sine: `models.qwen2.rotate`."""
    half = x.shape[-1] // 2
    return x * cos + np.concatenate([x[..., half:], x[..., :half]], -1) * sin


def softmax(x: Array) -> Array:
    """Over the last axis, in place."""
    x -= np.maximum.reduce(x, -1, keepdims=True)
    np.exp(x, out=x)
    x /= np.add.reduce(x, -1, keepdims=True)
    return x


def _store(cache: Array, new: Array, window: Window) -> Array:
    """Write `new` (B, T, K, d) into `cache` (B, K, slots, d); returns what is attended to."""
    if isinstance(window.slots, slice):
        cache[:, :, window.slots] = new.swapaxes(1, 2)
    else:
        cache[np.arange(len(cache))[:, None], :, window.slots.numpy()] = new
    return cache[:, :, : window.end]
