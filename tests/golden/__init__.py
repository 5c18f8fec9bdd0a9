"""Golden cases: the independent truth, read from the folder named by COSY_GOLDEN.

A case is NAME.json (+ NAME.safetensors).  `Case` reads it; the modules `cases_*.py` beside this
file each hold `RUNNERS`, a table from what a case is (module, kind) to the function that runs it;
`test_golden.py` walks the folder, so that another set of cases in the same format runs unchanged.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.weights import key_weight

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = Path(os.environ.get("COSY_GOLDEN", REPOSITORY.parent / "shared" / "golden"))
DATA = Path(os.environ.get("COSY_DATA", REPOSITORY.parent / "shared" / "data"))  # the recordings some cases name


@dataclass(frozen=True)
class Case:
    """One golden case: its JSON as `spec`, its tensors on demand."""

    path: Path

    @cached_property
    def spec(self) -> dict[str, Any]:
        return json.loads(self.path.read_text(encoding="utf-8"))

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        file = self.path.with_suffix(".safetensors")
        return load_file(file) if file.exists() else {}

    def state_shapes(self, part: str | None = None) -> dict[str, tuple[int, ...]]:
        """Key -> shape of the case's state dict (of one part, where it has several)."""
        table = self.spec["state_dict"]
        if part is not None:
            table = table[part]
        pairs = table.items() if isinstance(table, dict) else table
        return {key: tuple(shape) for key, shape in pairs}

    def load(self, module: nn.Module, part: str | None = None) -> nn.Module:
        """Fill `module` with the case's weights; its keys and shapes must be exactly the case's."""
        shapes = self.state_shapes(part)
        own = {key: tuple(value.shape) for key, value in module.state_dict().items()}
        assert own == shapes, (
            f"{self.name}: state dict differs: missing {sorted(shapes.keys() - own.keys())[:5]}, "
            f"unexpected {sorted(own.keys() - shapes.keys())[:5]}, "
            f"other shapes {[k for k in own.keys() & shapes.keys() if own[k] != shapes[k]][:5]}"
        )
        scale = self.spec.get("weight_scale", {})
        module.load_state_dict(
            {
                key: value if value.ndim == 0 else torch.from_numpy(key_weight(key, shapes[key])) * scale.get(key, 1.0)
                for key, value in module.state_dict().items()
            }
        )
        return module.eval()


def close(what: str, got: Any, expected: Any, tolerance: Any) -> None:
    """Assert closeness under any of the tolerance forms the cases use; the message names the worst element.

    Forms: "exact", a number (absolute), or a dict of atol / max_abs (absolute), rtol / max_rel (times
    each |expected|) and rel_max (times the largest |expected|).
    """
    got = np.asarray(got.detach().cpu() if isinstance(got, Tensor) else got)
    expected = np.asarray(expected.detach().cpu() if isinstance(expected, Tensor) else expected)
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, expected {expected.shape}"
    if expected.size == 0:
        return
    if isinstance(tolerance, str) and tolerance.startswith("exact"):
        tolerance = {}
    if isinstance(tolerance, (int, float)):
        tolerance = {"atol": tolerance}
    absolute = tolerance.get("atol", 0.0) + tolerance.get("max_abs", 0.0)
    relative = tolerance.get("rtol", 0.0) + tolerance.get("max_rel", 0.0)
    size = np.abs(np.where(np.isfinite(expected), expected, 0).astype(np.float64))  # an infinity widens no bound
    bound = absolute + relative * size + tolerance.get("rel_max", 0.0) * size.max()
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        error = np.abs(got.astype(np.float64) - expected)
    error = np.where(np.isfinite(error), error, np.inf)
    error = np.where(got == expected, 0.0, error)  # equal infinities
    worst = np.unravel_index(np.argmax(error - bound), error.shape)
    excess = np.broadcast_to(bound, error.shape)[worst]
    assert error[worst] <= excess, (
        f"{what}: worst element {tuple(int(i) for i in worst)}: got {got[worst]}, expected {expected[worst]}, "
        f"error {error[worst]:.3g} > {excess:.3g}"
    )


def discover(folder: Path) -> list[Path]:
    """Every case file below `folder`, sorted."""
    return sorted(folder.rglob("*.json"))
