from __future__ import annotations

import json
import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cosy.train.assemble import averaged
from cosy.train.trainer import Schedule, Trainer

State = dict[str, Tensor]


class PowerCutError(Exception):
    """What ends a run before its time."""


class SumTask:
    """Learn to add four numbers; dropout makes the steps depend on torch's generator too."""

    def __init__(self, cut_at: int | None = None, dropout: float = 0.5) -> None:
        self.network = nn.Sequential(nn.Linear(4, 16), nn.Dropout(dropout), nn.Linear(16, 1))
        self.left = cut_at

    def batch(self, rng: np.random.Generator) -> Tensor:
        if self.left == 0:
            raise PowerCutError
        if self.left is not None:
            self.left -= 1
        return torch.from_numpy(rng.standard_normal((8, 4), dtype=np.float32))

    def loss(self, batch: Tensor, progress: float) -> tuple[Tensor, dict[str, float]]:
        error = (self.network(batch).squeeze(-1) - batch.sum(-1)).square().mean()
        return error, {"progress": progress}


class NotFiniteTask(SumTask):
    """Every batch but the first has no finite gradient."""

    def loss(self, batch: Tensor, progress: float) -> tuple[Tensor, dict[str, float]]:
        error, figures = super().loss(batch, progress)
        return (error if progress == 0 else error * math.inf), figures


def schedule(steps: int = 20, **changes: Any) -> Schedule:
    """By steps alone, in float32."""
    settings = {"learning_rate": 1e-2, "minutes": math.inf, "warmup_steps": 5, "bfloat16": False}
    return Schedule(**{**settings, "steps": steps, **changes})


def saved(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "last.pt", weights_only=True)
    return found


def assert_same(a: State, b: State) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[key], b[key]) for key in a)


def rates(plan: Schedule) -> list[float]:
    return [plan.rate(step, step / plan.steps) for step in range(plan.steps + 1)]


def test_a_resumed_run_continues_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(1)
    list(Trainer(SumTask(), schedule(), tmp_path / "whole").run())
    torch.manual_seed(1)
    with pytest.raises(PowerCutError):
        list(Trainer(SumTask(cut_at=10), schedule(checkpoint_minutes=0), tmp_path / "cut").run())
    assert saved(tmp_path / "cut")["step"] == 10
    torch.manual_seed(99)  # other initial weights, another state of the generator: neither may matter
    list(Trainer(SumTask(), schedule(), tmp_path / "cut").run())
    whole, cut = saved(tmp_path / "whole"), saved(tmp_path / "cut")
    assert whole["step"] == cut["step"] == 20
    assert_same(whole["network"], cut["network"])
    assert_same(whole["average"], cut["average"])


def test_the_same_seed_trains_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(5)
        list(Trainer(SumTask(), schedule(seed=seed), tmp_path / name).run())
    a, b, c = (saved(tmp_path / name)["network"] for name in "abc")
    assert_same(a, b)
    assert not torch.equal(a["0.weight"], c["0.weight"])


def test_a_finished_run_is_not_trained_further(tmp_path: Path) -> None:
    list(Trainer(SumTask(), schedule(), tmp_path).run())
    before = saved(tmp_path)
    assert list(Trainer(SumTask(), schedule(), tmp_path).run()) == []
    assert_same(before["network"], saved(tmp_path)["network"])


def test_a_longer_schedule_goes_on_from_a_finished_run(tmp_path: Path) -> None:
    list(Trainer(SumTask(), schedule(20), tmp_path).run())
    list(Trainer(SumTask(), schedule(30), tmp_path).run())
    assert saved(tmp_path)["step"] == 30


def test_minutes_end_a_run_too(tmp_path: Path) -> None:
    trainer = Trainer(SumTask(), schedule(10**9, minutes=1e-3), tmp_path)
    list(trainer.run())
    assert trainer.progress >= 1
    assert trainer.spent_s >= 0.06


def test_with_infinite_minutes_progress_depends_on_steps_alone(tmp_path: Path) -> None:
    trainer = Trainer(SumTask(), schedule(40), tmp_path)
    trainer.step, trainer.spent_s = 10, 1e9
    assert trainer.progress == 0.25


def test_a_crash_while_saving_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list(Trainer(SumTask(), schedule(20), tmp_path).run())

    def full_disk(state: object, path: Path) -> None:
        path.write_bytes(b"half a file")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full_disk)
        with pytest.raises(OSError, match="no space"):
            list(Trainer(SumTask(), schedule(30), tmp_path).run())
    assert saved(tmp_path)["step"] == 20
    assert Trainer(SumTask(), schedule(30), tmp_path).step == 20


def test_a_step_whose_gradient_is_not_finite_is_skipped_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        list(Trainer(NotFiniteTask(), schedule(1), tmp_path).run())
        after_one = saved(tmp_path)["network"]
        assert not caplog.records
        list(Trainer(NotFiniteTask(), schedule(4), tmp_path).run())
    assert_same(after_one, saved(tmp_path)["network"])
    assert [r.getMessage().split(":")[0] for r in caplog.records] == [f"step {n} is skipped" for n in (1, 2, 3)]


def test_the_loss_falls(tmp_path: Path) -> None:
    rows = list(Trainer(SumTask(dropout=0.0), schedule(200), tmp_path).run())
    assert rows[-1]["loss"] < 0.1 * rows[0]["loss"]


def test_every_fifty_steps_are_logged(tmp_path: Path) -> None:
    rows = list(Trainer(SumTask(), schedule(120), tmp_path).run())
    assert [row["step"] for row in rows] == [50, 100]
    assert rows[0]["progress"] == pytest.approx(np.mean(np.arange(50) / 120))
    assert set(rows[0]) == {"loss", "norm", "progress", "step", "minutes"}
    assert [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()] == rows


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    task = SumTask()
    trainer = Trainer(task, schedule(60, ema=0.9), tmp_path)
    start = trainer.average["0.weight"].clone()
    list(trainer.run())
    end, average = task.network.state_dict()["0.weight"], saved(tmp_path)["average"]["0.weight"]
    assert 0 < (average - end).norm() < 0.5 * (start - end).norm()


def test_the_average_of_weights_that_stand_still_is_those_weights(tmp_path: Path) -> None:
    task = SumTask()
    before = {key: value.clone() for key, value in task.network.state_dict().items()}
    list(Trainer(task, schedule(10, learning_rate=0.0), tmp_path).run())
    assert_same(before, averaged(tmp_path))


def test_the_average_of_a_part_loses_its_prefix(tmp_path: Path) -> None:
    list(Trainer(SumTask(), schedule(2), tmp_path).run())
    assert set(averaged(tmp_path, "0.")) == {"weight", "bias"}


def test_frozen_parameters_stay_as_they_are(tmp_path: Path) -> None:
    task = SumTask()
    task.network[0].requires_grad_(False)
    before = task.network[0].weight.clone()
    list(Trainer(task, schedule(5), tmp_path).run())
    assert torch.equal(task.network[0].weight, before)


def test_denormal_numbers_are_back_after_a_run(tmp_path: Path) -> None:
    list(Trainer(SumTask(), schedule(2), tmp_path).run())
    assert (torch.tensor([1e-40]) * 1.0).item() > 0


def test_the_rate_rises_then_falls_to_a_twentieth() -> None:
    plan = schedule(1000, learning_rate=2e-3, warmup_steps=100)
    values = rates(plan)
    assert values[0] == pytest.approx(2e-5)
    assert all(a < b for a, b in pairwise(values[:90]))
    assert all(a > b for a, b in pairwise(values[100:]))
    assert max(values) == pytest.approx(2e-3, rel=0.05)
    assert values[-1] == pytest.approx(1e-4)


def test_the_rate_stays_low_beyond_the_end() -> None:
    plan = schedule(100)
    assert plan.rate(150, 1.5) == plan.rate(100, 1.0)
