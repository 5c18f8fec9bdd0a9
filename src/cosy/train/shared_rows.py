"""Rows of a table that share what they have in common, while it is trained.

A table of thousands of vectors has to learn each of them alone, and a rare one is met rarely.  But a speech token is
eight digits, and a hanzi has an initial, a final and a tone, like many others.  In training a small network of such
features is added to the table, so that what is common is learned from all; `fold` makes one table of both.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from cosy.models.speech_tokenizer import FSQ_DIMS, FSQ_LEVELS, SpeechTokenizer


class SharedRows(nn.Module):
    """A parametrization of a table (V, D): a network of features (V, N) is added to it, which says nothing at first.

    A row without features stays alone.
    """

    features: Tensor

    def __init__(self, features: Tensor, width: int) -> None:
        super().__init__()
        last = nn.Linear(width, width, bias=False)
        nn.init.zeros_(last.weight)
        self.said = nn.Sequential(nn.Linear(features.shape[1], width, bias=False), nn.GELU(), last)
        self.register_buffer("features", features, persistent=False)

    def forward(self, table: Tensor) -> Tensor:
        y: Tensor = table + self.said(self.features)
        return y


def share(table: nn.Embedding | nn.Linear, features: Tensor) -> None:
    """Let the rows of `table.weight` (V, D) share the features (V, N)."""
    parametrize.register_parametrization(table, "weight", SharedRows(features, table.weight.shape[1]))


def fold(table: nn.Embedding | nn.Linear) -> None:
    """Make one table again of what `share` made two of."""
    parametrize.remove_parametrizations(table, "weight", leave_parametrized=True)


def digits(rows: int) -> Tensor:
    """The features of `rows` speech tokens (rows, 24): one of three for each of eight digits, none beyond the code."""
    codes = FSQ_LEVELS**FSQ_DIMS
    levels = SpeechTokenizer.levels_of(torch.arange(codes))
    known = F.one_hot(levels.long() + 1, FSQ_LEVELS).flatten(1).float()
    return F.pad(known, (0, 0, 0, rows - codes))
