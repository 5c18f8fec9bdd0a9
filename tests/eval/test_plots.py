from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cosy.errors import MissingDependencyError
from cosy.eval import plots
from tests.eval.tones import tone

pytest.importorskip("matplotlib", reason="the eval extra is not installed")


def test_every_picture_is_written_and_pyplot_is_left_alone(tmp_path: Path) -> None:
    sounds = {"prompt": (tone(110.0), 16_000), "提示": (tone(180.0, 1.4, 24_000), 24_000)}
    plots.spectrograms(tmp_path / "spectrogram.png", sounds)
    plots.similarity_matrix(tmp_path / "matrix.png", np.eye(3), ["a", "b", "c"], ["a", "b", "c"])
    for name in ("spectrogram", "matrix"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_pitch_contours_are_drawn_where_there_is_a_pitch(tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="the eval extra is not installed")
    silent = (np.zeros(16_000, np.float32), 16_000)
    plots.pitch_contours(tmp_path / "pitch.png", {"tone": (tone(110.0), 16_000), "silence": silent})
    assert (tmp_path / "pitch.png").read_bytes().startswith(b"\x89PNG")


def test_a_spectrum_is_loudest_at_its_tone() -> None:
    levels = plots.spectrum_db((tone(1000.0), 16_000))
    assert levels.shape == (257, 126)
    assert levels.max() == 0.0
    assert levels.min() >= -80.0
    assert abs(int(levels[:, 60].argmax()) - 1000 * 512 // 16_000) <= 1


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingDependencyError, match=r"cosy\[eval\]"):
        plots.spectrograms(tmp_path / "spectrogram.png", {"a": (tone(110.0), 16_000)})
