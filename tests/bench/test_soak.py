"""Some seconds of trouble on small networks, and that trouble that is not survived is seen."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, cast

import numpy as np
import pytest

from cosy.bench.chaos import Chaos, InjectedError, Unreliable
from cosy.bench.memory import MemoryWatch
from cosy.bench.soak import Terms, judged, snr_db, soak
from cosy.engine.acoustic_runner import AcousticRunner
from cosy.types import Samples
from tests.bench.fakes import Clock, random_subject

BRIEF = Terms(minutes=0.04, streams=3, cases=4, arrivals_hz=12.0, most_growth=10.0)


def test_a_sound_engine_passes() -> None:
    report = asyncio.run(soak(random_subject(seconds=0.8), BRIEF))
    (result,) = report.results
    assert report.failures == []
    assert str(result["verdict"]).startswith("passed")
    assert result["ends"]["finished"] > 3
    assert result["ends"].get("wrong", 0) == 0
    assert result["compared"] >= result["ends"]["finished"]
    assert report.settings["least_snr_db"] == BRIEF.least_snr_db
    assert '"bench": "soak"' in report.line()


class Wrong:
    """Stands for the acoustic models; under load it hands out the audio of nobody."""

    def __init__(self, runner: Any, chaos: Chaos) -> None:
        self.runner, self.chaos = runner, chaos

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    def render(self, chunks: Sequence[Any]) -> Iterator[tuple[Any, Samples, bool]]:
        for chunk, wave, complete in self.runner.render(chunks):
            yield chunk, wave[::-1].copy() if self.chaos.armed else wave, complete


def test_wrong_audio_under_load_makes_it_fail() -> None:
    subject, chaos = random_subject(seconds=0.8), Chaos(Random(0))
    engine = subject.engine(BRIEF.streams)
    engine.core.rendering.acoustics = cast(AcousticRunner, Wrong(engine.core.rendering.acoustics, chaos))
    report = asyncio.run(judged(subject, engine, BRIEF, chaos))
    assert report.results[0]["verdict"] == "failed"
    assert any("differs from its solo run" in failure for failure in report.failures)


class Leaky:
    """Stands for the language model's rows; under load some are never given back."""

    def __init__(self, runner: Any, chaos: Chaos) -> None:
        self.runner, self.chaos, self.lost = runner, chaos, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    @property
    def free(self) -> int:
        self.lost = max(self.lost, int(self.chaos.armed))
        return int(self.runner.free) - self.lost


def test_a_lost_row_makes_it_fail() -> None:
    subject, chaos = random_subject(seconds=0.8), Chaos(Random(0))
    engine = subject.engine(BRIEF.streams)
    engine.core.speaking.lm = cast(Any, Leaky(engine.core.speaking.lm, chaos))
    report = asyncio.run(judged(subject, engine, replace(BRIEF, minutes=0.01, settle_s=0.2), chaos))
    assert any("rows_lm_free is 2, was 3" in failure for failure in report.failures)


def test_stages_fail_now_and_then_while_chaos_is_armed() -> None:
    clock = Clock(0.0)
    chaos = Chaos(Random(0), clock)
    runner = cast(Any, Unreliable("some text", ("upper",), chaos))
    assert runner.upper() == "SOME TEXT"
    chaos.arm(1.0)
    clock.now_s = 1e6
    with pytest.raises(InjectedError, match="upper"):
        runner.upper()
    assert runner.lower() == "some text"
    chaos.disarm()
    clock.now_s = 1e9
    assert runner.upper() == "SOME TEXT"
    assert chaos.failures == {"upper": 1}


def test_audio_of_another_length_is_not_the_same() -> None:
    alone = np.sin(np.arange(1000, dtype=np.float32))
    assert snr_db(alone, alone, whole=True) > 100
    assert snr_db(alone[:-1], alone, whole=True) == -np.inf
    assert snr_db(alone[:500], alone, whole=False) > 100
    assert snr_db(np.concatenate([alone, alone]), alone, whole=False) == -np.inf
    assert snr_db(0.9 * alone, alone, whole=True) == pytest.approx(20.0, abs=0.1)
    assert snr_db(-alone, alone, whole=True) < 0


def growing(factor: float) -> MemoryWatch:
    watch = MemoryWatch()
    for second in range(100):
        size = 100.0 if second < 50 else 100.0 * factor
        watch.look(second, {"bytes_lm": size, "bytes_acoustic": 0.0, "bytes_voices": 0.0})
    return watch


def test_growth_after_the_warm_up_is_told() -> None:
    assert growing(1.1).growth(0.2)["engine"] == pytest.approx(0.1)
    assert growing(1.1).growth(0.6)["engine"] == 0.0


def test_growth_cannot_be_told_of_a_few_looks() -> None:
    watch = growing(1.0)
    watch.looks = watch.looks[:5]
    assert watch.growth(0.2)["engine"] is None
