"""The first half of the way, text to tokens: gives utterances their text, and ends them when they have gone wrong.

What belongs to one stream is in the stream; here are the language model's rows, the alarms, and the rules.
"""

from __future__ import annotations

from time import monotonic

import torch

from cosy.engine.lm_runner import NOBODY, LMRunner, Utterance
from cosy.engine.stats import Stats
from cosy.engine.stream import Stream, Talk, TextPart
from cosy.engine.watch import SUSPECT, Alarms, Watch
from cosy.models.utterance import in_pieces, shared_in_pieces, shared_whole, whole
from cosy.types import FinishReason, Sampling

RETRY_STRIDE = 7919  # between the seeds of attempts


class Speaking:
    """Utterances of many streams.  `most_tokens` is what the acoustic models can hold of one, prompt included."""

    def __init__(self, lm: LMRunner, sampling: Sampling, alarms: Alarms, most_tokens: int, stats: Stats) -> None:
        self.lm, self.sampling, self.alarms, self.most_tokens, self.stats = lm, sampling, alarms, most_tokens, stats

    # --- jobs ------------------------------------------------------------------------------------------------

    def read(self, stream: Stream, units: int) -> None:
        """Let a stream's utterance read so many units."""
        talk, start = stream.talks[-1], monotonic()
        token = self.lm.prefill(talk.utterance, units)
        talk.took("lm", monotonic() - start)
        self._hear(stream, talk, token)

    def step(self, streams: list[Stream]) -> None:
        """Let the utterances of some streams speak a token each."""
        talks, start = [stream.talks[-1] for stream in streams], monotonic()
        tokens = self.lm.step([talk.utterance for talk in talks])
        seconds = (monotonic() - start) / len(talks)
        for stream, talk, token in zip(streams, talks, tokens, strict=True):
            talk.took("lm", seconds)
            self._hear(stream, talk, token)

    def close(self, stream: Stream) -> None:
        """Free what the stream holds."""
        for talk in stream.talks:
            self.lm.close(talk.utterance)

    # --- text ------------------------------------------------------------------------------------------------

    def write(self, stream: Stream, part: TextPart | None) -> None:
        """Further text of a stream; None: that was all."""
        if part is None:
            stream.written = True
        elif stream.skipping:  # its segment has ended before its text
            stream.skipping = not part.ends_segment
        else:
            stream.parts.append(part)
        self.progress(stream)

    def progress(self, stream: Stream) -> None:
        """Give the talk that speaks what it waits for; when it has been spoken, begin the next one."""
        while True:
            talk = stream.speaking or self._next_talk(stream)
            if talk is None or not talk.utterance.wants_text:
                return
            if talk.written or (stream.written and not stream.parts):
                talk.written = True
                talk.utterance.tell(None)
            elif stream.parts:
                talk.write(stream.parts.popleft())
            else:
                stream.waited_for_text = True
                return
            self._settle(stream, talk)

    def _next_talk(self, stream: Stream) -> Talk | None:
        """Begin the next segment, if there is text of it."""
        in_parts = stream.submission.parts is None
        while in_parts and stream.parts and not (stream.parts[0].text or stream.parts[0].ids):
            stream.parts.popleft()  # the end of a segment that has ended
        if not stream.parts:
            stream.waited_for_text |= not stream.written
            return None
        first = TextPart("", (), False) if in_parts else stream.parts.popleft()
        talk = Talk(
            index=stream.segments,
            text=first.text,
            ids=first.ids,
            utterance=self._utterance(stream, first.ids, stream.generator),
            watch=Watch(self.alarms),
            written=not in_parts,
        )
        stream.segments += 1
        stream.talks.append(talk)
        self.lm.open(talk.utterance)
        self._settle(stream, talk)
        return stream.speaking

    def _utterance(self, stream: Stream, ids: tuple[int, ...], generator: torch.Generator) -> Utterance:
        given, classes = stream.submission.conditions, self.lm.model.known
        if stream.submission.parts is None:
            plan = in_pieces(classes, given.prompt_text, given.prompt_speech)
            shared = shared_in_pieces(classes, given.prompt_text, given.prompt_speech)
        else:
            plan = whole(classes, ids, given.prompt_text, given.prompt_speech)
            shared = shared_whole(given.prompt_text)
        sampling = stream.request.sampling or self.sampling
        return Utterance(plan, sampling, generator, tuple(shared) if len(shared) > 1 else ())

    # --- tokens ----------------------------------------------------------------------------------------------

    def _hear(self, stream: Stream, talk: Talk, token: int) -> None:
        """The language model has chosen a token, or NOBODY."""
        alarm = None
        if token != NOBODY and token < self.lm.model.eos_id:
            talk.tokens.append(token)
            alarm = talk.watch.hear(token)
            if stream.prompt.tokens + len(talk.tokens) >= self.most_tokens:
                alarm = alarm or FinishReason.LENGTH
        if alarm is not None:
            self._end_talk(stream, talk, alarm)
        self._settle(stream, talk)
        self.progress(stream)

    def _settle(self, stream: Stream, talk: Talk) -> None:
        if talk.utterance.reason is not None and talk.reason is None:
            self._end_talk(stream, talk, talk.watch.verdict(talk.utterance.reason, len(talk.ids)))

    def _end_talk(self, stream: Stream, talk: Talk, reason: FinishReason) -> None:
        """Free the row.  What went wrong and was not heard yet may be said again."""
        self.lm.close(talk.utterance)
        if not talk.written:  # the rest of its text belongs to it and to no other
            talk.written = stream.skipping = True
            while stream.parts and stream.skipping:
                stream.skipping = not stream.parts.popleft().ends_segment
        if reason in SUSPECT and self._may_repeat(stream, talk):
            self._again(stream, talk)
            return
        talk.reason = reason
        self.stats.add(f"segments_{reason.value}")

    @staticmethod
    def _may_repeat(stream: Stream, talk: Talk) -> bool:
        asked = talk.attempt < stream.request.retries and stream.submission.parts is not None
        in_time = not stream.request.stream or monotonic() < stream.dry_s
        return asked and not talk.given and in_time

    def _again(self, stream: Stream, talk: Talk) -> None:
        self.stats.add("retries")
        talk.attempt += 1
        seed = (stream.submission.seed + RETRY_STRIDE * talk.attempt) % 2**63
        talk.utterance = self._utterance(stream, talk.ids, torch.Generator().manual_seed(seed))
        talk.tokens, talk.watch = [], Watch(self.alarms)
        self.lm.open(talk.utterance)
