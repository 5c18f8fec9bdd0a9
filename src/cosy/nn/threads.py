"""How many cores one network call is spread over.

Small networks are done before a second core has joined in: with two threads the bundled model takes up to twice the
time of one (docs/design/0003-precision.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import chain
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import nn

T = TypeVar("T")

LARGE = 12_000_000  # numbers: the bundled networks have 8 million at most, the official vocoder 21


def is_large(network: nn.Module) -> bool:
    """Whether the numbers of a network take longer than the calls around them."""
    weights = chain(network.parameters(), network.buffers())  # folded kernels may be either
    return sum(weight.numel() for weight in weights) > LARGE


def set_threads(count: int | None) -> None:
    """So many cores for a call of PyTorch in this thread, None: as it is; and one for NumPy's, in all threads.

    What NumPy multiplies here is small, and its threads wait for work in a loop that PyTorch's would miss the time of.
    """
    if count is not None:
        torch.set_num_threads(count)
    threadpool_limits(1, user_api="blas")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """`set_threads`, for a while."""
    before = torch.get_num_threads()
    with threadpool_limits(user_api="blas"):
        set_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def apart(work: Callable[[], T]) -> T:
    """Do some work in a thread that ends with it.

    Every thread that computes has workers of its own, which wait for the next call awake; but if there are more of
    them than cores, OpenMP lets all of them sleep, and a short call takes twice the time.  So a process that has an
    engine leaves no other thread behind that has computed.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()
