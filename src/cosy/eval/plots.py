"""Pictures for a report: pitch contours, spectrograms side by side, who resembles whom.

Figures are drawn with Agg and belong to nobody: the state of pyplot is neither read nor changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cosy.dependencies import optional
from cosy.eval.quality import F0_PERIOD_MS, f0
from cosy.eval.recognise import RATE_HZ, to_rate
from cosy.eval.similarity import Matrix
from cosy.eval.takes import Sound

WINDOW, HOP = 512, 128  # samples at 16 kHz
RANGE_DB = 80.0
F0_TICKS_HZ = (60, 80, 100, 150, 200, 300, 400, 600)
DPI = 110
MOST_LABELS = 40  # names along an axis


def pitch_contours(path: Path, sounds: Mapping[str, Sound]) -> None:
    """F0 of several recordings over time, on a logarithmic scale, written as PNG.

    Raises MissingDependencyError without the `eval` extra, as all functions here.
    """
    figure = _figure(9.0, 3.5)
    axes = figure.subplots()
    for name, sound in sounds.items():
        track = f0(*sound)
        seconds = np.arange(len(track)) * F0_PERIOD_MS / 1000.0
        axes.plot(seconds, np.where(track > 0, track, np.nan), label=_plain(name), linewidth=1.4)
    axes.set_yscale("log", base=2)
    axes.set_yticks(F0_TICKS_HZ, [str(hz) for hz in F0_TICKS_HZ])
    axes.minorticks_off()
    axes.set(xlabel="seconds", ylabel="F0, Hz")
    axes.legend(loc="upper right")
    figure.savefig(path, dpi=DPI)


def spectrograms(path: Path, sounds: Mapping[str, Sound]) -> None:
    """Spectrograms side by side on one time scale, each in dB under its own maximum, written as PNG."""
    figure = _figure(4.5 * len(sounds), 3.5)
    grid = figure.subplots(1, len(sounds), sharex=True, sharey=True, squeeze=False)
    for axes, (name, sound) in zip(grid[0], sounds.items(), strict=True):
        levels = spectrum_db(sound)
        extent = (0.0, levels.shape[1] * HOP / RATE_HZ, 0.0, RATE_HZ / 2000.0)
        axes.imshow(levels, origin="lower", aspect="auto", extent=extent, vmin=-RANGE_DB, vmax=0.0, cmap="magma")
        axes.set(title=_plain(name), xlabel="seconds")
    longest_s = max(len(wave) / rate_hz for wave, rate_hz in sounds.values())
    grid[0][0].set(ylabel="kHz", xlim=(0.0, longest_s))
    figure.savefig(path, dpi=DPI)


def similarity_matrix(path: Path, scores: Matrix, rows: Sequence[str], columns: Sequence[str]) -> None:
    """Cosines (R, C) as a picture, written as PNG."""
    figure = _figure(2.5 + 0.3 * min(len(columns), MOST_LABELS), 2.0 + 0.3 * min(len(rows), MOST_LABELS))
    axes = figure.subplots()
    image = axes.imshow(scores, cmap="viridis", aspect="auto")
    axes.set(xlabel="prompt", ylabel="speech")
    if len(columns) <= MOST_LABELS:
        axes.set_xticks(range(len(columns)), [_plain(name) for name in columns], rotation=90)
    if len(rows) <= MOST_LABELS:
        axes.set_yticks(range(len(rows)), [_plain(name) for name in rows])
    figure.colorbar(image, ax=axes, label="cosine")
    figure.savefig(path, dpi=DPI)


def spectrum_db(sound: Sound) -> Matrix:
    """(bins, frames) in dB under the loudest, not less than -80; frames are 8 ms apart."""
    wave = to_rate(*sound)
    padded = np.pad(wave.astype(np.float64), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(WINDOW))) ** 2
    levels = 10.0 * np.log10(np.maximum(power.T, 1e-12))
    shown: Matrix = np.maximum(levels - levels.max(), -RANGE_DB)
    return shown


def _figure(width_inches: float, height_inches: float) -> Any:
    figures: Any = optional("matplotlib.figure", "eval")
    figure = figures.Figure(figsize=(width_inches, height_inches), layout="constrained")
    optional("matplotlib.backends.backend_agg", "eval").FigureCanvasAgg(figure)
    return figure


def _plain(name: str) -> str:
    """A name that every font can show."""
    return name.encode("ascii", "replace").decode()
