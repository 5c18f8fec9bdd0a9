"""One-dimensional convolutions over time-major tensors.

Letters: B batch, T positions, C channels, k kernel size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.nn.masks import Window
from cosy.nn.state import State


@dataclass
class Context(State):
    """The positions just before the next piece of a stream; zeros at its start."""

    left: Tensor  # (B, k-1, C)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """[B, T, C] with weight [C', C, k] -> [B, T-k+1, C']; no padding.

    One matrix product over windows of k positions: nothing is transposed, and for the short kernels used
    here a training step on a CPU is about a tenth faster than with the library's convolution.
    """
    k = weight.shape[-1]
    size = x.shape[1] - k + 1
    windows = x if k == 1 else torch.cat([x[:, i : i + size] for i in range(k)], dim=-1)
    return F.linear(windows, weight.transpose(1, 2).flatten(1), bias)


@runtime_checkable
class Windowed(Protocol):
    """A layer that can do without `convolve` and its kernel (see `cosy.nn.precision`)."""

    def kernel(self) -> tuple[Tensor, Tensor]:
        """Weight and bias for `convolve`."""
        ...

    def replace(self, product: nn.Module) -> None:
        """From now on, `product` maps [B, T, C] -> [B, T-k+1, C']; the kernel is not kept."""
        ...


class Conv1d(nn.Conv1d):
    """Convolution without padding: [B, T, C] -> [B, T-k+1, C']."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self.product: nn.Module | None = None

    def kernel(self) -> tuple[Tensor, Tensor]:
        assert self.bias is not None
        return self.weight, self.bias

    def replace(self, product: nn.Module) -> None:
        self.product = product
        del self.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = convolve(x, *self.kernel()) if self.product is None else self.product(x)
        return y


class CausalConv1d(Conv1d):
    """Convolution that sees the present and k-1 past positions: [B, T, C] -> [B, T, C']."""

    def forward(self, x: Tensor, left: Tensor | None = None) -> Tensor:
        """`left` [B, k-1, C]: what came before `x`; None: the start, where zeros stand."""
        return super().forward(extend_left(x, self.kernel_size[0] - 1, left))

    def init_state(self, batch: int) -> Context:
        return context(self, batch, self.kernel_size[0] - 1)


def extend_left(x: Tensor, size: int, left: Tensor | None = None) -> Tensor:
    """`x` [B, T, C] with `size` positions put before it: `left`, or zeros."""
    if left is None:
        return F.pad(x, (0, 0, size, 0))
    assert left.shape[1] == size, f"left context has {left.shape[1]} positions, needs {size}"
    return torch.cat([left, x], dim=1)


def context(conv: nn.Conv1d, batch: int, size: int) -> Context:
    """The start of `batch` streams of inputs of `conv`, of which it needs `size` past positions."""
    assert conv.bias is not None
    return Context(conv.bias.new_zeros(batch, size, conv.in_channels))


def carry(state: Context | None, x: Tensor, window: Window | None) -> Tensor | None:
    """What came before the piece `x` [B, T, C] of its streams, whose end is kept for the next one.

    None without a state: `x` is a whole sequence.
    """
    if state is None:
        return None
    assert window is not None, "a state needs the window of its piece"
    before = state.left.clone() if window.all_rows else state.left[window.rows]
    size = before.shape[1]
    if window.counts is None:
        last = x[:, -size:] if x.shape[1] >= size else torch.cat([before, x], dim=1)[:, -size:]
    else:
        places = window.counts[:, None] + torch.arange(size, device=x.device)
        last = torch.cat([before, x], dim=1)[torch.arange(len(x), device=x.device)[:, None], places]
    if window.all_rows:
        state.left.copy_(last)
    else:
        state.left[window.rows] = last
    return before
