from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from cosy.train import ranks
from cosy.train.buckets import Buckets, batches

LENGTHS = np.random.default_rng(0).integers(5, 200, size=97).tolist()
BUDGET = 600


def drawn(seed: int = 0) -> list[list[int]]:
    return list(batches(LENGTHS, BUDGET, np.random.default_rng(seed)))


def buckets() -> Buckets[int]:
    return Buckets(lambda rng: (range(len(LENGTHS)), LENGTHS), BUDGET)


def test_every_index_comes_once() -> None:
    assert Counter(i for row in drawn() for i in row) == Counter(range(len(LENGTHS)))


def test_no_padded_batch_exceeds_the_budget() -> None:
    assert all(len(row) * max(LENGTHS[i] for i in row) <= BUDGET for row in drawn())


def test_lengths_within_a_batch_are_alike() -> None:
    padded = sum(len(row) * max(LENGTHS[i] for i in row) for row in drawn())
    assert padded < 1.1 * sum(LENGTHS)


def test_an_item_beyond_the_budget_is_alone() -> None:
    assert [0] in list(batches([50, 3, 4], 10, np.random.default_rng(0)))


def test_batches_follow_the_generator() -> None:
    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


def test_an_epoch_follows_the_other_in_another_order() -> None:
    source, rng = buckets(), np.random.default_rng(0)
    epochs: list[list[list[int]]] = []
    for _ in range(2):
        rows = [source.draw(rng)]
        while source._left:
            rows.append(source.draw(rng))
        epochs.append(rows)
        assert Counter(i for row in rows for i in row) == Counter(range(len(LENGTHS)))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("taken", [0, 1, 7, len(drawn())])
def test_a_restored_epoch_goes_on_where_it_was(taken: int) -> None:
    source, rng = buckets(), np.random.default_rng(0)
    for _ in range(taken):
        source.draw(rng)
    state, chance = source.state(), rng.bit_generator.state
    expected = [source.draw(rng) for _ in range(40)]
    again, rng = buckets(), np.random.default_rng(9)
    again.restore(state)
    rng.bit_generator.state = chance
    assert [again.draw(rng) for _ in range(40)] == expected


def test_processes_share_the_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "size", lambda: 2)
    seen: list[int] = []
    for rank in (0, 1):
        monkeypatch.setattr(ranks, "rank", lambda rank=rank: rank)
        seen += [i for row in buckets()._epoch() for i in row]
    assert Counter(seen) == Counter(range(len(LENGTHS)))
