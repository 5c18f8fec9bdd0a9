"""What to compute next, for whom: earliest deadline first.  Plain Python, no tensors, no clock of its own.

A stream's deadline is the moment its listener would run dry; before its first audio, the moment that is due.  From the
deadline one reckons back: the seconds that the next piece of audio still costs, reading, speaking and rendering, say
when work on it must begin at the latest.  The smallest such time goes first; of what others could do at the same time
as much joins in as fits a batch.  A stream that plays never waits for one that has not begun while it is about to run
dry.

Letters: P prompt tokens.  Times are seconds of one monotonic clock.
Source: earliest deadline first, Liu and Layland 1973; continuous batching, Yu et al. 2022 (Orca).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.streaming_plan import BLOCK, LOOK_AHEAD, MOST_HOP, first_cut

# --- what is scheduled ------------------------------------------------------------------------------------------


class Track(Protocol):
    """A stream, as the scheduler sees it."""

    @property
    def dry_s(self) -> float:
        """When the listener runs dry, or the first audio is due; infinite if nobody listens yet."""
        ...

    @property
    def started(self) -> bool:
        """Whether audio has been handed out."""
        ...

    @property
    def paused(self) -> bool:
        """Whether the listener has more unread audio than is kept for it."""
        ...

    @property
    def prompt_blocks(self) -> int:
        """Blocks of the voice's prompt that must be computed before its audio."""
        ...

    @property
    def unread(self) -> int:
        """Units the language model is to read before it chooses; 0: it waits, or is done."""
        ...

    @property
    def ahead(self) -> int:
        """Tokens spoken and not rendered, of all segments."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """P."""
        ...

    @property
    def known(self) -> int:
        """Tokens of the segment that is being rendered."""
        ...

    @property
    def made(self) -> int:
        """Those of them whose audio has been made."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the segment that is being rendered gets no more tokens."""
        ...


class Work(Enum):
    """Kinds of jobs, in the order of preference among equals."""

    READ = 0  # some units of one utterance
    PROMPT = 1  # a block of a voice's prompt
    RENDER = 2  # tokens to audio
    SPEAK = 3  # a token for each of several utterances


@dataclass(frozen=True)
class Job:
    """One thing to compute."""

    work: Work
    tracks: Sequence[Track]
    units: int = 0  # to READ


@dataclass(frozen=True)
class Policy:
    """Sizes.  A batch on a CPU costs about the sum of its rows, so there rendering in ones serves the urgent first."""

    speaking_rows: int = 64
    rendering_rows: int = 1
    reading_units: int = 128  # at a time, so that prefill does not starve decoding
    ahead_tokens: int = 250  # the language model may be ahead of the audio
    look_ahead_frames: int = 20  # R of the vocoder
    guard_s: float = 0.1  # a stream that plays lets others go first only if it can wait for a block of theirs and this


@dataclass
class Costs:
    """Seconds that things take, learned as they are done (exponentially weighted means)."""

    read_s: float = 2e-4  # a unit
    prompt_s: float = 0.1  # a block of 25 tokens
    speak_s: float = 3e-3  # a step, whatever the rows
    render_s: float = 4e-3  # a token
    weight: float = 0.1
    seen: set[Work] = field(default_factory=set)

    def learn(self, work: Work, seconds: float, amount: int = 1) -> None:
        """`amount` units, blocks, steps or tokens have taken so long."""
        name = f"{work.name.lower()}_s"
        each = seconds / max(amount, 1)
        weight = self.weight if work in self.seen else 1.0  # the first measurement replaces the guess
        self.seen.add(work)
        setattr(self, name, (1 - weight) * getattr(self, name) + weight * each)

    def load(self, streams: int) -> float:
        """Share of the time that so many streams take: above 1, listeners run dry."""
        return TOKEN_RATE_HZ * (self.speak_s + streams * self.render_s) if streams else 0.0

    @property
    def late(self) -> bool:
        """Whether even one listener runs dry time and again."""
        return self.load(1) > 1.0


# --- the pure functions -----------------------------------------------------------------------------------------


def hop_tokens(slack_s: float) -> int:
    """How many tokens to render at once: one block while time is short, up to four when it is not.

    The audio does not depend on it.
    """
    return BLOCK if slack_s < 1.5 else 2 * BLOCK if slack_s < 4.0 else MOST_HOP


def late_hop_tokens(made: int) -> int:
    """The same where every listener runs dry time and again: as officially, for few gaps and less work."""
    return 2 * BLOCK if made < 3 * BLOCK else MOST_HOP


def next_cut(track: Track, policy: Policy, costs: Costs, now_s: float) -> int:
    """The number of tokens after which the next piece of audio ends; prompt and cut together end a block."""
    if not track.made:
        return first_cut(track.prompt_tokens, policy.look_ahead_frames)
    return track.made + (late_hop_tokens(track.made) if costs.late else hop_tokens(track.dry_s - now_s))


def missing(track: Track, policy: Policy, costs: Costs, now_s: float) -> int:
    """Tokens that must still be spoken before the next piece of audio can be made."""
    return 0 if track.complete else max(0, next_cut(track, policy, costs, now_s) + LOOK_AHEAD - track.known)


def latest_start(track: Track, policy: Policy, costs: Costs, now_s: float) -> float:
    """When work on the next piece of a track's audio must begin, so that its listener does not run dry."""
    lacking = missing(track, policy, costs, now_s)
    hop = min(next_cut(track, policy, costs, now_s) - track.made, max(track.known + lacking - track.made, 0))
    work = costs.render_s * hop + costs.speak_s * lacking + costs.prompt_s * track.prompt_blocks
    if lacking and track.unread > 1:
        work += costs.read_s * track.unread
    return track.dry_s - work


def work_of(track: Track, policy: Policy, costs: Costs, now_s: float) -> Work | None:
    """What to do next for a track; None: nothing.  First what the next piece of audio lacks, then tokens for later."""
    if track.paused:
        return None
    lacking = missing(track, policy, costs, now_s)
    speakable = track.unread > 0 and track.ahead < policy.ahead_tokens
    if not (lacking and speakable):
        if track.prompt_blocks:
            return Work.PROMPT
        if not lacking and (track.complete or track.known > track.made):
            return Work.RENDER
    if not speakable:
        return None
    return Work.READ if track.unread > 1 else Work.SPEAK


def pick(tracks: Iterable[Track], policy: Policy, costs: Costs, now_s: float) -> Job | None:
    """The job to do now; None if there is nothing to do."""
    options = []
    for track in tracks:
        work = work_of(track, policy, costs, now_s)
        if work is not None:
            latest = latest_start(track, policy, costs, now_s)
            urgent = track.started and latest < now_s + policy.guard_s + costs.render_s * BLOCK
            options.append((not urgent, latest, work.value, track, work))
    if not options:
        return None
    options.sort(key=lambda option: option[:3])
    *_, track, work = options[0]
    if work is Work.READ:
        few = track.unread < 1.25 * policy.reading_units  # too few are left to be worth a reading of their own
        return Job(work, [track], track.unread if few else policy.reading_units)
    if work is Work.PROMPT:
        return Job(work, [track])
    most = policy.rendering_rows if work is Work.RENDER else policy.speaking_rows
    return Job(work, [t for *_, t, w in options if w is work][:most])


# --- admission --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Limits:
    """How much is let in."""

    streams: int = 8  # at once
    waiting: int = 32  # requests that wait for their turn
    load: float = 0.9  # predicted share of the time; above it a further stream would make listeners run dry
    wait_s: float = 10.0  # longest wait


class Verdict(Enum):
    ADMIT = "admit"
    WAIT = "wait"
    REFUSE = "refuse"


def admission(limits: Limits, costs: Costs, active: int, waiting: int, listening: int, streaming: bool) -> Verdict:
    """Whether a further request begins now.

    `active` requests have begun, `listening` of them play while they are made, `waiting` come before this one.
    A request nobody listens to takes the time that the others leave.
    """
    room = active < limits.streams
    on_time = not streaming or not listening or costs.load(listening + 1) <= limits.load
    if room and on_time and not waiting:
        return Verdict.ADMIT
    return Verdict.WAIT if waiting < limits.waiting else Verdict.REFUSE


def retry_after_s(remaining_s: Sequence[float], waiting: int) -> float:
    """Seconds after which there may be room: when enough of the streams, which still last so long, have ended."""
    if not remaining_s:
        return 1.0
    ends = sorted(remaining_s)
    return max(1.0, ends[min(waiting, len(ends) - 1)])
