"""One training loop for every network.

A `Task` knows its network, how to draw a batch from a random generator, and the loss of a batch.  The loop does the
rest: AdamW, the schedule, mixed precision, accumulation and clipping of gradients, an exponential moving average,
the log, samples, checkpoints and resume, and several processes at once (`ranks`).

The network is trained on the device it is on; batches are moved there.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from cosy.nn.precision import supported
from cosy.train import ranks
from cosy.train.journal import Journal, Sample
from cosy.train.schedule import Precision, Schedule

__all__ = ["Adversarial", "Sampled", "Schedule", "Stateful", "Task", "Trainer", "moved"]

log = logging.getLogger(__name__)

Loss = Callable[[Any, float], tuple[Tensor, dict[str, float]]]


class Task(Protocol):
    """What is trained: `network` holds every parameter, training-only heads included."""

    @property
    def network(self) -> nn.Module: ...

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw one batch, on the CPU: a pure function of the generator's state, and of the task's if it has one."""
        ...

    def loss(self, batch: Any, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Scalar loss and figures for the log; `progress` runs from 0 to 1."""
        ...


@runtime_checkable
class Adversarial(Protocol):
    """A task with an opponent: `critics` are trained before the network on every batch, with their own optimizer."""

    @property
    def critics(self) -> nn.Module: ...

    def critics_loss(self, batch: Any, progress: float) -> tuple[Tensor, dict[str, float]]:
        """As `Task.loss`; nothing of it may reach the network."""
        ...


@runtime_checkable
class Sampled(Protocol):
    """A task whose network can be heard or looked at while it is trained."""

    def samples(self, rng: np.random.Generator) -> dict[str, Sample]:
        """By name; the network is in evaluation mode, the generator in the same state every time."""
        ...


@runtime_checkable
class Stateful(Protocol):
    """A task that remembers where in the corpus it is."""

    def state(self) -> Any:
        """What JSON can hold."""
        ...

    def restore(self, state: Any) -> None:
        """Go on from what `state` gave."""
        ...


def moved(batch: Any, device: torch.device) -> Any:
    """`batch` with all tensors on the device, in whatever tuples, lists, dictionaries or objects with `to` they are."""
    if isinstance(batch, dict):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(moved(value, device) for value in batch))
    if isinstance(batch, (list, tuple)):
        return type(batch)(moved(value, device) for value in batch)
    return batch.to(device) if hasattr(batch, "to") else batch


@dataclass
class Side:
    """A network, its objective and its optimizer; an adversarial task has two of them that take turns."""

    name: str  # before its figures in the log
    network: nn.Module
    loss: Loss
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler

    @classmethod
    def of(cls, name: str, network: nn.Module, loss: Loss, schedule: Schedule, device: torch.device) -> Side:
        parameters = [p for p in network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(
            parameters, schedule.learning_rate, schedule.betas, weight_decay=schedule.weight_decay, fused=True
        )
        scaler = torch.amp.GradScaler(device.type, enabled=schedule.precision == "float16")
        return cls(name, network, loss, parameters, optimizer, scaler)

    def update(self, batches: Sequence[Any], rate: float, progress: float, schedule: Schedule) -> dict[str, float]:
        """One step on the mean loss of the batches; it is skipped where the gradient is not finite."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        rows = [self._backward(batch, progress, schedule, len(batches)) for batch in batches]
        ranks.average_gradients(self.parameters)
        self.scaler.unscale_(self.optimizer)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, schedule.clip_norm))
        if math.isfinite(norm):
            self.scaler.step(self.optimizer)
        self.scaler.update()
        figures = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        return {self.name + key: value for key, value in {"norm": norm, **figures}.items()}

    def _backward(self, batch: Any, progress: float, schedule: Schedule, count: int) -> dict[str, float]:
        kind = self.parameters[0].device.type
        dtype = torch.bfloat16 if schedule.precision == "float32" else getattr(torch, schedule.precision)
        with torch.autocast(kind, dtype=dtype, enabled=schedule.precision != "float32"):
            loss, figures = self.loss(batch, progress)
        self.scaler.scale(loss / count).backward()  # type: ignore[no-untyped-call]
        return {"loss": float(loss.detach()), **figures}

    def state(self) -> dict[str, Any]:
        """Without the weights."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state.get("scaler", {}) or self.scaler.state_dict())


class Trainer:
    """Runs a task in a folder: `log.jsonl`, `last.pt` (everything needed to resume), `samples/`."""

    def __init__(self, task: Task, schedule: Schedule, folder: Path, *, tensorboard: bool = False) -> None:
        self.task, self.folder, self.tensorboard = task, folder, tensorboard
        self.step, self.spent_s = 0, 0.0
        self.stopping = False
        self.device = next(task.network.parameters()).device
        self.schedule = schedule = replace(schedule, precision=_precision(schedule, self.device))
        self.rng = ranks.generator(schedule.seed)
        if ranks.rank():
            torch.manual_seed(int(self.rng.integers(2**31)))
        self.sides = [Side.of("", task.network, task.loss, schedule, self.device)]
        if isinstance(task, Adversarial):
            critics = task.critics.to(self.device)
            self.sides.insert(0, Side.of("critics_", critics, task.critics_loss, schedule, self.device))
        for side in self.sides:
            ranks.share_weights(side.network)
        self.average = {k: v.detach().clone() for k, v in task.network.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "last.pt").exists():
            self._resume()

    @property
    def progress(self) -> float:
        """Share of the schedule that is done."""
        return max(self.step / self.schedule.steps, self.spent_s / (60 * self.schedule.minutes))

    @property
    def finished(self) -> bool:
        return self.progress >= 1

    def stop(self) -> None:
        """Let `run` end after the present step, with a checkpoint from which another `Trainer` goes on."""
        self.stopping = True

    def _resume(self) -> None:
        saved = torch.load(self.folder / "last.pt", weights_only=True, map_location=self.device)
        self.sides[-1].restore(saved)
        self.task.network.load_state_dict(saved["network"])
        for side in self.sides[:-1]:
            side.restore(saved[side.name])
            side.network.load_state_dict(saved[side.name]["network"])
        self.average = saved["average"]
        self.step, self.spent_s = saved["step"], saved["spent_s"]
        chances = saved.get("ranks") or [{"rng": saved["rng"], "torch_rng": saved["torch_rng"]}]
        if ranks.rank() < len(chances):
            self._restore_chance(chances[ranks.rank()])
        log.info("resumed %s at step %d", self.folder, self.step)

    def _chance(self) -> dict[str, Any]:
        """All that is this process's own."""
        state: dict[str, Any] = {"rng": json.dumps(self.rng.bit_generator.state), "torch_rng": torch.get_rng_state()}
        if self.device.type == "cuda":
            state["cuda_rng"] = torch.cuda.get_rng_state(self.device)
        if isinstance(self.task, Stateful):
            state["task"] = json.dumps(self.task.state())
        return state

    def _restore_chance(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = json.loads(state["rng"])
        torch.set_rng_state(state["torch_rng"].cpu())
        if self.device.type == "cuda" and "cuda_rng" in state:
            torch.cuda.set_rng_state(state["cuda_rng"].cpu(), self.device)
        if isinstance(self.task, Stateful) and "task" in state:
            self.task.restore(json.loads(state["task"]))

    def save(self) -> None:
        """Write a checkpoint; a crash leaves the previous one."""
        chances = ranks.gathered(self._chance())
        if ranks.rank():
            return
        state = {
            **self.sides[-1].state(),
            "network": self.task.network.state_dict(),
            "average": self.average,
            **{side.name: {"network": side.network.state_dict(), **side.state()} for side in self.sides[:-1]},
            "step": self.step,
            "spent_s": self.spent_s,
            "ranks": chances,
        }
        partial = self.folder / "last.pt.partial"
        torch.save(state, partial)
        partial.replace(self.folder / "last.pt")

    def _average(self) -> None:
        decay = min(self.schedule.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for key, value in self.task.network.state_dict().items():
                if value.is_floating_point():
                    self.average[key].lerp_(value, 1 - decay)
                else:
                    self.average[key].copy_(value)

    def _update(self) -> dict[str, float]:
        progress = self.progress
        figures: dict[str, float] = {}
        rate = self.schedule.rate(self.step, progress)
        batches = [moved(self.task.batch(self.rng), self.device) for _ in range(self.schedule.accumulate)]
        for side in self.sides:
            with _frozen([p for other in self.sides if other is not side for p in other.parameters]):
                row = side.update(batches, rate, progress, self.schedule)
            if not math.isfinite(row[f"{side.name}norm"]):
                norm = row[f"{side.name}norm"]
                log.warning("step %d is skipped: the norm of its gradient is %s", self.step, norm)
            figures |= row
        return figures

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the end of the schedule, yielding the mean figures of every `log_steps` steps."""
        torch.set_flush_denormal(True)  # of the whole process: denormal numbers make a CPU many times slower
        journal = Journal(self.folder, self.tensorboard) if ranks.rank() == 0 else None
        try:
            yield from self._run(journal)
        finally:
            if journal is not None:
                journal.close()
            torch.set_flush_denormal(False)

    def _run(self, journal: Journal | None) -> Iterator[dict[str, float]]:
        for side in self.sides:
            side.network.train()
        saved_s = shown_s = self.spent_s
        sums, started = [], time.perf_counter()
        while not (self.finished or self.stopping):
            sums.append(self._update())
            self._average()
            self.step += 1
            now = time.perf_counter()
            self._agree(self.spent_s + now - started)
            started = now
            if self.step % self.schedule.log_steps == 0:
                row = {k: float(np.mean([s[k] for s in sums])) for k in sums[-1]}
                row |= {"step": self.step, "minutes": self.spent_s / 60}
                sums = []
                if journal is not None:
                    journal.write(row)
                yield row
            if self.spent_s - shown_s > 60 * self.schedule.samples_minutes:
                shown_s = self.spent_s
                self._show(journal)
            if self.spent_s - saved_s > 60 * self.schedule.checkpoint_minutes:
                saved_s = self.spent_s
                self.save()
        self.save()

    def _agree(self, spent_s: float) -> None:
        """All processes end at the same step: by the longest time, and if any of them was told to."""
        self.spent_s, stopping = ranks.greatest([spent_s, self.stopping])
        self.stopping = bool(stopping)

    def _show(self, journal: Journal | None) -> None:
        """Samples of the present weights, by chance of their own."""
        if journal is None or not isinstance(self.task, Sampled):
            return
        self.task.network.eval()
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), torch.inference_mode():
            journal.show(self.step, self.task.samples(np.random.default_rng(self.schedule.seed)))
        self.task.network.train()


def _precision(schedule: Schedule, device: torch.device) -> Precision:
    """The schedule's, settled: a CPU without instructions for bfloat16 takes twenty times as long with it."""
    if schedule.precision != "auto":
        return schedule.precision
    return "bfloat16" if device.type != "cpu" or supported("bfloat16") else "float32"


@contextmanager
def _frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """No gradient is computed for the parameters meanwhile."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
