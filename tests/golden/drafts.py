"""Cases of our own making: drawn inputs, what the runners compute for them, and the two files of a case."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.golden import Case

OWN = Path(__file__).with_name("own")


class Draw:
    """Inputs from a fixed seed, in the order they are asked for."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.from_numpy(self.rng.standard_normal(shape, dtype=np.float32))

    def ids(self, limit: int, *shape: int) -> Tensor:
        """int32 below `limit`."""
        return torch.from_numpy(self.rng.integers(0, limit, shape, dtype=np.int32))

    def wave(self, rows: int, samples: int, rate_hz: int) -> Tensor:
        """Two partials of a gliding tone and some noise, (rows, samples), within [-1, 1]."""
        seconds = torch.arange(samples) / rate_hz
        start, glide = 100 + 50 * torch.from_numpy(self.rng.random((2, rows, 1), dtype=np.float32))
        phase = 2 * torch.pi * (start + glide * seconds) * seconds
        tone = 0.3 * phase.sin() + 0.2 * (7 * phase).sin()
        return (tone + self.normal(rows, samples, scale=0.02)).clamp(-1, 1)


def shapes(module: nn.Module) -> dict[str, list[int]]:
    """The state dict of a case: key -> shape."""
    return {key: list(value.shape) for key, value in module.state_dict().items()}


def draft(area: str, name: str, spec: dict[str, Any], tensors: dict[str, Tensor] | None = None) -> Case:
    """A case whose expected tensors are still missing."""
    case = Case(OWN / area / f"{name}.json")
    case.__dict__.update(spec={"name": name, **spec}, tensors=dict(tensors or {}))
    return case


def computed(module: ModuleType, run: Callable[[Case], None], case: Case) -> dict[str, Tensor]:
    """What a runner computes for a draft: all that it hands to its `check` or `close`, by tensor name.

    The networks that it loads become the draft's state dict.
    """
    found: dict[str, Tensor] = {}
    load = Case.load

    def describe(case: Case, network: nn.Module, part: str | None = None) -> nn.Module:
        if part is None:
            case.spec["state_dict"] = shapes(network)
        else:
            case.spec["state_dict"][part] = shapes(network)
        return load(case, network, part)

    def note(what: str, got: Tensor, *rest: Any) -> None:
        found[what.removeprefix(f"{case.name} ")] = got

    with ExitStack() as stack:
        stack.enter_context(patch.object(Case, "load", describe))
        stack.enter_context(patch.object(module, "close", note))
        if hasattr(module, "check"):
            stack.enter_context(patch.object(module, "check", lambda case, got: found.update(got)))
        run(case)
    return found


def picked(got: dict[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    return {name: got[name] for name in names}


def stored(value: Tensor) -> Tensor:
    """As the files hold it: float32 or int32, contiguous, a number as one element."""
    value = value.detach().to(torch.float32 if value.is_floating_point() else torch.int32)
    return value.reshape(1) if value.ndim == 0 else value.clone().contiguous()


def table(tensors: dict[str, Tensor], expected: Collection[str] = (), *, roles: bool = False) -> dict[str, Any]:
    """The JSON's description of tensors; with `roles`, which of them the runner must reproduce."""

    def entry(name: str, value: Tensor) -> dict[str, Any]:
        facts = {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
        return {"role": "expected" if name in expected else "input", **facts} if roles else facts

    return {name: entry(name, value) for name, value in tensors.items()}


def save(case: Case, expected: dict[str, Tensor], *, roles: bool = False) -> None:
    """Write a draft with its expected tensors."""
    tensors = {name: stored(value) for name, value in {**case.tensors, **expected}.items()}
    write(case, {**case.spec, "tensors": table(tensors, expected.keys(), roles=roles)}, tensors)


def write(case: Case, spec: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    """NAME.json, one line per field, and NAME.safetensors."""
    for name, value in tensors.items():
        assert value.dtype == torch.int32 or bool((value.isfinite() | value.isneginf()).all()), f"{case.name} {name}"
    case.path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in spec.items()]
    case.path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    if tensors:
        save_file(tensors, case.path.with_suffix(".safetensors"))
