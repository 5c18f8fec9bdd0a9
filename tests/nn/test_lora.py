from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from cosy.errors import MismatchError, ParameterError
from cosy.nn.lora import LoRA, LoRALinear, added, attach


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(6, 5)
        self.inner = nn.ModuleDict({"o_proj": nn.Linear(5, 6, bias=False)})
        self.head = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.inner["o_proj"](self.q_proj(x)))


X = torch.linspace(-1, 1, 12).view(2, 6)


def test_a_new_adapter_changes_nothing() -> None:
    network = Small()
    before = network(X)
    assert attach(network, ("q_proj", "o_proj"), LoRA(2)) == ["q_proj", "inner.o_proj"]
    assert torch.equal(network(X), before)


def test_only_the_thin_matrices_learn() -> None:
    network = Small()
    attach(network, ("q_proj",), LoRA(2))
    assert [name for name, p in network.named_parameters() if p.requires_grad] == ["q_proj.lora_a", "q_proj.lora_b"]
    network(X).sum().backward()
    assert network.q_proj.lora_b.grad.abs().sum() > 0


def test_the_names_of_the_weights_stay() -> None:
    network = Small()
    before = network.state_dict()
    attach(network, ("o_proj",), LoRA(2))
    after = network.state_dict()
    assert set(after) - set(before) == {"inner.o_proj.lora_a", "inner.o_proj.lora_b"}
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_what_is_added_to_the_weight_is_what_the_layer_adds() -> None:
    linear = nn.Linear(6, 5)
    adapted = LoRALinear(linear, LoRA(3, alpha=5.0))
    nn.init.normal_(adapted.lora_b)
    merged = nn.functional.linear(X, linear.weight + added(adapted.lora_a, adapted.lora_b, adapted.lora), linear.bias)
    torch.testing.assert_close(adapted(X), merged)


def test_dropout_is_for_training_alone() -> None:
    torch.manual_seed(0)
    adapted = LoRALinear(nn.Linear(6, 5), LoRA(3, dropout=0.9))
    nn.init.normal_(adapted.lora_b)
    assert not torch.equal(adapted(X), adapted(X))
    adapted.eval()
    assert torch.equal(adapted(X), adapted(X))


@pytest.mark.parametrize("settings", [{"rank": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_an_impossible_size_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ParameterError, match="rank must be at least 1"):
        LoRA(**settings)


def test_a_network_without_such_layers_is_refused() -> None:
    with pytest.raises(MismatchError, match="no linear layer is called v_proj"):
        attach(Small(), ("v_proj",), LoRA(2))
