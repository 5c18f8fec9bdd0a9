"""Threads are limited where asked for, and only as long."""

from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_info
from torch import nn

from cosy.nn.threads import is_large, threads


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize("count", [1, 2, None])
def test_both_libraries_keep_to_their_numbers_for_a_while(count: int | None) -> None:
    before = torch.get_num_threads(), blas_threads()
    with threads(count):
        assert (torch.get_num_threads(), blas_threads()) == (count or before[0], {1})
    assert (torch.get_num_threads(), blas_threads()) == before


def test_a_network_is_large_by_its_numbers() -> None:
    with torch.device("meta"):
        assert is_large(nn.Linear(4000, 4000))
        assert not is_large(nn.Linear(300, 300))
