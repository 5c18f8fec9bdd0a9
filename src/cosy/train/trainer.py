"""One training loop for every network.

A `Task` knows its network, how to draw a batch from a random generator, and the loss of a batch.
The loop does the rest: AdamW, warm-up and cosine decay over steps or wall-clock minutes (whichever
ends first), gradient clipping, an exponential moving average, a log, checkpoints and resume.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)


class Task(Protocol):
    """What is trained: `network` holds every parameter, training-only heads included."""

    network: nn.Module

    def batch(self, rng: np.random.Generator) -> Any:
        """Draw one batch; a pure function of the generator's state."""
        ...

    def loss(self, batch: Any, progress: float) -> tuple[Tensor, dict[str, float]]:
        """Scalar loss and figures for the log; `progress` runs from 0 to 1."""
        ...


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.  Training ends at `steps` or after `minutes` of computing, whichever comes first."""

    learning_rate: float
    minutes: float  # math.inf: `steps` alone decides, and a run can be repeated bit for bit
    steps: int = 10**9
    warmup_steps: int = 100
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    bfloat16: bool = True
    ema: float = 0.999
    checkpoint_minutes: float = 3.0
    seed: int = 0

    def rate(self, step: int, progress: float) -> float:
        """Learning rate: linear warm-up, then half a cosine down to 5 %."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        return self.learning_rate * warm * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


class Trainer:
    """Runs a task in a folder: `log.jsonl`, `last.pt` (everything needed to resume)."""

    def __init__(self, task: Task, schedule: Schedule, folder: Path) -> None:
        self.task, self.schedule, self.folder = task, schedule, folder
        self.step, self.spent_s = 0, 0.0
        self.rng = np.random.default_rng(schedule.seed)
        parameters = [p for p in task.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(
            parameters, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=schedule.weight_decay, fused=True
        )
        self.average = {k: v.detach().clone() for k, v in task.network.state_dict().items()}
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "last.pt").exists():
            self._resume()

    @property
    def progress(self) -> float:
        """Share of the schedule that is done."""
        return max(self.step / self.schedule.steps, self.spent_s / (60 * self.schedule.minutes))

    def _resume(self) -> None:
        saved = torch.load(self.folder / "last.pt", weights_only=True)
        self.task.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average = saved["average"]
        self.step, self.spent_s = saved["step"], saved["spent_s"]
        self.rng.bit_generator.state = json.loads(saved["rng"])
        torch.set_rng_state(saved["torch_rng"])
        log.info("resumed %s at step %d", self.folder, self.step)

    def save(self) -> None:
        """Write a checkpoint; a crash leaves the previous one."""
        state = {
            "network": self.task.network.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "spent_s": self.spent_s,
            "rng": json.dumps(self.rng.bit_generator.state),
            "torch_rng": torch.get_rng_state(),
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
        self.optimizer.param_groups[0]["lr"] = self.schedule.rate(self.step, self.progress)
        batch = self.task.batch(self.rng)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.schedule.bfloat16):
            loss, figures = self.task.loss(batch, self.progress)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.task.network.parameters(), self.schedule.clip_norm)
        if torch.isfinite(norm):
            self.optimizer.step()
        else:
            log.warning("step %d is skipped: the norm of its gradient is %s", self.step, float(norm))
        return {"loss": float(loss.detach()), "norm": float(norm), **figures}

    def run(self) -> Iterator[dict[str, float]]:
        """Train to the end of the schedule, yielding the mean figures of every 50 steps."""
        torch.set_flush_denormal(True)  # of the whole process: denormal numbers make a CPU many times slower
        try:
            yield from self._run()
        finally:
            torch.set_flush_denormal(False)

    def _run(self) -> Iterator[dict[str, float]]:
        self.task.network.train()
        saved_s, sums, started = self.spent_s, [], time.perf_counter()
        with (self.folder / "log.jsonl").open("a") as file:
            while self.progress < 1:
                sums.append(self._update())
                self._average()
                self.step += 1
                now = time.perf_counter()
                self.spent_s, started = self.spent_s + now - started, now
                if self.step % 50 == 0:
                    row = {k: float(np.mean([s[k] for s in sums])) for k in sums[-1]}
                    row |= {"step": self.step, "minutes": self.spent_s / 60}
                    file.write(json.dumps(row) + "\n")
                    file.flush()
                    sums = []
                    yield row
                if self.spent_s - saved_s > 60 * self.schedule.checkpoint_minutes:
                    saved_s = self.spent_s
                    self.save()
        self.save()
