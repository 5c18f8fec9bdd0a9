"""Time-major convolutions agree with the library's, and pieces join."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cosy.nn.conv import CausalConv1d, Conv1d, carry
from cosy.nn.masks import Layout, stream_masks


@pytest.mark.parametrize("kernel", [1, 3, 4])
def test_convolution_equals_the_channel_major_one(kernel: int) -> None:
    conv, x = Conv1d(5, 7, kernel), torch.randn(2, 9, 5)
    expected = F.conv1d(x.mT, conv.weight, conv.bias).mT
    assert torch.allclose(conv(x), expected, atol=1e-6)


def test_later_positions_leave_earlier_output_alone() -> None:
    conv, x = CausalConv1d(5, 5, 3), torch.randn(2, 9, 5)
    changed = torch.cat([x[:, :6], torch.randn(2, 3, 5)], dim=1)
    assert torch.equal(conv(x)[:, :6], conv(changed)[:, :6])


@pytest.mark.parametrize("cut", [2, 3, 8])
def test_pieces_with_their_left_context_equal_one_shot(cut: int) -> None:
    conv, x = CausalConv1d(5, 5, 3), torch.randn(2, 9, 5)
    pieces = [conv(x[:, :cut]), conv(x[:, cut:], left=x[:, cut - 2 : cut])]
    assert torch.allclose(torch.cat(pieces, dim=1), conv(x), atol=1e-6)


def test_rows_of_a_state_continue_where_each_stopped() -> None:
    conv, x = CausalConv1d(5, 5, 3), torch.randn(2, 9, 5)
    state, kept = conv.init_state(3), [0, 0]
    outputs: list[list[Tensor]] = [[], []]
    for counts in ([3, 1], [2, 3], [3, 2]):  # of pieces padded to 3, in rows 2 and 0 of the state
        piece = torch.stack([row[k : k + 3] for row, k in zip(x, kept, strict=True)])
        window = stream_masks(torch.tensor([2, 0]), 3, torch.tensor(kept), torch.tensor(counts), 3, Layout(12)).window
        y = conv(piece, carry(state, piece, window))
        for row, count in enumerate(counts):
            outputs[row].append(y[row, :count])
            kept[row] += count
    for row, size in enumerate(kept):
        assert torch.allclose(torch.cat(outputs[row]), conv(x)[row, :size], atol=1e-6)
    assert not state.left[1].any()
