"""Batches of like length: every item once an epoch, each batch limited by its padded size.

An epoch is planned as a whole by chance of its own, of which only the seed is remembered, so that a run can go on in
the middle of it.  Each of several processes plans for its own share of the items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from cosy.train import ranks

Item = TypeVar("Item")


def batches(lengths: Sequence[int], budget: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Indices of like length: every one once, the longest times their number at most `budget`, in random order.

    An index that exceeds the budget is a batch of its own.
    """
    shuffled = rng.permutation(len(lengths))
    order = shuffled[np.argsort(np.asarray(lengths)[shuffled], kind="stable")]  # like lengths meet by chance
    found: list[list[int]] = []
    row: list[int] = []
    for index in order.tolist():
        if row and (len(row) + 1) * lengths[index] > budget:
            found.append(row)
            row = []
        row.append(index)
    if row:
        found.append(row)
    return (found[i] for i in rng.permutation(len(found)))


@dataclass
class Buckets(Generic[Item]):
    """Draws batches of what `plan` lists: the items of an epoch and their lengths, by the generator it is given."""

    plan: Callable[[np.random.Generator], tuple[Sequence[Item], Sequence[int]]]
    budget: int
    seed: int = 0
    taken: int = 0  # batches of the present epoch
    _left: list[list[Item]] = field(default_factory=list, repr=False)

    def draw(self, rng: np.random.Generator) -> list[Item]:
        """The next batch; `rng` gives the seed where a new epoch begins."""
        if not self._left:
            self.seed, self.taken = int(rng.integers(2**31)), 0
            self._left = self._epoch()
        self.taken += 1
        return self._left.pop()

    def _epoch(self) -> list[list[Item]]:
        rng = np.random.default_rng(self.seed)
        items, lengths = self.plan(rng)
        own = range(ranks.rank(), len(items), ranks.size()) if len(items) >= ranks.size() else range(len(items))
        mine = [[items[own[i]] for i in row] for row in batches([lengths[i] for i in own], self.budget, rng)]
        assert mine, "there is nothing to draw from"
        return mine[::-1]

    def state(self) -> dict[str, int]:
        return {"seed": self.seed, "taken": self.taken}

    def restore(self, state: dict[str, int]) -> None:
        self.seed, self.taken = state["seed"], state["taken"]
        left = self._epoch() if self.taken else []
        self._left = left[: len(left) - self.taken]
