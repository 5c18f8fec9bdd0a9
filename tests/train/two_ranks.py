"""A process of several that train one small network: `two_ranks.py FOLDER ROWS`, started as torch's launcher would."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cosy.train import ranks
from cosy.train.schedule import Schedule
from cosy.train.trainer import Trainer

STEPS, WHOLE = 5, 8


class ShareTask:
    """Batches are this process's share of what one process alone would draw."""

    def __init__(self, rows: int) -> None:
        torch.manual_seed(ranks.rank())  # other weights in every process, until they are shared
        self.network = nn.Linear(4, 1)
        self.rows, self.drawn = rows, 0

    def batch(self, rng: np.random.Generator) -> Tensor:
        whole = np.random.default_rng(self.drawn).standard_normal((WHOLE, 4), dtype=np.float32)
        self.drawn += 1
        return torch.from_numpy(whole[ranks.rank() * self.rows :][: self.rows])

    def loss(self, batch: Tensor, progress: float) -> tuple[Tensor, dict[str, float]]:
        return (self.network(batch).squeeze(-1) - batch.sum(-1)).square().mean(), {}


def train(folder: Path, rows: int) -> None:
    with ranks.joined("cpu"):
        plan = Schedule(1e-2, math.inf, steps=STEPS, warmup_steps=2, precision="float32")
        trainer = Trainer(ShareTask(rows), plan, folder)
        list(trainer.run())
        chances = ranks.gathered(trainer.rng.random())
        assert len(set(chances)) == ranks.size(), "every process has chance of its own"
    names = [name.read_text() for name in Path("/proc/self/task").glob("*/comm")]  # none but on Linux
    assert not [name for name in names if "gloo" in name], "a thread that lives on may abort the process at its end"


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
