"""Alarms from tokens alone."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from cosy.engine.watch import Alarms, Watch
from cosy.types import FinishReason


def heard(tokens: Iterable[int], alarms: Alarms | None = None) -> tuple[FinishReason | None, int]:
    """The first alarm and after how many tokens it came."""
    watch = Watch(alarms or Alarms())
    count = 0
    for count, token in enumerate(tokens, 1):
        reason = watch.hear(token)
        if reason is not None:
            return reason, count
    return None, count


def test_speech_raises_no_alarm() -> None:
    rng = np.random.default_rng(0)
    assert heard(rng.integers(0, 6561, 2000).tolist()) == (None, 2000)


@pytest.mark.parametrize("period", [1, 2, 7, 19, 50])
def test_a_loop_is_found_soon_after_its_fourth_return(period: int) -> None:
    rng = np.random.default_rng(period)
    start, phrase = rng.integers(0, 6561, 40).tolist(), rng.integers(0, 6561, period).tolist()
    reason, count = heard(start + phrase * 300)
    assert reason is FinishReason.REPETITION
    assert count == 40 + period + max(75, 4 * period)


def test_a_drawn_out_vowel_or_a_phrase_said_twice_is_no_loop() -> None:
    rng = np.random.default_rng(1)
    phrase = rng.integers(0, 6561, 30).tolist()
    assert heard([5] * 60 + phrase + phrase + [9] * 40)[0] is None


def test_silence_without_end_is_found_whatever_its_tokens() -> None:
    alarms = Alarms(silent=frozenset({3, 4, 5}), silent_run=50)
    rng = np.random.default_rng(2)
    silence = rng.choice([3, 4, 5], 80).tolist()
    assert heard([100, 101, *silence[:49], 102, *silence], alarms) == (FinishReason.SILENCE, 2 + 49 + 1 + 50)


def test_an_end_far_too_soon_is_told() -> None:
    watch = Watch(Alarms())
    for token in range(24):
        watch.hear(token)
    assert watch.verdict(FinishReason.STOP, 10) is FinishReason.EARLY_STOP
    assert watch.verdict(FinishReason.STOP, 9) is FinishReason.STOP
    assert watch.verdict(FinishReason.LENGTH, 10) is FinishReason.LENGTH


def test_a_single_word_is_never_early() -> None:
    assert Watch(Alarms()).verdict(FinishReason.STOP, 3) is FinishReason.STOP
