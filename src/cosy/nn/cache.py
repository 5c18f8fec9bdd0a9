"""Keys and values that attention over a stream keeps.

Letters: B batch, H heads, T new positions, K keys, d head size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cosy.nn.masks import Window
from cosy.nn.state import State


@dataclass
class KeyValues(State):
    """One layer's keys and values, in slots that a `Layout` assigns; one spare slot takes what padding writes."""

    k: Tensor  # (B, H, slots + 1, d)
    v: Tensor  # (B, H, slots + 1, d)

    @classmethod
    def empty(
        cls, like: Tensor, batch: int, heads: int, slots: int, head_size: int, dtype: torch.dtype | None
    ) -> KeyValues:
        """Zeros on the device of `like`, in its precision unless `dtype` is given."""
        shape = (batch, heads, slots + 1, head_size)
        return cls(like.new_zeros(shape, dtype=dtype), like.new_zeros(shape, dtype=dtype))

    def extend(self, k: Tensor, v: Tensor, window: Window | None) -> tuple[Tensor, Tensor]:
        """Keep new keys and values [B, H, T, d]; returns all that are to be looked at, [B, H, K, d]."""
        assert window is not None, "a state needs the window of its piece"
        return _extend(self.k, k, window), _extend(self.v, v, window)


def _extend(kept: Tensor, new: Tensor, window: Window) -> Tensor:
    if window.span is not None:
        kept[:, :, window.span] = new
    else:
        kept[window.rows[:, None], :, window.slots] = new.transpose(1, 2).to(kept.dtype)  # (B, H, T, d) -> (B, T, H, d)
    seen = kept[:, :, : window.held.shape[1]]
    return (seen if window.all_rows else seen[window.rows]).to(new.dtype)
