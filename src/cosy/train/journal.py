"""What a training leaves for people to look at: `log.jsonl`, `samples/`, and TensorBoard's event files if wanted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cosy.dependencies import optional


@dataclass(frozen=True, eq=False)
class Sound:
    """Something to listen to: mono `samples` (n,) in [-1, 1]."""

    samples: np.ndarray
    rate_hz: int


@dataclass(frozen=True, eq=False)
class Picture:
    """Something to look at: `values` (rows, columns), the first row at the bottom; columns are frames of 20 ms."""

    values: np.ndarray
    rows: str = "mel band"

    def draw(self) -> Any:
        """A matplotlib figure.  Raises MissingDependencyError without the `train` extra."""
        figure = optional("matplotlib.figure", "train").Figure(figsize=(8, 3), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(self.values, origin="lower", aspect="auto", interpolation="nearest")
        axes.set(xlabel="frame", ylabel=self.rows)
        figure.colorbar(image)
        return figure


Sample = Sound | Picture


class Journal:
    """Open for the length of a run.  Raises MissingDependencyError where TensorBoard is wanted and absent."""

    def __init__(self, folder: Path, tensorboard: bool = False) -> None:
        self.folder = folder
        self.events = optional("torch.utils.tensorboard", "train").SummaryWriter(folder) if tensorboard else None
        self.file = (folder / "log.jsonl").open("a", encoding="utf-8")

    def write(self, row: Mapping[str, float]) -> None:
        """One row of figures, `step` among them."""
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        if self.events is not None:
            for name, value in row.items():
                self.events.add_scalar(name, value, row["step"])

    def show(self, step: int, samples: Mapping[str, Sample]) -> None:
        """Write `samples/STEP/NAME.wav` and `.png`."""
        folder = self.folder / "samples" / f"{step:08d}"
        folder.mkdir(parents=True, exist_ok=True)
        for name, sample in samples.items():
            if isinstance(sample, Sound):
                self._sound(folder, name, step, sample)
            else:
                self._picture(folder, name, step, sample)

    def _sound(self, folder: Path, name: str, step: int, sound: Sound) -> None:
        import soundfile

        soundfile.write(folder / f"{name}.wav", sound.samples, sound.rate_hz)
        if self.events is not None:
            self.events.add_audio(name, sound.samples[None], step, sound.rate_hz)

    def _picture(self, folder: Path, name: str, step: int, picture: Picture) -> None:
        figure = picture.draw()
        figure.savefig(folder / f"{name}.png", dpi=100)
        if self.events is not None:
            self.events.add_figure(name, figure, step)

    def close(self) -> None:
        self.file.close()
        if self.events is not None:
            self.events.close()
