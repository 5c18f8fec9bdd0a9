"""The hop policy: cuts, blocks, and what may be released."""

from __future__ import annotations

from itertools import islice

import pytest

from cosy.streaming_plan import cuts, official_cuts, official_plan, released


@pytest.mark.parametrize("prompt", [0, 3, 13, 24, 25, 87])
def test_every_cut_ends_a_block_of_the_whole_sequence(prompt: int) -> None:
    for plan in (cuts(prompt), official_cuts(prompt)):
        assert all((prompt + cut) % 25 == 0 for cut in islice(plan, 6))


def test_the_first_cut_is_the_earliest_with_audio_to_release() -> None:
    assert next(cuts(prompt_tokens=10)) == 15  # 30 frames, 20 of them held back
    assert next(cuts(prompt_tokens=15)) == 35  # the block's own 10 tokens would release nothing
    assert next(cuts(prompt_tokens=0)) == 25


def test_hops_double_up_to_the_limit() -> None:
    assert list(islice(cuts(0), 6)) == [25, 50, 100, 200, 300, 400]
    assert list(islice(cuts(0, most=25), 4)) == [25, 50, 75, 100]


def test_nothing_is_released_before_the_vocoder_reach() -> None:
    assert released(20) == 0
    assert released(21) == 480


def test_the_official_plan_hands_out_every_sample_once() -> None:
    for tokens in (1, 27, 28, 60, 400):
        assert sum(call.samples for call in official_plan(87, tokens)) == 960 * tokens


def test_without_streaming_the_official_plan_is_one_call() -> None:
    (call,) = official_plan(13, 200, stream=False)
    assert (call.tokens, call.streaming, call.final, call.frames) == (200, False, True, 400)
