"""Who may see whom: the only place where attention and padding masks are built.

Letters: B batch, T positions (tokens or frames).  Positions and chunk borders are absolute, counted
from the first prompt position.  A mask that would hide nothing is None, and every layer then skips it.
Source: CosyVoice 2, section 2.5 (chunk-aware flow matching).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Masks:
    """What is hidden in one batch."""

    valid: Tensor | None  # [B, T, 1] bool, True where a position is not padding
    attention: Tensor | None  # [B or 1, 1, T, T] bool, True where query (row) may see key (column)


def valid_positions(lengths: Tensor, size: int) -> Tensor:
    """[B] lengths -> [B, size] bool, True below each length."""
    return torch.arange(size, device=lengths.device) < lengths[:, None]


def chunk_mask(size: int, chunk: int, device: torch.device | None = None) -> Tensor:
    """[size, size] bool: a query sees all keys of its own and of every earlier chunk."""
    block = torch.arange(size, device=device) // chunk
    return block[None, :] <= block[:, None]


def build_masks(
    size: int, lengths: Tensor | None = None, chunk: int | None = None, device: torch.device | None = None
) -> Masks:
    """The masks of a batch of `size` positions; `lengths` None: no padding, `chunk` None: full attention."""
    blocks = None if chunk is None or size <= chunk else chunk_mask(size, chunk, device)[None, None]
    if lengths is None:
        return Masks(None, blocks)
    valid = valid_positions(lengths, size)
    keys = valid[:, None, None, :]
    return Masks(valid[:, :, None], keys if blocks is None else keys & blocks)


def zero_padding(x: Tensor, valid: Tensor | None) -> Tensor:
    """`x` [B, T, C] with padded positions set to zero."""
    return x if valid is None else x * valid
