from __future__ import annotations

import json
import logging
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor, nn

from cosy.nn.precision import supported
from cosy.train.assemble import averaged
from cosy.train.journal import Picture, Sample, Sound
from cosy.train.trainer import Schedule, Trainer, _precision, moved

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
    settings = {"learning_rate": 1e-2, "minutes": math.inf, "warmup_steps": 5, "precision": "float32"}
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


# ---- accumulation, precision, stopping


def test_two_accumulated_halves_are_one_whole_batch(tmp_path: Path) -> None:
    for name, task, changes in (
        ("halves", SplitTask(4), {"accumulate": 2}),
        ("whole", SplitTask(8), {}),
    ):
        torch.manual_seed(1)
        task.network.apply(lambda m: m.reset_parameters() if isinstance(m, nn.Linear) else None)
        list(Trainer(task, schedule(6, **changes), tmp_path / name).run())
    halves, whole = (saved(tmp_path / name)["network"] for name in ("halves", "whole"))
    for key, value in whole.items():
        torch.testing.assert_close(halves[key], value, rtol=1e-4, atol=1e-6)


class SplitTask(SumTask):
    """Batches of `size` rows out of one endless stream."""

    def __init__(self, size: int) -> None:
        super().__init__(dropout=0.0)
        self.size = size

    def batch(self, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(rng.standard_normal((self.size, 4), dtype=np.float32))


def test_a_resumed_run_with_accumulation_continues_bit_for_bit(tmp_path: Path) -> None:
    torch.manual_seed(1)
    list(Trainer(SumTask(), schedule(accumulate=3), tmp_path / "whole").run())
    torch.manual_seed(1)
    with pytest.raises(PowerCutError):  # in the middle of the eighth update
        list(Trainer(SumTask(cut_at=22), schedule(accumulate=3, checkpoint_minutes=1e-9), tmp_path / "cut").run())
    assert saved(tmp_path / "cut")["step"] == 7
    list(Trainer(SumTask(), schedule(accumulate=3), tmp_path / "cut").run())
    assert_same(saved(tmp_path / "whole")["network"], saved(tmp_path / "cut")["network"])
    assert_same(saved(tmp_path / "whole")["average"], saved(tmp_path / "cut")["average"])


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_float32_weights(tmp_path: Path, precision: Any) -> None:
    task = SumTask(dropout=0.0)
    rows = list(Trainer(task, schedule(200, precision=precision), tmp_path).run())
    assert {p.dtype for p in task.network.parameters()} == {torch.float32}
    assert rows[-1]["loss"] < 0.2 * rows[0]["loss"]


def test_precision_is_settled_by_what_the_machine_has(tmp_path: Path) -> None:
    trainer = Trainer(SumTask(dropout=0.0), schedule(2, precision="auto"), tmp_path)
    assert trainer.schedule.precision == ("bfloat16" if supported("bfloat16") else "float32")
    assert _precision(schedule(2, precision="auto"), torch.device("cuda")) == "bfloat16"
    assert _precision(schedule(2, precision="float16"), torch.device("cpu")) == "float16"


def test_a_stopped_run_saves_and_another_goes_on_from_there(tmp_path: Path) -> None:
    torch.manual_seed(1)
    list(Trainer(SumTask(), schedule(60), tmp_path / "whole").run())
    torch.manual_seed(1)
    trainer = Trainer(SumTask(), schedule(60, log_steps=25), tmp_path / "stopped")
    for _ in trainer.run():
        trainer.stop()
    assert saved(tmp_path / "stopped")["step"] == 25
    list(Trainer(SumTask(), schedule(60), tmp_path / "stopped").run())
    assert_same(saved(tmp_path / "whole")["network"], saved(tmp_path / "stopped")["network"])


def test_a_checkpoint_of_an_earlier_form_is_read(tmp_path: Path) -> None:
    torch.manual_seed(1)
    list(Trainer(SumTask(), schedule(20), tmp_path / "whole").run())
    torch.manual_seed(1)
    with pytest.raises(PowerCutError):
        list(Trainer(SumTask(cut_at=10), schedule(checkpoint_minutes=1e-9), tmp_path / "cut").run())
    state = saved(tmp_path / "cut")
    chance = state.pop("ranks")[0]
    del state["scaler"]
    torch.save({**state, "rng": chance["rng"], "torch_rng": chance["torch_rng"]}, tmp_path / "cut" / "last.pt")
    list(Trainer(SumTask(), schedule(20), tmp_path / "cut").run())
    assert_same(saved(tmp_path / "whole")["network"], saved(tmp_path / "cut")["network"])


class CountingTask(SumTask):
    """Remembers how many batches it gave."""

    given = 0

    def batch(self, rng: np.random.Generator) -> Tensor:
        self.given += 1
        return super().batch(rng)

    def state(self) -> int:
        return self.given

    def restore(self, state: int) -> None:
        self.given = state


def test_a_task_goes_on_with_what_it_remembers(tmp_path: Path) -> None:
    list(Trainer(CountingTask(), schedule(5), tmp_path).run())
    task = CountingTask()
    Trainer(task, schedule(9), tmp_path)
    assert task.given == 5


def test_a_batch_moves_as_a_whole() -> None:
    inner = Pair(torch.zeros(1), [torch.zeros(2), "word"])
    there = moved({"a": (inner, torch.zeros(3)), "n": 4}, torch.device("meta"))
    assert there["a"][0].left.is_meta
    assert there["a"][0].right[0].is_meta
    assert there["a"][1].is_meta
    assert (there["a"][0].right[1], there["n"]) == ("word", 4)


class Pair(NamedTuple):
    left: Tensor
    right: list[Any]


# ---- opponents


class TugTask:
    """The network wants its number above that of the critics, and they want the opposite."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1, bias=False)
        self.critics = nn.Linear(1, 1, bias=False)
        self.turns: list[str] = []
        with torch.no_grad():
            self.network.weight.fill_(1.0)
            self.critics.weight.fill_(2.0)

    def batch(self, rng: np.random.Generator) -> Tensor:
        return torch.ones(1, 1)

    def loss(self, batch: Tensor, progress: float) -> tuple[Tensor, dict[str, float]]:
        self.turns.append("network")
        assert not self.critics.weight.requires_grad
        return (self.critics(batch) - self.network(batch)).sum(), {}

    def critics_loss(self, batch: Tensor, progress: float) -> tuple[Tensor, dict[str, float]]:
        self.turns.append("critics")
        assert not self.network.weight.requires_grad
        return (self.network(batch) - self.critics(batch)).sum(), {"gap": 0.5}


def test_opponents_take_turns_and_each_moves_only_itself(tmp_path: Path) -> None:
    task = TugTask()
    rows = list(Trainer(task, schedule(2, log_steps=1, weight_decay=0.0), tmp_path).run())
    assert task.turns == ["critics", "network"] * 2
    assert task.network.weight.item() > 1.0
    assert task.critics.weight.item() > 2.0
    assert rows[0]["critics_gap"] == 0.5
    assert {"loss", "norm", "critics_loss", "critics_norm"} <= set(rows[0])


def test_both_opponents_resume(tmp_path: Path) -> None:
    list(Trainer(TugTask(), schedule(6), tmp_path / "whole").run())
    trainer = Trainer(TugTask(), schedule(6, log_steps=3), tmp_path / "cut")
    for _ in trainer.run():
        trainer.stop()
    task = TugTask()
    list(Trainer(task, schedule(6), tmp_path / "cut").run())
    whole = saved(tmp_path / "whole")
    assert_same(task.network.state_dict(), whole["network"])
    assert_same(task.critics.state_dict(), whole["critics_"]["network"])


# ---- what is left to look at


class SingingTask(SumTask):
    """Shows how it does; in evaluation mode, as everybody knows."""

    def samples(self, rng: np.random.Generator) -> dict[str, Sample]:
        assert not self.network.training
        torch.rand(3)  # whatever it draws must not change the training
        tone = np.sin(np.arange(2400) * 0.1).astype(np.float32)
        return {"tone": Sound(tone, 24_000), "mel": Picture(rng.random((80, 10)))}


def test_samples_are_written_and_change_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need the extra `train`")
    torch.manual_seed(1)
    list(Trainer(SingingTask(), schedule(4, samples_minutes=1e-9), tmp_path / "shown").run())
    torch.manual_seed(1)
    list(Trainer(SingingTask(), schedule(4), tmp_path / "not").run())
    assert_same(saved(tmp_path / "shown")["network"], saved(tmp_path / "not")["network"])
    wave, rate_hz = soundfile.read(tmp_path / "shown" / "samples" / "00000002" / "tone.wav")
    assert (len(wave), rate_hz) == (2400, 24_000)
    assert (tmp_path / "shown" / "samples" / "00000004" / "mel.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "not" / "samples").exists()


def test_tensorboard_gets_figures_sounds_and_pictures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="event files need the extra `train`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plan = schedule(2, log_steps=1, samples_minutes=1e-9)
    rows = list(Trainer(SingingTask(), plan, tmp_path, tensorboard=True).run())
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [e.value for e in events.Scalars("loss")] == pytest.approx([row["loss"] for row in rows])
    assert events.Tags()["images"] == ["mel"]
    assert events.Tags()["audio"] == ["tone"]
