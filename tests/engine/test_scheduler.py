"""Who is served next: facts about plain numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest

from cosy.engine.scheduler import (
    Costs,
    Limits,
    Policy,
    Track,
    Verdict,
    Work,
    admission,
    hop_tokens,
    latest_start,
    next_cut,
    pick,
    retry_after_s,
    work_of,
)

POLICY, COSTS = Policy(), Costs(read_s=0.0002, prompt_s=0.1, speak_s=0.003, render_s=0.004)


@dataclass(eq=False)
class Fake:
    """A stream that is only numbers."""

    name: str = ""
    dry_s: float = 1.0
    started: bool = False
    paused: bool = False
    prompt_blocks: int = 0
    unread: int = 1
    ahead: int = 0
    prompt_tokens: int = 0
    known: int = 0
    made: int = 0
    complete: bool = False


def chosen(*tracks: Track, policy: Policy = POLICY, now_s: float = 0.0) -> tuple[Work, list[Track]]:
    job = pick(tracks, policy, COSTS, now_s)
    assert job is not None
    return job.work, list(job.tracks)


def test_nothing_to_do_is_no_job() -> None:
    assert pick([], POLICY, COSTS, 0.0) is None
    assert pick([Fake(unread=0), Fake(paused=True)], POLICY, COSTS, 0.0) is None


def test_the_stream_that_runs_dry_first_goes_first() -> None:
    soon, late = Fake(dry_s=0.5, known=28), Fake(dry_s=2.0, known=28)
    assert chosen(late, soon) == (Work.RENDER, [soon])


def test_a_stream_that_plays_and_is_nearly_dry_goes_before_an_overdue_newcomer() -> None:
    playing = Fake(dry_s=0.15, started=True, known=53, made=25)
    overdue = Fake(dry_s=-3.0, known=28)
    assert chosen(overdue, playing) == (Work.RENDER, [playing])
    assert chosen(overdue, replace(playing, dry_s=5.0, known=128)) == (Work.RENDER, [overdue])
    block_s = 25 * COSTS.render_s  # how long the newcomer's would take, which nothing interrupts
    begins_s = POLICY.guard_s + block_s  # from now, and the playing one's own block takes as long
    tight = replace(playing, dry_s=begins_s + block_s - 0.01)
    assert chosen(overdue, tight) == (Work.RENDER, [tight])
    assert chosen(overdue, replace(playing, dry_s=begins_s + block_s + 0.01)) == (Work.RENDER, [overdue])


def test_what_the_next_audio_lacks_goes_before_tokens_for_later() -> None:
    assert work_of(Fake(known=27), POLICY, COSTS, 0.0) is Work.SPEAK
    assert work_of(Fake(known=28), POLICY, COSTS, 0.0) is Work.RENDER
    assert work_of(Fake(known=28, made=25, dry_s=1.0), POLICY, COSTS, 0.0) is Work.SPEAK
    assert work_of(Fake(unread=90), POLICY, COSTS, 0.0) is Work.READ


def test_a_new_voice_is_computed_when_its_tokens_are_there() -> None:
    assert work_of(Fake(prompt_blocks=4, known=3), POLICY, COSTS, 0.0) is Work.SPEAK
    assert work_of(Fake(prompt_blocks=4, known=28), POLICY, COSTS, 0.0) is Work.PROMPT
    assert work_of(Fake(prompt_blocks=4, unread=0), POLICY, COSTS, 0.0) is Work.PROMPT  # while text is awaited, too


def test_the_end_of_a_segment_is_rendered_whatever_its_length() -> None:
    assert work_of(Fake(known=5, unread=0, complete=True), POLICY, COSTS, 0.0) is Work.RENDER
    assert work_of(Fake(known=0, unread=0, complete=True), POLICY, COSTS, 0.0) is Work.RENDER
    assert work_of(Fake(known=5, unread=0), POLICY, COSTS, 0.0) is None  # it waits for text


def test_the_language_model_does_not_run_far_ahead() -> None:
    far = Fake(known=400, made=150, ahead=250, dry_s=100.0)
    assert work_of(far, POLICY, COSTS, 0.0) is Work.RENDER
    assert work_of(replace(far, known=160, made=150), POLICY, COSTS, 0.0) is None


def test_a_listener_that_does_not_read_rests() -> None:
    assert work_of(Fake(known=100, paused=True), POLICY, COSTS, 0.0) is None


def test_the_first_cut_ends_a_block_with_the_prompt_and_gives_audio() -> None:
    cuts = {P: next_cut(Fake(prompt_tokens=P), POLICY, COSTS, 0.0) for P in range(60)}
    assert all((P + cut) % 25 == 0 and 2 * cut > POLICY.look_ahead_frames for P, cut in cuts.items())
    assert cuts[5] == 20
    assert cuts[20] == 30  # 5 tokens would give no audio yet
    sooner = replace(POLICY, look_ahead_frames=8)
    assert next_cut(Fake(prompt_tokens=20), sooner, COSTS, 0.0) == 5


def test_hops_grow_with_the_time_there_is() -> None:
    assert [hop_tokens(s) for s in (-1.0, 0.5, 2.0, 10.0, math.inf)] == [25, 25, 50, 100, 100]
    assert next_cut(Fake(made=25, dry_s=12.0), POLICY, COSTS, 10.0) == 75


def test_hops_grow_as_officially_where_nobody_can_be_served_in_time() -> None:
    slow, made, hops = replace(COSTS, render_s=0.05), 25, []
    assert slow.late
    assert not COSTS.late
    while made < 300:
        hops.append(next_cut(Fake(made=made), POLICY, slow, 0.0) - made)
        made += hops[-1]
    assert hops == [50, 100, 100, 100]
    assert next_cut(Fake(), POLICY, slow, 0.0) == 25


def test_work_must_begin_earlier_the_more_there_is_to_do() -> None:
    def start(**numbers: float) -> float:
        return latest_start(replace(Fake(), **numbers), POLICY, COSTS, 0.0)  # type: ignore[arg-type]

    assert start(known=28) == pytest.approx(1.0 - 25 * COSTS.render_s)
    assert start(known=8) == pytest.approx(start(known=28) - 20 * COSTS.speak_s)
    assert start(known=8, unread=500) == pytest.approx(start(known=8) - 500 * COSTS.read_s)
    assert start(known=28, prompt_blocks=3) == pytest.approx(start(known=28) - 3 * COSTS.prompt_s)


def test_all_that_speak_share_a_step_and_rendering_is_batched_as_the_device_likes() -> None:
    speaking = [Fake(dry_s=i) for i in (3.0, 1.0, 2.0)]
    work, tracks = chosen(*speaking)
    assert work is Work.SPEAK
    assert [track.dry_s for track in tracks] == [1.0, 2.0, 3.0]  # type: ignore[attr-defined]
    ready = [Fake(known=28, dry_s=i) for i in (3.0, 1.0, 2.0)]
    assert len(chosen(*ready)[1]) == 1
    assert len(chosen(*ready, policy=replace(POLICY, rendering_rows=2))[1]) == 2


def test_a_long_prefill_is_cut_so_that_others_go_on_between() -> None:
    """Many newcomers with long texts: those that play still get their audio in time, in a simulation of the clock."""
    playing = Fake("playing", dry_s=0.5, started=True, known=25, made=25)
    newcomers = [Fake(unread=2000, dry_s=0.1) for _ in range(20)]
    now, underruns = 0.0, 0
    for _ in range(4000):
        job = pick([playing, *newcomers], POLICY, COSTS, now)
        if job is None:
            break
        for track in job.tracks:
            assert isinstance(track, Fake)
            if job.work is Work.READ:
                track.unread = max(1, track.unread - job.units)
                now += COSTS.read_s * job.units
            elif job.work is Work.SPEAK:
                track.known += 1
            elif job.work is Work.RENDER:
                cut = next_cut(track, POLICY, COSTS, now)
                now += COSTS.render_s * (cut - track.made)
                underruns += track is playing and now > track.dry_s
                track.dry_s = max(track.dry_s if track.started else now, now) + 0.04 * (cut - track.made)
                track.started, track.made = True, cut
        now += COSTS.speak_s if job.work is Work.SPEAK else 0.0
        if playing.made >= 150:
            break
    assert playing.made >= 150
    assert underruns == 0


def test_costs_are_learned() -> None:
    costs = Costs(weight=0.5)
    costs.learn(Work.RENDER, 0.25, 25)
    assert costs.render_s == pytest.approx(0.01)  # the first measurement replaces the guess
    costs.learn(Work.RENDER, 0.75, 25)
    assert costs.render_s == pytest.approx(0.02)
    assert costs.load(0) == 0
    assert costs.load(2) > costs.load(1) > 25 * costs.render_s


@pytest.mark.parametrize(
    ("active", "waiting", "listening", "streaming", "verdict"),
    [
        (0, 0, 0, True, Verdict.ADMIT),
        (7, 0, 1, True, Verdict.ADMIT),
        (8, 0, 1, True, Verdict.WAIT),  # all rows are taken
        (3, 1, 1, True, Verdict.WAIT),  # others were here first
        (8, 32, 1, True, Verdict.REFUSE),
        (6, 0, 6, True, Verdict.WAIT),  # a seventh would make them run dry
        (6, 0, 6, False, Verdict.ADMIT),  # nobody listens to this one meanwhile
        (0, 0, 0, False, Verdict.ADMIT),
    ],
)
def test_admission(active: int, waiting: int, listening: int, streaming: bool, verdict: Verdict) -> None:
    costs = replace(COSTS, render_s=0.0052)
    assert admission(Limits(), costs, active, waiting, listening, streaming) is verdict


def test_one_stream_is_let_in_even_on_a_machine_that_is_too_slow() -> None:
    assert admission(Limits(), replace(COSTS, render_s=1.0), 0, 0, 0, True) is Verdict.ADMIT


def test_retry_after_is_when_enough_streams_have_ended() -> None:
    assert retry_after_s([], 0) == 1.0
    assert retry_after_s([9.0, 3.0, 6.0], 0) == 3.0
    assert retry_after_s([9.0, 3.0, 6.0], 1) == 6.0
    assert retry_after_s([9.0, 3.0, 6.0], 7) == 9.0
    assert retry_after_s([0.1], 0) == 1.0
