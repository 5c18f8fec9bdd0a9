"""Low-rank adaptation (Hu et al. 2021): a frozen linear layer plus a product of two thin matrices that is trained."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cosy.errors import MismatchError, ParameterError


@dataclass(frozen=True)
class LoRA:
    """Size and strength.  What is added to a weight is alpha / rank times the product."""

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0  # of the layer's input, on the way through the thin matrices

    def __post_init__(self) -> None:
        if self.rank < 1 or not 0 <= self.dropout < 1:
            raise ParameterError(f"rank must be at least 1 and dropout from 0 up to 1, got {self.rank}, {self.dropout}")

    @property
    def scale(self) -> float:
        return self.alpha / self.rank


class LoRALinear(nn.Linear):
    """A linear layer under its old key names, frozen, with `lora_a` (r, in) and `lora_b` (out, r) beside them.

    It starts as the layer it replaces: `lora_b` is zero.
    """

    def __init__(self, linear: nn.Linear, lora: LoRA) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.lora = lora
        self.weight, self.bias = linear.weight, linear.bias
        like = linear.weight
        first = torch.empty(lora.rank, linear.in_features, device=like.device, dtype=like.dtype)
        self.lora_a = nn.Parameter(nn.init.kaiming_uniform_(first, a=5**0.5))
        self.lora_b = nn.Parameter(like.new_zeros(linear.out_features, lora.rank))

    def forward(self, input: Tensor) -> Tensor:
        thin = F.linear(F.dropout(input, self.lora.dropout, self.training), self.lora_a)
        return super().forward(input) + self.lora.scale * F.linear(thin, self.lora_b)


def targeted(network: nn.Module, names: Collection[str]) -> Iterator[tuple[str, nn.Linear]]:
    """The linear layers whose path ends in one of `names`, with their paths."""
    for path, module in network.named_modules():
        if isinstance(module, nn.Linear) and any(f".{path}".endswith(f".{name}") for name in names):
            yield path, module


def attach(network: nn.Module, names: Collection[str], lora: LoRA) -> list[str]:
    """Freeze the network and adapt its layers that end in `names`; returns their paths.

    Raises MismatchError if there is none.
    """
    found = list(targeted(network, names))
    if not found:
        raise MismatchError(f"no linear layer is called {', '.join(names)}")
    network.requires_grad_(False)
    for path, linear in found:
        parent, _, name = path.rpartition(".")
        setattr(network.get_submodule(parent), name, LoRALinear(linear, lora))
    return [path for path, _ in found]


def added(a: Tensor, b: Tensor, lora: LoRA) -> Tensor:
    """What the thin matrices add to a weight, float32 (out, in)."""
    return lora.scale * (b.float() @ a.float())
