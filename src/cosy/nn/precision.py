"""Which arithmetic each network runs in on a CPU, and the exchange of its layers for that.

A network is loaded in float32; `accelerate` then replaces the layers that take its time, in place, and lets go of the
originals.  What goes in and out stays float32.  The kinds of arithmetic:

- `float32`: the layers as they are;
- `packed`: still float32, but the weights lie as the kernels want them; the result differs by rounding;
- `bfloat16`: factors of 8 significant bits, sums of 24: matrix products, convolutions and the flow's attention;
- `numpy`: float32 again, but the language model's layers are NumPy's (`NumpyLayer`), for small ones;
- `int8`: likewise, with products in integers, one scale per output and per row (`Int8Linear`), for large ones.

What each gains and costs is measured by `python -m cosy.bench.stages`; docs/design/0003-precision.md has the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import torch
from torch import Tensor, nn

from cosy.errors import ParameterError
from cosy.nn import conformer, estimator
from cosy.nn.conv import Windowed
from cosy.nn.numpy_layer import NumpyLayer, NumpyLinear, Product, Product8, Product32
from cosy.nn.packed import (
    Int8Linear,
    PackedConv1d,
    PackedConvTranspose1d,
    PackedLinear,
    PackedWindows,
)
from cosy.nn.threads import is_large

KINDS = {
    "lm": ("float32", "packed", "bfloat16", "int8", "numpy"),
    "flow": ("float32", "packed", "bfloat16"),
    "vocoder": ("float32", "packed", "bfloat16"),
}
DTYPES = {"packed": torch.float32, "bfloat16": torch.bfloat16}
PRODUCTS: dict[str, Callable[[Tensor], Product]] = {"numpy": Product32, "int8": Product8}
_PACKED = (PackedLinear, Int8Linear, PackedConv1d, PackedConvTranspose1d, NumpyLayer)


@dataclass(frozen=True)
class Recipe:
    """A kind of arithmetic per network.  Raises ParameterError for one that there is not."""

    lm: str = "float32"
    flow: str = "float32"
    vocoder: str = "float32"

    @classmethod
    def of(cls, text: str) -> Recipe:
        """`lm=int8,flow=bfloat16` (what is not named stays float32), or one kind for all three, such as `packed`."""
        if "=" not in text:
            return cls(text, text, text)
        named = dict(part.strip().partition("=")[::2] for part in text.split(","))
        unknown = ", ".join(name for name in named if name not in KINDS)
        if unknown:
            raise ParameterError(f"a recipe names {', '.join(KINDS)}, not {unknown}: {text!r}")
        return cls(**named)

    def __post_init__(self) -> None:
        for name, kinds in KINDS.items():
            kind = getattr(self, name)
            if kind not in kinds:
                raise ParameterError(f"{name} cannot run in {kind!r}; choose one of {', '.join(kinds)}")


class Networks(Protocol):
    """What is accelerated, such as a `LoadedModel`."""

    @property
    def llm(self) -> nn.Module: ...

    @property
    def flow(self) -> nn.Module: ...

    @property
    def hift(self) -> nn.Module: ...


def supported(kind: str) -> bool:
    """Whether this machine's CPU has the instructions that make `kind` worth while."""
    if kind in ("float32", "numpy"):
        return True
    if not torch.backends.mkldnn.is_available() or not _has("avx2"):  # type: ignore[no-untyped-call]
        return False
    return {"packed": True, "bfloat16": _has("avx512_bf16"), "int8": _has("vnni")}[kind]


def _has(instructions: str) -> bool:
    check = getattr(torch.cpu, f"_is_{instructions}_supported", None)
    return bool(check and check())


def auto(networks: Networks) -> Recipe:
    """The fastest recipe of this machine whose error cannot be heard; float32 for what is on a GPU."""

    def best(network: nn.Module, large: Sequence[str], small: Sequence[str]) -> str:
        if next(network.parameters()).device.type != "cpu":
            return "float32"
        kinds = large if is_large(network) else small
        return next(kind for kind in (*kinds, "float32") if supported(kind))

    return Recipe(
        lm=best(networks.llm, ("int8", "bfloat16", "packed"), ("numpy",)),
        flow=best(networks.flow, ("bfloat16", "packed"), ("packed",)),
        vocoder=best(networks.hift, ("bfloat16", "packed"), ("packed",)),
    )


def accelerate(networks: Networks, recipe: Recipe | None = None) -> Recipe:
    """Exchange the layers of all three networks in place, for inference; returns the recipe, None: that of `auto`.

    The language model and the flow must be in float32, the vocoder folded.  Raises ParameterError for a network that
    is not on the CPU or was accelerated before, and for a kind that this CPU does not support.
    """
    recipe = recipe or auto(networks)
    for field, network in zip(fields(recipe), (networks.llm, networks.flow, networks.hift), strict=True):
        kind = getattr(recipe, field.name)
        if kind != "float32":
            _check(field.name, kind, network)
    accelerate_lm(networks.llm, recipe.lm)
    accelerate_flow(networks.flow, recipe.flow)
    accelerate_vocoder(networks.hift, recipe.vocoder)
    return recipe


def _check(name: str, kind: str, network: nn.Module) -> None:
    device = next(network.parameters()).device.type
    if device != "cpu":
        raise ParameterError(f"{name}: {kind} is for the CPU, the network is on {device}: load it in the type you want")
    if not supported(kind):
        raise ParameterError(f"{name}: this CPU has no fast {kind} arithmetic; choose float32")
    if any(isinstance(module, _PACKED) for module in network.modules()):
        raise ParameterError(f"{name} has been accelerated before: load it again to change its arithmetic")


@torch.no_grad()
def accelerate_lm(llm: nn.Module, kind: str) -> None:
    """The products of all layers.  The tables stay, and the head, which needs the digits of float32, is float32."""
    if kind == "float32":
        return
    for module in list(llm.modules()):
        for name, child in module.named_children():
            if kind in PRODUCTS and hasattr(child, "self_attn"):
                setattr(module, name, NumpyLayer(child, PRODUCTS[kind]))
            elif kind in PRODUCTS and isinstance(child, nn.Linear) and name == "llm_decoder":
                setattr(module, name, NumpyLinear(child))
            elif kind in DTYPES and isinstance(child, nn.Linear) and name.endswith("_proj"):
                setattr(module, name, _linear(child, kind))


@torch.no_grad()
def accelerate_flow(flow: nn.Module, kind: str) -> None:
    """Attention, feed-forward layers and convolutions.  What is computed once per utterance or step stays."""
    if kind == "float32":
        return
    for module in list(flow.modules()):
        if isinstance(module, estimator.Attention):
            weight = torch.cat([module.to_q.weight, module.to_k.weight, module.to_v.weight])
            module.to_qkv = PackedLinear(weight, None, DTYPES[kind], keep=True)
            del module.to_q, module.to_k, module.to_v
            module.to_out[0] = _linear(module.to_out[0], kind)
        elif isinstance(module, estimator.FeedForward):
            first, _, last = module.net
            module.net[0] = _linear(first.proj, kind, gelu=True, keep=True)
            module.net[2] = _linear(last, kind)
        elif isinstance(module, (conformer.RelativeAttention, conformer.FeedForward)):
            for name, child in module.named_children():
                if isinstance(child, nn.Linear):
                    setattr(module, name, _linear(child, kind))
        elif isinstance(module, Windowed):
            module.replace(PackedWindows(*module.kernel(), DTYPES[kind]))


def _linear(layer: object, kind: str, *, gelu: bool = False, keep: bool = False) -> PackedLinear:
    assert isinstance(layer, nn.Linear)
    return PackedLinear(layer.weight, layer.bias, DTYPES[kind], gelu=gelu, keep=keep)


@torch.no_grad()
def accelerate_vocoder(vocoder: nn.Module, kind: str) -> None:
    """The convolutions of the decoder.  F0 stays in float64: phases are its integral."""
    if kind == "float32":
        return
    for name, module in list(vocoder.named_modules()):
        if name.partition(".")[0] == "f0_predictor":
            continue
        for child_name, child in list(module._modules.items()):
            if isinstance(child, nn.Conv1d):
                module._modules[child_name] = PackedConv1d(child, DTYPES[kind])
            elif isinstance(child, nn.ConvTranspose1d):
                module._modules[child_name] = PackedConvTranspose1d(child, DTYPES[kind])
