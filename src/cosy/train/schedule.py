"""How long, how fast and how exactly to train: data alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from cosy.errors import ParameterError

Precision = Literal["auto", "float32", "bfloat16", "float16"]
Decay = Literal["cosine", "linear", "constant", "inverse_sqrt"]
FLOOR = 0.05  # share of the learning rate that is left at the end of the cosine and of the line


@dataclass(frozen=True)
class Schedule:
    """Training ends at `steps` or after `minutes` of computing, whichever comes first.

    Raises ParameterError for a value that cannot be used.
    """

    learning_rate: float
    minutes: float  # math.inf: `steps` alone decides, and a run can be repeated bit for bit
    steps: int = 10**9  # updates of the weights
    warmup_steps: int = 100
    decay: Decay = "cosine"
    clip_norm: float = 1.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.98)  # of Adam
    precision: Precision = "auto"  # of the arithmetic; auto: bfloat16 where the device has it, else float32
    accumulate: int = 1  # batches per update
    ema: float = 0.999
    log_steps: int = 50
    checkpoint_minutes: float = 3.0
    samples_minutes: float = math.inf
    seed: int = 0

    def __post_init__(self) -> None:
        self._require("precision", self.precision in get_args(Precision), f"one of {', '.join(get_args(Precision))}")
        self._require("decay", self.decay in get_args(Decay), f"one of {', '.join(get_args(Decay))}")
        for name in ("minutes", "clip_norm"):
            self._require(name, getattr(self, name) > 0, "above 0")
        for name in ("steps", "warmup_steps", "accumulate", "log_steps"):
            self._require(name, getattr(self, name) >= 1, "at least 1")
        for name in ("learning_rate", "weight_decay"):
            self._require(name, getattr(self, name) >= 0, "at least 0")
        self._require("ema", 0 <= self.ema < 1, "from 0 up to, not including, 1")

    def _require(self, name: str, fits: bool, expected: str) -> None:
        if not fits:
            raise ParameterError(f"{name} must be {expected}, got {getattr(self, name)!r}")

    def rate(self, step: int, progress: float) -> float:
        """Learning rate: linear warm-up, then what `decay` says.

        cosine and linear fall to 5 % over the schedule; inverse_sqrt is that of the step, counted from the warm-up on.
        """
        warm = min(1.0, (step + 1) / self.warmup_steps)
        left = 1 - min(1.0, progress)
        factors = {
            "cosine": FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))),
            "linear": FLOOR + (1 - FLOOR) * left,
            "constant": 1.0,
            "inverse_sqrt": min(1.0, math.sqrt(self.warmup_steps / (step + 1))),
        }
        return self.learning_rate * warm * factors[self.decay]
