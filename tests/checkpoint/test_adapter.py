from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cosy.checkpoint.adapter import LAYERS, Adapter, hot_load, merge
from cosy.checkpoint.layout import Part
from cosy.checkpoint.load import load_model, load_network
from cosy.errors import CheckpointError, MismatchError, MissingFileError
from cosy.nn.lora import LoRA, attach
from tests.model_dir import SMALL, write_model_dir

LORA = LoRA(2, alpha=3.0)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_dir(tmp_path_factory.mktemp("model"), front_ends=False)


def trained(directory: Path, part: Part) -> nn.Module:
    """The network with an adapter that says something."""
    network = load_network(directory, part)
    attach(network, LAYERS[part], LORA)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith("lora_b"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return network.eval()


def said(part: Part, network: nn.Module) -> torch.Tensor:
    """A short answer of the network."""
    if part == "llm":
        return network.logits(network.backbone(network.prefix([1, 2, 3], [4], [5, 6])).hidden)
    return network.encode(torch.tensor([[3, 1, 4, 1, 5]]))


@pytest.mark.parametrize("part", ["llm", "flow"])
@torch.no_grad()
def test_merged_hot_loaded_and_attached_say_the_same(directory: Path, tmp_path: Path, part: Part) -> None:
    network = trained(directory, part)
    Adapter.of(part, LORA, network.state_dict()).write(tmp_path / "adapter.safetensors")
    loaded = load_model(directory)
    before = said(part, getattr(loaded, part))
    remove = hot_load(loaded, tmp_path / "adapter.safetensors")
    merged = load_model(merge(directory, [tmp_path / "adapter.safetensors"], tmp_path / "merged"))
    expected = said(part, network)
    assert (expected - before).abs().max() > 1e-3
    torch.testing.assert_close(said(part, getattr(loaded, part)), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(said(part, getattr(merged, part)), expected, rtol=1e-5, atol=1e-5)
    remove()
    assert torch.equal(said(part, getattr(loaded, part)), before)


def test_merging_leaves_the_other_parts_alone(directory: Path, tmp_path: Path) -> None:
    Adapter.of("llm", LORA, trained(directory, "llm").state_dict()).write(tmp_path / "a")
    merge(directory, [tmp_path / "a", tmp_path / "a"], tmp_path / "merged")
    assert (tmp_path / "merged" / "flow.pt").read_bytes() == (directory / "flow.pt").read_bytes()
    assert not (tmp_path / "merged" / "llm.pt").exists()


def test_an_adapter_is_small(directory: Path, tmp_path: Path) -> None:
    Adapter.of("llm", LORA, trained(directory, "llm").state_dict()).write(tmp_path / "a")
    assert len(Adapter.read(tmp_path / "a").matrices) == 7 * SMALL.llm.backbone.num_hidden_layers
    assert (tmp_path / "a").stat().st_size < 0.1 * (directory / "llm.pt").stat().st_size


def test_what_is_no_adapter_is_refused(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "noise").write_bytes(b"noise")
    other = write_model_dir(tmp_path / "other", suffix=".safetensors", front_ends=False)
    for path, kind, told in (
        (tmp_path / "absent", MissingFileError, "does not exist"),
        (tmp_path / "noise", CheckpointError, "noise"),
        (other / "flow.safetensors", MismatchError, "not an adapter"),
    ):
        with pytest.raises(kind, match=told):
            Adapter.read(path)


def test_an_adapter_of_another_model_is_refused(directory: Path) -> None:
    wrong = Adapter("llm", LORA, {"llm.model.model.layers.0.self_attn.q_proj": (torch.zeros(2, 7), torch.zeros(9, 2))})
    with pytest.raises(MismatchError, match="made for another llm"):
        wrong.apply(load_network(directory, "llm"))
