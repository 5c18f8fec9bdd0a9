"""The harness of the golden cases would notice: wrong values, wrong keys, unknown cases, other weights."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.golden import FOLDER, Case, close
from tests.golden.test_golden import CASES, NOT_COVERED, relative, runner_of
from tests.weights import key_weight

EXPECTED = torch.tensor([[1.0, -200.0], [0.001, 0.0]])
TOLERANCES = [
    pytest.param("exact", id="exact"),
    pytest.param(1e-4, id="number"),
    pytest.param({"atol": 1e-4}, id="atol"),
    pytest.param({"max_abs": 1e-4}, id="max_abs"),
    pytest.param({"max_abs": 1e-4, "max_rel": 1e-4}, id="max_rel"),
    pytest.param({"atol": 1e-4, "rtol": 1e-4}, id="rtol"),
    pytest.param({"atol": 1e-4, "rel_max": 1e-5}, id="rel_max"),
]


def changed(value: float, row: int = 1, column: int = 0) -> Tensor:
    other = EXPECTED.clone()
    other[row, column] = value
    return other


@pytest.mark.parametrize("tolerance", TOLERANCES)
def test_close_accepts_equal_values(tolerance: object) -> None:
    close("x", EXPECTED.clone(), EXPECTED, tolerance)


@pytest.mark.parametrize("tolerance", TOLERANCES)
@pytest.mark.parametrize("value", [0.1, math.nan, math.inf, -math.inf])
def test_close_catches_one_wrong_element_and_names_it(tolerance: object, value: float) -> None:
    with pytest.raises(AssertionError, match=r"x: worst element \(1, 0\)"):
        close("x", changed(value), EXPECTED, tolerance)


@pytest.mark.parametrize("tolerance", TOLERANCES)
def test_close_catches_a_wrong_shape_even_where_it_would_broadcast(tolerance: object) -> None:
    for got in (EXPECTED[None], EXPECTED[:1], EXPECTED.flatten(), torch.tensor(1.0)):
        with pytest.raises(AssertionError, match="x: shape"):
            close("x", got, EXPECTED, tolerance)


def test_close_allows_what_the_tolerance_allows_and_no_more() -> None:
    close("x", changed(0.0019), EXPECTED, {"atol": 1e-3})
    close("x", changed(-200.9, 0, 1), EXPECTED, {"rtol": 5e-3})
    close("x", changed(0.0019), EXPECTED, {"rel_max": 5e-6})
    for tolerance in ({"atol": 8e-4}, {"rtol": 0.5}, {"rel_max": 4e-6}):
        with pytest.raises(AssertionError):
            close("x", changed(0.0019), EXPECTED, tolerance)


def test_close_catches_a_missing_part_of_an_empty_result() -> None:
    close("x", torch.zeros(0, 3), torch.zeros(0, 3), "exact")
    with pytest.raises(AssertionError, match="shape"):
        close("x", torch.zeros(0), torch.zeros(2), "exact")


def case_of(folder: Path, **spec: object) -> Case:
    path = folder / "drawn.json"
    path.write_text(json.dumps(spec))
    return Case(path)


def test_load_fills_a_module_with_the_weights_of_its_keys(tmp_path: Path) -> None:
    scaled = case_of(tmp_path, state_dict={"weight": [2, 3], "bias": [2]}, weight_scale={"bias": 10.0})
    layer = scaled.load(nn.Linear(3, 2))
    close("weight", layer.weight, key_weight("weight", (2, 3)), "exact")
    close("bias", layer.bias, 10 * key_weight("bias", (2,)), "exact")


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"weight": [2, 3]}, r"unexpected \['bias'\]"),
        ({"weight": [2, 3], "bias": [2], "scale": [2]}, r"missing \['scale'\]"),
        ({"weight": [3, 2], "bias": [2]}, r"other shapes \['weight'\]"),
    ],
    ids=["extra key", "missing key", "other shape"],
)
def test_load_refuses_a_module_with_other_keys_than_the_case(
    tmp_path: Path, keys: dict[str, list[int]], complaint: str
) -> None:
    for table in (keys, [list(pair) for pair in keys.items()]):
        with pytest.raises(AssertionError, match=complaint):
            case_of(tmp_path, state_dict=table).load(nn.Linear(3, 2))


@pytest.mark.parametrize("spec", [{"module": "nobody"}, {"module": "vocoder", "kind": "nothing"}])
def test_a_case_that_no_runner_knows_is_a_failure(tmp_path: Path, spec: dict[str, str]) -> None:
    with pytest.raises(AssertionError, match="0 runners know"):
        runner_of(case_of(tmp_path, **spec))


def test_weights_depend_on_key_and_shape_alone() -> None:
    assert np.array_equal(key_weight("a.weight", (4, 5)), key_weight("a.weight", (4, 5)))
    assert not np.array_equal(key_weight("a.weight", (4, 5)), key_weight("b.weight", (4, 5)))


@pytest.mark.skipif(not (FOLDER / "weights.py").exists(), reason="the golden folder has no weights.py")
def test_weights_are_those_of_the_golden_folder() -> None:
    golden = module_at(FOLDER / "weights.py").golden_weight
    shapes = {"weight": (3, 4, 2), "bias": (7,), "norm.weight": (5,), "bn.running_var": (6,), "act.alpha": (3,)}
    shapes |= {"parametrizations.weight.original0": (4, 1, 1), "parametrizations.weight.original1": (4, 2, 3)}
    for key, shape in shapes.items():
        assert np.array_equal(key_weight(key, shape), golden(key, shape)), key


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not CASES, reason="no golden folder")
def test_only_cosyvoice_3_is_left_out() -> None:
    left_out = [relative(path) for path in FOLDER.rglob("*.json") if path not in CASES]
    assert all(name.startswith(NOT_COVERED) for name in left_out)
