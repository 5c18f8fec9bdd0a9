"""Times at which audio arrived, made up, and the figures that follow from them."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.bench.figures import Arrival, Hearing, cautions, distribution, ratios, summary
from cosy.errors import EngineError

SECOND = SAMPLE_RATE_HZ


def heard(*arrivals: tuple[float, float], asked_s: float = 0.0, tokens: Sequence[int] = (50,)) -> Hearing:
    """(when, seconds of audio) of each chunk; it ends with the last one."""
    chunks = [Arrival(at_s, round(seconds * SECOND), {"lm": 0.1, "acoustics": 0.2}) for at_s, seconds in arrivals]
    return Hearing(asked_s, chunks, arrivals[-1][0] if arrivals else asked_s, list(tokens))


def test_first_audio_is_the_first_chunk_with_samples() -> None:
    assert heard((10.1, 0.0), (10.3, 1.0), asked_s=10.0).first_audio_s == pytest.approx(0.3)


def test_slack_is_what_is_left_to_play() -> None:
    hearing = heard((0.5, 1.0), (1.2, 2.0), (2.5, 1.0))
    assert hearing.slacks_s == pytest.approx([0.3, 1.0])


def test_after_an_underrun_the_listener_plays_on_from_the_late_chunk() -> None:
    hearing = heard((0.0, 1.0), (3.0, 1.0), (3.5, 1.0))
    assert hearing.slacks_s == pytest.approx([-2.0, 0.5])


def test_a_summary_counts_underruns_and_audio() -> None:
    found = summary([heard((0.2, 1.0), (0.9, 1.0)), heard((0.4, 1.0), (2.4, 1.0))], wall_s=2.5)
    assert found["underrun_share"] == 0.5
    assert found["streams_with_underrun"] == 1
    assert found["underrun_s"] == pytest.approx(1.0)
    assert found["slack_s"]["min"] == pytest.approx(-1.0)
    assert found["audio_s_per_s"] == pytest.approx(4.0 / 2.5)
    assert found["first_audio_s"] == {"p50": 0.2, "p95": 0.4, "p99": 0.4}
    assert found["real_time_factor"]["p99"] == pytest.approx(1.2)
    assert found["work_s_per_audio_s"]["acoustics"] == pytest.approx(0.2)


def test_failed_requests_count_as_failed_and_nowhere_else() -> None:
    broken = heard((9.0, 5.0))
    broken.error = EngineError("no")
    found = summary([heard((0.2, 1.0)), broken], wall_s=1.0)
    assert (found["requests"], found["failed"], found["audio_s"]) == (2, 1, 1.0)


def test_without_values_figures_are_none_and_not_zero() -> None:
    found = summary([], wall_s=0.0)
    assert found["first_audio_s"] == {"p50": None, "p95": None, "p99": None}
    assert found["underrun_share"] is None
    assert found["audio_s_per_s"] is None


def test_percentiles_are_values_that_occurred() -> None:
    assert distribution(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99}


def test_work_is_told_by_place() -> None:
    hearing = heard((0.1, 1.0), (0.2, 1.0), (0.3, 2.0))
    assert hearing.work_s("acoustics", 0.75, 1.0) == pytest.approx(0.1)
    assert hearing.work_s("acoustics", 0.0, 0.25) == pytest.approx(0.2)
    assert hearing.work_s("acoustics", 0.9, 1.0) is None


def test_ratios_are_medians_over_pairs() -> None:
    ours = [heard((0.1, 1.0)), heard((0.2, 1.0)), heard((0.1, 1.0))]
    theirs = [heard((0.4, 1.0)), heard((0.4, 1.0)), heard((0.9, 1.0), (1.0, 0.5))]
    found = ratios(ours, theirs)
    assert found["first_audio"] == pytest.approx(4.0)  # of 4, 2 and 9
    assert found["total"] == pytest.approx(4.0)  # of 4, 2 and 10
    assert found["cpu"] is None
    assert found["pairs"] == 3


def test_ratios_tell_when_the_work_was_not_the_same() -> None:
    assert not ratios([heard((0.1, 1.0), tokens=[25])], [heard((0.1, 1.0), tokens=[26])])["same_tokens"]


def test_too_little_is_said_to_be_too_little() -> None:
    notes = " ".join(cautions([heard((0.1, 1.0))]))
    assert "20 requests are needed, here are 1" in notes
    assert "too short to tell slack" in notes
    assert cautions([heard((0.1, 1.0), (0.2, 1.0))] * 20) == []


def test_what_failed_is_said() -> None:
    broken = heard()
    broken.error = EngineError("the roof fell in")
    assert "1 of 2 requests failed, the first one with: the roof fell in" in cautions([broken, heard((0.1, 1.0))])[0]
    assert "1 of 1 requests ended without any audio" in cautions([heard()])
