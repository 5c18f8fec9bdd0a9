from __future__ import annotations

import math
from typing import Any

import pytest

from cosy.errors import ParameterError
from cosy.train.schedule import Schedule


def plan(**changes: Any) -> Schedule:
    return Schedule(**{"learning_rate": 1.0, "minutes": math.inf, "steps": 1000, "warmup_steps": 10, **changes})


@pytest.mark.parametrize(
    ("decay", "middle", "end"),
    [("cosine", 0.525, 0.05), ("linear", 0.525, 0.05), ("constant", 1.0, 1.0), ("inverse_sqrt", 0.1413, 0.0999)],
)
def test_every_decay_starts_at_the_top_and_ends_where_it_says(decay: Any, middle: float, end: float) -> None:
    schedule = plan(decay=decay)
    assert schedule.rate(9, 0.0) == pytest.approx(1.0)
    assert schedule.rate(500, 0.5) == pytest.approx(middle, rel=1e-3)
    assert schedule.rate(1000, 1.0) == pytest.approx(end, rel=1e-2)


@pytest.mark.parametrize("decay", ["cosine", "linear", "constant", "inverse_sqrt"])
def test_every_decay_is_warmed_up(decay: Any) -> None:
    assert plan(decay=decay).rate(4, 0.0) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"precision": "int8"}, "auto, float32, bfloat16, float16, got 'int8'"),
        ({"decay": "sudden"}, "got 'sudden'"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"accumulate": 0}, "accumulate must be at least 1"),
        ({"minutes": 0.0}, "minutes must be above 0"),
        ({"learning_rate": -1.0}, "learning_rate must be at least 0"),
        ({"ema": 1.0}, "ema must be from 0"),
    ],
)
def test_an_impossible_value_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterError, match=told):
        plan(**changes)
