"""Relative-position attention, against the formula written out pair by pair."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from cosy.nn.conformer import RelativeAttention, relative_positions, relative_shift, stream_positions
from cosy.nn.masks import Layout, stream_masks


@pytest.mark.parametrize(("queries", "keys"), [(1, 1), (4, 4), (2, 5), (1, 3)])
def test_the_shift_lines_offsets_up_with_keys(queries: int, keys: int) -> None:
    offsets = torch.arange(keys - 1, -queries - 1, -1).expand(queries, -1)
    expected = [[keys - queries + i - j for j in range(keys)] for i in range(queries)]
    assert relative_shift(offsets).tolist() == expected


def test_positions_interleave_sines_and_cosines_of_the_offset() -> None:
    table = relative_positions(3, 3, 8, torch.zeros(1))
    angle = 2 / 10_000 ** (2 / 8)  # offset +2, second frequency
    assert table.shape == (6, 8)
    assert torch.allclose(table[0, 2:4], torch.tensor([math.sin(angle), math.cos(angle)]))
    assert torch.allclose(table[2, 0::2], torch.zeros(4))  # offset 0


def written_out(layer: RelativeAttention, x: Tensor) -> Tensor:
    """The attention of one unpadded item, one pair of positions at a time."""
    T, D = x.shape
    q, k, v = (f(x).view(T, layer.heads, -1) for f in (layer.linear_q, layer.linear_k, layer.linear_v))
    out = torch.zeros_like(q)
    for h in range(layer.heads):
        scores = torch.zeros(T, T)
        for i in range(T):
            for j in range(T):
                angle = (i - j) / 10_000 ** (torch.arange(0, D, 2) / D)
                p = layer.linear_pos(torch.stack([angle.sin(), angle.cos()], dim=-1).flatten()).view(layer.heads, -1)[h]
                scores[i, j] = (q[i, h] + layer.pos_bias_u[h]) @ k[j, h] + (q[i, h] + layer.pos_bias_v[h]) @ p
        out[:, h] = (scores / math.sqrt(q.shape[-1])).softmax(-1) @ v[:, h]
    return layer.linear_out(out.flatten(1))


@torch.no_grad()
def test_attention_follows_the_formula() -> None:
    layer, x = RelativeAttention(8, 2, dropout=0.0).eval(), torch.randn(5, 8)
    got = layer(x[None], relative_positions(5, 5, 8, x))[0]
    assert torch.allclose(got, written_out(layer, x), atol=1e-6)


@torch.no_grad()
def test_attention_with_a_state_continues_each_row_where_it_stopped() -> None:
    layer, x = RelativeAttention(8, 2, dropout=0.0).eval(), torch.randn(2, 8, 8)
    state, rows = layer.init_state(2, 6), torch.arange(2)
    starts, counts = torch.tensor([0, 0]), torch.tensor([4, 2])
    for _ in range(2):  # rows of 6 and 3 positions, in two pieces: padded, and of other lengths
        piece = torch.stack([row[s : s + 4] for row, s in zip(x, starts.tolist(), strict=True)])
        masks = stream_masks(rows, 2, starts, counts, 4, Layout(6))
        assert masks.window is not None
        got = layer(piece, stream_positions(masks.window.offsets, 8, x), masks, state)
        for row, (start, count) in enumerate(zip(starts.tolist(), counts.tolist(), strict=True)):
            known = x[row : row + 1, : start + count]
            whole = layer(known, relative_positions(start + count, start + count, 8, x))[0]
            assert torch.allclose(got[row, :count], whole[start:], atol=1e-6)
        starts, counts = starts + counts, torch.tensor([2, 1])
