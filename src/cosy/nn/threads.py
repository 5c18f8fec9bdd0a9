"""How many cores one network call is spread over.

Small networks are done before a second core has joined in: with two threads the bundled model takes up to twice the
time of one (docs/design/0003-precision.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from threadpoolctl import threadpool_limits
from torch import nn

LARGE = 8_000_000  # numbers


def is_large(network: nn.Module) -> bool:
    """Whether the numbers of a network take longer than the calls around them."""
    weights = chain(network.parameters(), network.buffers())  # folded kernels may be either
    return sum(weight.numel() for weight in weights) > LARGE


def set_threads(count: int | None) -> None:
    """PyTorch in this thread, and NumPy in all, use so many cores for a call; None: as it is."""
    if count is not None:
        torch.set_num_threads(count)
        threadpool_limits(count, user_api="blas")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """`set_threads`, for a while."""
    if count is None:
        yield
        return
    before = torch.get_num_threads()
    with threadpool_limits(user_api="blas"):
        set_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
