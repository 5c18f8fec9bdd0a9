"""Streaming state: the seam that every incremental layer keeps to.

A layer that streams owns a dataclass of preallocated tensors, made by `init_state(batch, capacity)`
and passed to `forward(x, state)`.  Nothing about a request is ever an attribute of a module.

Rules:
- the first axis of every tensor is the batch row; rows advance independently;
- positions are integer tensors of shape (batch,), so a captured graph can read them;
- `reset(rows)` returns rows to the state of `init_state`; `clone()` copies everything, so a voice's
  prompt state can be the start of many requests; `select(rows)` gathers rows (admission, fan-out).
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

import torch
from torch import Tensor

S = TypeVar("S", bound="State")


@dataclasses.dataclass
class State:
    """Base of all streaming states: fields are tensors, nested states, or lists of states."""

    def _map(self: S, f: Any) -> S:
        # A state has some hundred tensors and is walked for every chunk of audio, so this is kept lean.
        return type(self)(*[_walk(value, f) for value in self.__dict__.values()])

    def clone(self: S) -> S:
        """An independent copy."""
        return self._map(torch.clone)

    def select(self: S, rows: Tensor) -> S:
        """A new state made of the given rows (int64), in that order; rows may repeat."""
        return self._map(lambda t: t.index_select(0, rows))

    def rows(self: S, first: int, end: int) -> S:
        """A view of rows first .. end - 1: what is written there is written here."""
        return self._map(lambda t: t[first:end])

    def write(self: S, rows: Tensor, part: S) -> None:
        """Write the rows of `part` to the given rows, in place: the inverse of `select`."""
        for whole, piece in zip(self.tensors(), part.tensors(), strict=True):
            whole.index_copy_(0, rows, piece)

    def reset(self, rows: Tensor) -> None:
        """Zero the given rows in place: zeros are the start of every layer here."""
        self._map(lambda t: t.index_fill_(0, rows, 0))

    @property
    def bytes(self) -> int:
        """Memory of all tensors, for admission control."""
        return sum(t.numel() * t.element_size() for t in self.tensors())

    def tensors(self) -> list[Tensor]:
        """Every tensor, nested ones too, in the order of the fields."""
        found: list[Tensor] = []

        def add(t: Tensor) -> Tensor:
            found.append(t)
            return t

        self._map(add)
        return found


def _walk(value: Any, f: Any) -> Any:
    if isinstance(value, Tensor):
        return f(value)
    if isinstance(value, State):
        return value._map(f)
    if isinstance(value, (list, tuple)):
        return type(value)([_walk(each, f) for each in value])
    return value
