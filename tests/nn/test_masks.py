"""Masks say who may see whom, and are absent where nothing is hidden."""

from __future__ import annotations

import pytest
import torch

from cosy.nn.masks import build_masks, chunk_mask, valid_positions, zero_padding


@pytest.mark.parametrize(("size", "chunk"), [(1, 3), (7, 3), (9, 3), (10, 1)])
def test_a_query_sees_its_own_and_earlier_chunks(size: int, chunk: int) -> None:
    mask = chunk_mask(size, chunk)
    assert all(bool(mask[i, j]) == (j // chunk <= i // chunk) for i in range(size) for j in range(size))


def test_valid_positions_are_those_below_the_length() -> None:
    assert valid_positions(torch.tensor([0, 2, 3]), 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_nothing_hidden_means_no_masks() -> None:
    masks = build_masks(9)
    assert masks.valid is None
    assert masks.attention is None
    assert build_masks(5, chunk=5).attention is None


def test_padded_keys_and_later_chunks_are_both_hidden() -> None:
    masks = build_masks(4, torch.tensor([4, 3]), chunk=2)
    assert masks.valid is not None
    assert masks.attention is not None
    assert masks.valid[:, :, 0].tolist() == [[True] * 4, [True, True, True, False]]
    assert masks.attention[1, 0].int().tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0]]


def test_zero_padding_leaves_valid_positions_alone() -> None:
    x = torch.randn(2, 3, 4)
    valid = valid_positions(torch.tensor([3, 1]), 3)[:, :, None]
    assert zero_padding(x, None) is x
    assert torch.equal(zero_padding(x, valid)[0], x[0])
    assert not zero_padding(x, valid)[1, 1:].any()
