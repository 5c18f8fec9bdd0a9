from __future__ import annotations

import pytest
import torch
from torch import nn

from cosy.train.assemble import start_from
from cosy.train.shared_rows import digits, fold, share


def test_nothing_is_shared_at_first_and_rows_without_features_never() -> None:
    table = nn.Embedding(6564, 8)
    before = table.weight.detach().clone()
    share(table, digits(6564))
    assert torch.equal(table.weight, before)
    optimizer = torch.optim.Adam(table.parametrizations.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        (table(torch.tensor([0, 1])) - 1).square().mean().backward()
        optimizer.step()
    assert not torch.equal(table.weight[2], before[2])
    assert torch.equal(table.weight[6561:], before[6561:])


def test_digits_carry_over_to_tokens_never_seen() -> None:
    table = nn.Embedding(6561, 8)
    share(table, digits(6561))
    one, others = torch.tensor([[0]]), torch.tensor([[6560], [1]])  # in all digits another than `one`, and in one
    before = table(others).detach()
    optimizer = torch.optim.Adam(table.parameters(), 1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        (table(one) - 1).square().mean().backward()
        optimizer.step()
    far, near = (table(others).detach() - before).flatten(1).norm(dim=1)
    assert near > 2 * far


@pytest.mark.parametrize("table", [nn.Embedding(6564, 8), nn.Linear(8, 6564)])
def test_a_folded_table_is_plain_and_says_the_same(table: nn.Embedding | nn.Linear) -> None:
    names = set(table.state_dict())
    share(table, digits(6564))
    nn.init.normal_(table.parametrizations["weight"][0].said[-1].weight)  # type: ignore[index, arg-type]
    said = table.weight.detach().clone()
    fold(table)
    assert set(table.state_dict()) == names
    assert torch.equal(table.weight, said)


@pytest.mark.parametrize("shared_before", [False, True])
def test_a_shared_table_starts_from_a_plain_and_from_a_shared_one(shared_before: bool) -> None:
    before, after = nn.Embedding(6564, 8), nn.Embedding(6564, 8)
    plain = before.weight.detach().clone()
    share(after, digits(6564))
    if shared_before:
        share(before, digits(6564))
        with torch.no_grad():
            before.parametrizations.weight[0].said[2].weight.fill_(0.1)
    left = start_from(after, before.state_dict())
    assert all(".said." in name for name in left)
    assert bool(left) != shared_before
    assert torch.equal(after.parametrizations.weight.original, plain)
    if shared_before:
        assert torch.equal(after.weight, before.weight)
