"""Masks say who may see whom, and are absent where nothing is hidden."""

from __future__ import annotations

import pytest
import torch

from cosy.nn.masks import Layout, build_masks, chunk_mask, stream_masks, valid_positions, zero_padding


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


@pytest.mark.parametrize("layout", [Layout(12), Layout(3, 4), Layout(0, 5)])
def test_a_layout_knows_which_position_each_slot_holds(layout: Layout) -> None:
    slots: dict[int, int] = {}
    for position in range(12):
        slots[int(layout.slots(torch.tensor(position)))] = position
        held = layout.held(torch.tensor([position + 1]))[0].tolist()
        assert held == [slots.get(slot, -1) for slot in range(layout.size)]
    assert layout.times(2) == Layout(2 * layout.first, 2 * layout.last)


def test_a_piece_of_a_stream_sees_all_that_its_row_holds() -> None:
    masks = stream_masks(torch.tensor([2, 0]), 3, torch.tensor([4, 0]), torch.tensor([2, 1]), 2, Layout(8))
    assert masks.attention is not None
    assert masks.attention[:, 0, 0].int().tolist() == [[1, 1, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0]]
    assert masks.window is not None
    assert masks.window.slots.tolist() == [[4, 5], [0, 8]]  # padding goes to the spare slot
    assert masks.window.offsets[0, 1].tolist() == [5, 4, 3, 2, 1, 0]
    assert not masks.window.all_rows


def test_chunks_of_one_piece_do_not_see_those_after_them() -> None:
    numbers = torch.tensor([2, 0]), torch.tensor([4, 2])  # where the rows stand, and how far they go
    masks = stream_masks(torch.tensor([1, 0]), 2, *numbers, 4, Layout(8), chunk=2)
    assert masks.attention is not None
    early, late = [1, 1, 1, 1, 0, 0], [1] * 6
    assert masks.attention[0, 0].int().tolist() == [early, early, late, late]
    assert masks.attention[1, 0, :2].int().tolist() == [[1, 1, 0, 0, 0, 0]] * 2


def test_rows_of_equal_length_need_no_mask() -> None:
    masks = stream_masks(torch.arange(2), 2, torch.tensor([4, 4]), torch.tensor([2, 2]), 2, Layout(8))
    assert masks.attention is None
    assert masks.window is not None
    assert masks.window.counts is None
