"""The second half of the way, tokens to audio in the listener's hands, and the listener's clock."""

from __future__ import annotations

from time import monotonic

import numpy as np

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.engine.acoustic_runner import AcousticRunner, Chunk, Voicing
from cosy.engine.scheduler import Costs, Policy, next_cut
from cosy.engine.stats import Stats
from cosy.engine.stream import Stream, Talk
from cosy.streaming_plan import BLOCK, LOOK_AHEAD, MOST_HOP
from cosy.synthesis import joinable, pause_after
from cosy.types import AudioChunk, FinishReason, Samples


class Rendering:
    """Audio of many streams."""

    def __init__(self, acoustics: AcousticRunner, policy: Policy, costs: Costs, stats: Stats) -> None:
        self.acoustics, self.policy, self.costs, self.stats = acoustics, policy, costs, stats

    def render(self, streams: list[Stream]) -> int:
        """Make and hand out the next piece of each stream's audio; returns how many tokens became audio."""
        start, chunks, amount = monotonic(), [], 0
        for stream in streams:
            chunk, made = self._next_chunk(stream, start)
            talk = stream.talks[0]
            amount += made - talk.made
            talk.given, talk.made = talk.given + len(chunk.tokens), made
            chunks.append(chunk)
        by_voicing = {chunk.voicing: stream for stream, chunk in zip(streams, chunks, strict=True)}
        for chunk, wave, complete in self.acoustics.render(chunks):
            stream, now = by_voicing[chunk.voicing], monotonic()
            for each in streams:  # the time is everybody's
                if each.talks:
                    each.talks[0].took("acoustics", (now - start) / len(streams))
            start = now
            self._deliver(stream, wave, chunk.final and complete)
        return amount

    def close(self, stream: Stream) -> None:
        """Free what the stream holds."""
        for talk in stream.talks:
            if talk.voicing is not None:
                self.acoustics.close(talk.voicing)

    def _next_chunk(self, stream: Stream, now: float) -> tuple[Chunk, int]:
        """The tokens to give now, and of how many there will be audio; they need those after them to look ahead."""
        talk, cut = stream.talks[0], next_cut(stream, self.policy, self.costs, now)
        known = len(talk.tokens)
        final = talk.reason is not None and known < cut + LOOK_AHEAD
        if talk.voicing is None:
            where = stream.sent + stream.owed
            talk.voicing = Voicing(stream.prompt, stream.submission.seed, stream.request.speed, where)
            self.acoustics.open(talk.voicing)
        until = known if final else cut + LOOK_AHEAD
        urgent = stream.request.stream and not stream.sent
        blocks = MOST_HOP // BLOCK if self.costs.late else 1
        return Chunk(talk.voicing, talk.tokens[talk.given : until], final, urgent, blocks), known if final else cut

    def _deliver(self, stream: Stream, wave: Samples, final: bool) -> None:
        """Hand samples out, with soft ends and the pause between segments."""
        talk = stream.talks[0]
        if not (stream.request.stream or final):
            talk.held.append(wave)
            return
        wave, talk.held = np.concatenate([*talk.held, wave]), []
        begins = talk.samples == 0
        pause = round(pause_after(talk.text) / stream.request.speed * SAMPLE_RATE_HZ) if final else None
        more = bool(stream.parts) or len(stream.talks) > 1
        wave = joinable(wave, begins, pause if more or pause is None else 0)
        if begins and len(wave) and stream.owed:
            wave, stream.owed = np.concatenate([np.zeros(stream.owed, dtype=np.float32), wave]), 0
        if final:
            stream.owed += 0 if more or pause is None else pause
            self.close(stream)
            stream.talks.popleft()
        talk.samples += len(wave)
        if len(wave) or final:
            self._hand_out(stream, talk, wave, begins, final)

    def _hand_out(self, stream: Stream, talk: Talk, wave: Samples, begins: bool, final: bool) -> None:
        submission, in_parts = stream.submission, stream.submission.parts is None
        details: dict[str, object] = {"seed": submission.seed, "mode": submission.conditions.mode.value}
        if final:
            details |= {
                "text_tokens": len(talk.ids),
                "speech_tokens": len(talk.tokens),
                "warnings": _warnings(stream, talk),
            }
        chunk = AudioChunk(
            samples=wave,
            rate_hz=SAMPLE_RATE_HZ,
            offset_samples=stream.sent,
            segment=talk.index,
            text=talk.text if (final if in_parts else begins) else "",
            finish_reason=talk.reason if final else None,
            timings_s=talk.seconds,
            details=details,
        )
        stream.seconds += sum(talk.seconds.values())
        talk.seconds = {}
        self._note(stream, len(wave))
        stream.unheard += len(wave)
        submission.sink.put(chunk)

    def _note(self, stream: Stream, samples: int) -> None:
        """Keep the listener's clock, and the figures."""
        now = monotonic()
        self.stats.add("chunks")
        if not samples:
            return
        if not stream.sent:
            stream.plays_until_s = now
            if stream.request.stream:
                self.stats.observe("first_audio_s", now - stream.submission.arrived_s)
        elif stream.request.stream:
            slack = stream.plays_until_s - now
            self.stats.observe("slack_s", slack)
            if slack < 0 and not stream.waited_for_text:
                self.stats.add("underruns")
                self.stats.add("underrun_s", -slack)
        stream.waited_for_text = False
        stream.plays_until_s = max(stream.plays_until_s, now) + samples / SAMPLE_RATE_HZ
        stream.sent += samples
        self.stats.add("audio_s", samples / SAMPLE_RATE_HZ)


def _warnings(stream: Stream, talk: Talk) -> list[str]:
    """What the caller should know: of the voice's recording, once, and of the segment."""
    found = list(stream.submission.warnings) if talk.index == 0 else []
    count = len(talk.tokens)
    if not count:
        found.append("the model said nothing for this text")
    elif talk.reason is FinishReason.LENGTH:
        found.append(f"cut off at the length limit after {count} speech tokens")
    elif talk.reason is FinishReason.EARLY_STOP:
        found.append(f"ended early: {count} speech tokens for {len(talk.ids)} text tokens; words may be missing")
    elif talk.reason in (FinishReason.REPETITION, FinishReason.SILENCE):
        found.append(f"stopped after {count} speech tokens: the model fell into {talk.reason.value}")
    return found
