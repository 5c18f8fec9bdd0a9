"""A trained low-rank adapter as a file of its own: a few megabytes that change how a model speaks.

PATH.lora_a  PATH.lora_b        tensors, for every adapted layer
metadata: format, part (llm or flow), rank, alpha
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cosy.checkpoint.convert import write_weights
from cosy.checkpoint.derive import Writer, derive, type_of
from cosy.checkpoint.files import as_checkpoint_error, few, replacing
from cosy.checkpoint.layout import Layout, Part
from cosy.checkpoint.load import LoadedModel, load_network
from cosy.errors import MismatchError, MissingFileError
from cosy.nn.lora import LoRA, added

FORMAT = "cosy-lora-1"
LAYERS: dict[Part, tuple[str, ...]] = {  # what is adapted, by the ends of the paths
    "llm": ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    "flow": (
        *("linear_q", "linear_k", "linear_v", "linear_out", "w_1", "w_2"),  # encoder
        *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2"),  # estimator
    ),
}


@dataclass(frozen=True, eq=False)
class Adapter:
    """What is added to the layers of one network."""

    part: Part
    lora: LoRA
    matrices: Mapping[str, tuple[Tensor, Tensor]]  # path -> a (r, in), b (out, r)

    @classmethod
    def of(cls, part: Part, lora: LoRA, state: Mapping[str, Tensor]) -> Adapter:
        """The adapter in the state of a network that was trained with one."""
        paths = [key.removesuffix(".lora_a") for key in state if key.endswith(".lora_a")]
        return cls(part, lora, {path: (state[f"{path}.lora_a"], state[f"{path}.lora_b"]) for path in paths})

    def write(self, path: Path) -> None:
        """As a safetensors file, which appears whole."""
        tensors = {
            f"{layer}.{name}": value.detach().cpu().contiguous().clone()
            for layer, pair in self.matrices.items()
            for name, value in zip(("lora_a", "lora_b"), pair, strict=True)
        }
        metadata = {"format": FORMAT, "part": self.part, "rank": str(self.lora.rank), "alpha": str(self.lora.alpha)}
        with replacing(path) as partial:
            save_file(tensors, partial, metadata)

    @classmethod
    def read(cls, path: Path) -> Adapter:
        """Raises MissingFileError, CheckpointError for a damaged file, MismatchError for one that is no adapter."""
        if not path.is_file():
            raise MissingFileError(f"the adapter {path} does not exist; `cosy train lm --lora RANK` makes one")
        with as_checkpoint_error(path), safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
        if metadata.get("format") != FORMAT or metadata.get("part") not in LAYERS:
            raise MismatchError(f"{path} is not an adapter of this kind: its format is {metadata.get('format')!r}")
        lora = LoRA(int(metadata["rank"]), float(metadata["alpha"]))
        return cls.of(cast(Part, metadata["part"]), lora, state)

    def apply(self, network: nn.Module) -> Callable[[], None]:
        """Add it to the weights; the function that is returned puts the old ones back, exactly.

        Raises MismatchError where a layer is absent or of another shape.
        """
        layers = dict(network.named_modules())
        wrong = [path for path, pair in self.matrices.items() if not _fits(layers.get(path), pair)]
        if wrong:
            raise MismatchError(
                f"the adapter was made for another {self.part}: {few(wrong)} are absent or differ in size"
            )
        old = {path: cast(nn.Linear, layers[path]).weight for path in self.matrices}
        for path, (a, b) in self.matrices.items():
            weight = old[path]
            delta = added(a, b, self.lora).to(weight.device)
            layers[path].weight = nn.Parameter((weight.float() + delta).to(weight.dtype), weight.requires_grad)

        def remove() -> None:
            for path, weight in old.items():
                layers[path].weight = weight

        return remove


def _fits(layer: nn.Module | None, pair: tuple[Tensor, Tensor]) -> bool:
    a, b = pair
    return isinstance(layer, nn.Linear) and (b.shape[0], a.shape[1]) == layer.weight.shape


def hot_load(model: LoadedModel, path: Path) -> Callable[[], None]:
    """Apply an adapter file to a loaded model, before its arithmetic is changed; returns what takes it off again.

    Errors as in `Adapter.read` and `apply`.
    """
    adapter = Adapter.read(path)
    return adapter.apply(getattr(model, adapter.part))


@torch.no_grad()
def merge(source: str | Path, adapters: Sequence[Path], target: str | Path) -> Path:
    """Write `source` to the new directory `target` with adapters added to its weights, in their type.

    Errors as in `Adapter.read`, `Adapter.apply` and `derive`.
    """
    found = [Adapter.read(path) for path in adapters]
    written: dict[str, Writer] = {}
    for part in {adapter.part for adapter in found}:
        network = load_network(source, part)
        for adapter in found:
            if adapter.part == part:
                adapter.apply(network)
        written[f"{part}.safetensors"] = _writer(
            part, network.state_dict(), type_of(Layout(Path(source)).weights(part))
        )
    return derive(source, target, written)


def _writer(part: Part, state: Mapping[str, Tensor], dtype: torch.dtype) -> Writer:
    return lambda path: write_weights(part, state, path, dtype)
