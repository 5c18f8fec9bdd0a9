"""Several processes that train one network, as torch's launcher starts them: `torchrun --nproc-per-node N -m cosy ...`.

Every process draws batches of its own; gradients are averaged before each step, so that N processes with batches of
n are one with batches of N n.  On its own, a process is rank 0 of 1 and none of this does anything.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn


@contextmanager
def joined(device: str = "cpu") -> Iterator[str]:
    """Join the processes that the launcher's environment names, if any; yields the device of this one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        device = f"cuda:{torch.cuda.current_device()}"
    # An optimizer's first step imports it, and it would keep the group, whose threads may abort the process at its end.
    importlib.import_module("torch._dynamo")
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def size() -> int:
    """How many processes there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process; 0 is the one that writes."""
    return dist.get_rank() if dist.is_initialized() else 0


def generator(seed: int) -> np.random.Generator:
    """A stream of chance for this process: that of the seed in process 0, another in every other."""
    return np.random.default_rng([seed, rank()] if rank() else seed)


def share_weights(network: nn.Module) -> None:
    """Every process takes the weights of process 0."""
    if size() > 1:
        for value in network.state_dict().values():
            dist.broadcast(value, 0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the processes; one that is absent here counts as zero."""
    if size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        dist.all_reduce(parameter.grad)
        parameter.grad /= size()


def greatest(values: Sequence[float]) -> list[float]:
    """The element-wise greatest of all processes' values."""
    if size() == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.tolist()


def gathered(value: Any) -> list[Any]:
    """What every process holds, in order."""
    if size() == 1:
        return [value]
    found: list[Any] = [None] * size()
    dist.all_gather_object(found, value)
    return found
