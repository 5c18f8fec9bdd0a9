"""Threads are limited where asked for, and only as long."""

from __future__ import annotations

import torch
from threadpoolctl import threadpool_info
from torch import nn

from cosy.nn.threads import is_large, threads


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_both_libraries_keep_to_the_number_for_a_while() -> None:
    before = torch.get_num_threads(), blas_threads()
    with threads(1):
        assert (torch.get_num_threads(), blas_threads()) == (1, {1})
    assert (torch.get_num_threads(), blas_threads()) == before


def test_without_a_number_nothing_changes() -> None:
    before = torch.get_num_threads(), blas_threads()
    with threads(None):
        assert (torch.get_num_threads(), blas_threads()) == before


def test_a_network_is_large_by_its_numbers() -> None:
    with torch.device("meta"):
        assert is_large(nn.Linear(3000, 3000))
        assert not is_large(nn.Linear(300, 300))
