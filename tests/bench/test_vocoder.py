from __future__ import annotations

import pytest

from cosy.bench.vocoder import METHODS, measure, rate, table, timed
from cosy.config import VocoderConfig

TINY = VocoderConfig(base_channels=16, f0_cond_channels=8)


def test_every_method_is_timed_over_the_same_audio() -> None:
    figures = measure(TINY, audio_s=1.2, chunk=15, look_ahead=16, repeats=1, device="cpu")
    assert list(figures) == list(METHODS)
    assert all(value > 0 for row in figures.values() for value in row.values())
    assert len(table(figures).splitlines()) == 1 + len(METHODS)


def test_a_rate_is_work_per_second_of_audio() -> None:
    pieces = timed(iter([0, 12_000, 36_000]), lambda: None)
    assert [piece.begin_s for piece in pieces] == [0.0, 0.0, 0.5]
    assert rate(pieces) == pytest.approx(sum(piece.work_s for piece in pieces) / 2.0)
