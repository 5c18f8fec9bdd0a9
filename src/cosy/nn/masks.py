"""Who may see whom: the only place where attention and padding masks are built.

Letters: B batch, T positions (tokens or frames), K keys.  Positions and chunk borders are absolute, counted
from the first prompt position.  A mask that would hide nothing is None, and every layer then skips it.
Source: CosyVoice 2, section 2.5 (chunk-aware flow matching).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Masks:
    """What is hidden in one batch."""

    valid: Tensor | None  # [B, T, 1] bool, True where a position is not padding
    attention: Tensor | None  # [B or 1, 1, T, T] bool, True where query (row) may see key (column)
    window: Window | None = None  # of a piece of a stream; then `attention` is [B, 1, 1 or T, K] over the keys kept

    @cached_property
    def hidden(self) -> tuple[int, Tensor]:
        """The first key that somebody does not see, and from there on `attention` the other way round."""
        assert self.attention is not None
        seen_by_all = self.attention.flatten(0, -2).all(0)
        first = int(seen_by_all.int().argmin())
        return first, ~self.attention[..., first:]


@dataclass(frozen=True)
class Layout:
    """Which positions of a stream are kept: the first `first` for ever and, of those after them, the last `last`."""

    first: int
    last: int = 0

    @property
    def size(self) -> int:
        return self.first + self.last

    def times(self, rate: int) -> Layout:
        """The same at another rate."""
        return Layout(rate * self.first, rate * self.last)

    def slots(self, positions: Tensor) -> Tensor:
        """The slot of each position; later ones take the place of earlier ones, in turn."""
        if not self.last:
            return positions
        return torch.where(positions < self.first, positions, self.first + (positions - self.first) % self.last)

    def held(self, ends: Tensor) -> Tensor:
        """[B] numbers of positions so far -> [B, size] position in each slot, -1: none yet."""
        slot, ends = torch.arange(self.size, device=ends.device), ends[:, None]
        newest = slot.expand(len(ends), -1)
        if self.last:
            newest = torch.where(slot < self.first, slot, ends - 1 - (ends - 1 - slot) % self.last)
        return torch.where((newest >= slot) & (newest < ends), newest, -1)


@dataclass(frozen=True)
class Window:
    """Where a piece of each of B streams goes and what it sees: the same for every layer of one rate."""

    rows: Tensor  # [B] int64: the rows of the state that these streams are
    all_rows: bool  # every row of the state, in order
    counts: Tensor | None  # [B] positions of the piece that count, None: all T
    positions: Tensor  # [B, T] absolute
    slots: Tensor  # [B, T] where keys and values are stored
    span: slice | None  # the same, where all rows of the state store at once and in one place
    held: Tensor  # [B, K] absolute position of each key to look at, -1: none

    @cached_property
    def offsets(self) -> Tensor:
        """[B, T, K]: query minus key position."""
        return self.positions[:, :, None] - self.held[:, None]


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


def stream_masks(
    rows: Tensor, batch: int, starts: Tensor, counts: Tensor, size: int, layout: Layout, chunk: int | None = None
) -> Masks:
    """Masks of the next positions of each of some streams, which stand at the start of an attention chunk.

    `rows` [B] of a state with `batch` rows stand at `starts` [B] and advance by `counts` [B] <= `size` positions.
    `chunk`: positions of a chunk, if these may be more than one, which a layout that forgets has no room for.  In one
    chunk, everything kept is in the same or an earlier one, so only empty slots are hidden.
    """
    steps = torch.arange(size, device=rows.device)
    positions, ends = starts[:, None] + steps, starts + counts
    counted = steps < counts[:, None]
    held = layout.held(ends)[:, : int(ends.max())]
    seen = (held >= 0)[:, None]
    if chunk is not None and size > chunk:
        assert not layout.last, "later chunks would take the places of what earlier ones see"
        seen = seen & (held[:, None] // chunk <= positions[:, :, None] // chunk)
    slots = torch.where(counted, layout.slots(positions), layout.size)  # the spare slot takes the padding
    first = int(slots[0, 0])
    together = len(rows) == batch and bool((slots == first + steps).all())
    window = Window(
        rows=rows,
        all_rows=len(rows) == batch,
        counts=None if bool(counted.all()) else counts,
        positions=positions,
        slots=slots,
        span=slice(first, first + size) if together else None,
        held=held,
    )
    return Masks(None, None if bool(seen.all()) else seen[:, None], window)


def zero_padding(x: Tensor, valid: Tensor | None) -> Tensor:
    """`x` [B, T, C] with padded positions set to zero."""
    return x if valid is None else x * valid


NOTHING_HIDDEN = Masks(None, None)
