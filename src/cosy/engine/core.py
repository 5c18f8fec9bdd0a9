"""The engine: one thread that takes requests in, always does the job that is due first, and hands audio out.

Everything about requests, rows and caches belongs to this thread; others only `post` to it.  It sleeps while there is
nothing to do.  However a request ends, done, cancelled, failed or with the thread itself, it ends in `_end`: rows are
free again and whoever waits is told.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Thread
from time import monotonic
from typing import ClassVar

import numpy as np
import torch

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.engine.acoustic_runner import AcousticRunner, Chunk, Prompt, Voicing
from cosy.engine.lm_runner import NOBODY, LMRunner, Utterance
from cosy.engine.protocol import Health
from cosy.engine.scheduler import Costs, Job, Limits, Policy, Verdict, Work, admission, next_cut, pick, retry_after_s
from cosy.engine.stats import Stats
from cosy.engine.stream import Stream, Submission, Talk, TextPart
from cosy.engine.watch import SUSPECT, Alarms, Watch
from cosy.errors import AbortedError, CosyError, EngineError, OverloadedError
from cosy.models.utterance import in_pieces, shared_in_pieces, shared_whole, whole
from cosy.streaming_plan import LOOK_AHEAD
from cosy.synthesis import joinable, pause_after
from cosy.types import AudioChunk, FinishReason, Samples, Sampling

log = logging.getLogger(__name__)

SECONDS_PER_TEXT_TOKEN = 0.3  # of audio, to guess how long a request will last


@dataclass(frozen=True)
class EngineOptions:
    """How an engine works."""

    limits: Limits = field(default_factory=Limits)
    policy: Policy = field(default_factory=Policy)
    alarms: Alarms = field(default_factory=Alarms)
    unheard_s: float = 60.0  # of audio kept for a listener that does not read; then its stream rests
    prompt_bytes: int = 1 << 30  # of voices' flow states kept for the next request


class Core:
    """The thread and what it owns."""

    def __init__(
        self, lm: LMRunner, acoustics: AcousticRunner, sampling: Sampling, options: EngineOptions | None = None
    ) -> None:
        self.lm, self.acoustics, self.sampling = lm, acoustics, sampling
        self.options = options or EngineOptions()
        self.costs, self.stats = Costs(), Stats()
        self._streams: dict[str, Stream] = {}
        self._waiting: deque[Submission] = deque()
        self._early: dict[str, list[TextPart | None]] = {}  # text of requests that still wait
        self._prompts: OrderedDict[str, Prompt] = OrderedDict()
        self._inbox: deque[Callable[[], None]] = deque()
        self._wake = Condition()
        self._closing = False
        self._death: BaseException | None = None
        self._thread: Thread | None = None

    # --- from any thread ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work."""
        self._thread = Thread(target=self._run, name="cosy-engine", daemon=True)
        self._thread.start()

    def close(self, timeout_s: float | None = 30.0) -> None:
        """End all requests with AbortedError, and the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def submit(self, submission: Submission) -> None:
        """Take a request in; its sink hears of everything else.  Raises EngineError if the engine has ended."""
        self._post(lambda: self._submit(submission))

    def text(self, request_id: str, part: TextPart | None) -> None:
        """More text of a request whose text arrives in pieces; None: that was all."""
        self._post(lambda: self._text(request_id, part))

    def heard(self, request_id: str, samples: int) -> None:
        """The listener has taken so much."""
        self._post(lambda: self._heard_out(request_id, samples))

    def abort(self, request_id: str, error: BaseException | None = None) -> None:
        """End a request, with AbortedError unless another error is given; without effect if it is not there."""
        with suppress(EngineError):  # an engine that has ended has ended its requests
            self._post(lambda: self._abort(request_id, error))

    def health(self) -> Health:
        if self._death is not None:
            return Health(False, f"the engine has failed: {self._death!r}; restart it")
        if self._thread is None or self._closing or not self._thread.is_alive():
            return Health(False, "the engine is not running")
        return Health(True)

    def gauges(self) -> Mapping[str, float]:
        """The state of this moment."""
        return {
            "streams_active": len(self._streams),
            "streams_waiting": len(self._waiting),
            "rows_lm_free": self.lm.free,
            "rows_acoustic_free": self.acoustics.free,
            "voices_cached": len(self._prompts),
            "bytes_lm": self.lm.bytes,
            "bytes_acoustic": self.acoustics.bytes,
            "bytes_voices": sum(prompt.state.bytes for prompt in list(self._prompts.values())),
            **{f"cost_{work.name.lower()}_s": getattr(self.costs, f"{work.name.lower()}_s") for work in Work},
        }

    def _post(self, message: Callable[[], None]) -> None:
        with self._wake:
            if self._death is not None or self._closing:
                raise EngineError(self.health().reason)
            self._inbox.append(message)
            self._wake.notify()

    # --- the thread --------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _run(self) -> None:
        try:
            while not self._closing:
                self._take_messages()
                self._admit()
                job = pick(self._streams.values(), self.options.policy, self.costs, monotonic())
                if job is None:
                    self._sleep()
                else:
                    self._do(job)
            self._end_all(AbortedError("the engine was closed"))
        except BaseException as error:
            log.exception("the engine thread has failed")
            with self._wake:
                self._death = error
            self._end_all(EngineError(f"the engine has failed: {error!r}; restart it"))

    def _sleep(self) -> None:
        """Until something arrives, or a request has waited too long."""
        expiry = min((self._expiry(submission) for submission in self._waiting), default=math.inf)
        with self._wake:
            if not self._inbox and not self._closing:
                self._wake.wait(None if expiry == math.inf else max(0.0, expiry - monotonic()))

    def _take_messages(self) -> None:
        while self._inbox:
            self._inbox.popleft()()

    def _end_all(self, error: CosyError) -> None:
        with suppress(Exception):
            self._take_messages()
        for stream in list(self._streams.values()):
            with suppress(Exception):  # the rows of a thread that has failed do not matter any more
                self._end(stream, error)
        while self._waiting:
            self._waiting.popleft().sink.end(error)

    # --- messages ----------------------------------------------------------------------------------------------

    def _submit(self, submission: Submission) -> None:
        self.stats.add("requests")
        if self._verdict(submission.request.stream, len(self._waiting)) is Verdict.REFUSE:
            self._refuse(submission, f"all {self.options.limits.streams} streams are busy and the queue is full")
            return
        self._waiting.append(submission)
        if submission.parts is None:
            self._early[submission.id] = []

    def _text(self, request_id: str, part: TextPart | None) -> None:
        if request_id in self._early:
            self._early[request_id].append(part)
        elif stream := self._streams.get(request_id):
            self._write(stream, part)

    def _heard_out(self, request_id: str, samples: int) -> None:
        if stream := self._streams.get(request_id):
            stream.unheard -= samples

    def _abort(self, request_id: str, error: BaseException | None) -> None:
        error = error or AbortedError(f"request {request_id} was cancelled")
        if stream := self._streams.get(request_id):
            self.stats.add("aborted")
            self._end(stream, error)
            return
        for submission in [s for s in self._waiting if s.id == request_id]:
            self.stats.add("aborted")
            self._waiting.remove(submission)
            self._early.pop(request_id, None)
            submission.sink.end(error)

    # --- admission ---------------------------------------------------------------------------------------------

    def _verdict(self, streaming: bool, waiting: int) -> Verdict:
        listening = sum(stream.request.stream for stream in self._streams.values())
        return admission(self.options.limits, self.costs, len(self._streams), waiting, listening, streaming)

    def _admit(self) -> None:
        now = monotonic()
        for submission in [s for s in self._waiting if now > self._expiry(s)]:
            self._waiting.remove(submission)
            self._refuse(submission, f"no stream became free within {now - submission.arrived_s:.1f} s")
        while self._waiting and self._verdict(self._waiting[0].request.stream, 0) is Verdict.ADMIT:
            self._begin(self._waiting.popleft())

    def _expiry(self, submission: Submission) -> float:
        """When a request has waited too long."""
        deadline = submission.request.deadline_s
        wait = self.options.limits.wait_s
        return submission.arrived_s + (wait if deadline is None else min(wait, deadline))

    def _refuse(self, submission: Submission, why: str) -> None:
        self.stats.add("refused")
        self._early.pop(submission.id, None)
        after = retry_after_s([self._remaining_s(s) for s in self._streams.values()], len(self._waiting))
        submission.sink.end(OverloadedError(f"{why}; try again in {after:.0f} s", after))

    def _remaining_s(self, stream: Stream) -> float:
        """A guess at how long a stream will last."""
        text = sum(len(part.ids) for part in stream.parts) + sum(talk.text_tokens for talk in stream.talks)
        return max(1.0, SECONDS_PER_TEXT_TOKEN * text)

    def _begin(self, submission: Submission) -> None:
        try:
            stream = Stream(
                submission,
                generator=torch.Generator().manual_seed(submission.seed),
                prompt=self._prompt(submission),
                parts=deque(submission.parts or ()),
                written=submission.parts is not None,
                most_unheard=round(self.options.unheard_s * SAMPLE_RATE_HZ),
            )
        except Exception as error:
            self.stats.add("failed")
            submission.sink.end(_as_engine_error("preparing the voice", error))
            return
        self._streams[submission.id] = stream
        self.stats.observe("queued_s", monotonic() - submission.arrived_s)
        for part in self._early.pop(submission.id, ()):
            self._write(stream, part)
        self._next_talk(stream)

    def _prompt(self, submission: Submission) -> Prompt:
        key = submission.voice_key
        if key not in self._prompts:
            self._prompts[key] = self.acoustics.prepare(submission.conditions.flow)
        self._prompts.move_to_end(key)
        while len(self._prompts) > 1 and sum(p.state.bytes for p in self._prompts.values()) > self.options.prompt_bytes:
            self._prompts.popitem(last=False)
        return self._prompts[key]

    # --- text --------------------------------------------------------------------------------------------------

    def _write(self, stream: Stream, part: TextPart | None) -> None:
        if part is None:
            stream.written = True
        elif stream.skipping:  # its segment has ended before its text
            stream.skipping = not part.ends_segment
        else:
            stream.parts.append(part)
        try:
            self._progress(stream)
        except Exception as error:
            self._fail(stream, "reading the text", error)

    def _progress(self, stream: Stream) -> None:
        """Give the talk that speaks what it waits for, or begin the next one."""
        talk = stream.speaking
        while talk is not None and talk.utterance.wants_text:
            if talk.written or (stream.written and not stream.parts):
                talk.written = True
                talk.utterance.tell(None)
            elif stream.parts:
                self._hand_over(talk, stream.parts.popleft())
            else:
                stream.waited_for_text = True
                return
            self._settle(stream, talk)
            talk = stream.speaking
        if talk is None:
            self._next_talk(stream)
        if stream.finished:
            self._end(stream, None)

    @staticmethod
    def _hand_over(talk: Talk, part: TextPart) -> None:
        talk.text += part.text
        talk.text_tokens += len(part.ids)
        if part.ids:
            talk.utterance.tell(part.ids)
        if part.ends_segment:
            talk.written = True

    def _next_talk(self, stream: Stream) -> None:
        """Begin the next segment, if there is text and the one before has been spoken."""
        if stream.speaking or not stream.parts:
            stream.waited_for_text |= not stream.written and not stream.speaking
            return
        in_parts = stream.submission.parts is None
        while in_parts and stream.parts and not (stream.parts[0].text or stream.parts[0].ids):
            stream.parts.popleft()  # the end of a segment that has ended
        if not stream.parts:
            return
        first = TextPart("", (), False) if in_parts else stream.parts.popleft()
        generator = stream.generator
        talk = Talk(
            index=stream.segments,
            text=first.text,
            text_tokens=len(first.ids),
            utterance=self._utterance(stream, first, generator),
            watch=Watch(self.options.alarms),
            written=not in_parts,
        )
        stream.segments += 1
        stream.talks.append(talk)
        self.lm.open(talk.utterance)
        self._settle(stream, talk)
        self._progress(stream)

    def _utterance(self, stream: Stream, part: TextPart, generator: torch.Generator) -> Utterance:
        given, classes = stream.submission.conditions, self.lm.model.known
        if stream.submission.parts is None:
            plan = in_pieces(classes, given.prompt_text, given.prompt_speech)
            shared = shared_in_pieces(classes, given.prompt_text, given.prompt_speech)
        else:
            plan = whole(classes, part.ids, given.prompt_text, given.prompt_speech)
            shared = shared_whole(given.prompt_text)
        sampling = stream.request.sampling or self.sampling
        return Utterance(plan, sampling, generator, tuple(shared) if len(shared) > 1 else ())

    # --- jobs --------------------------------------------------------------------------------------------------

    def _do(self, job: Job) -> None:
        streams = [track for track in job.tracks if isinstance(track, Stream)]
        start = monotonic()
        try:
            amount = self._jobs[job.work](self, streams, job)
        except Exception as error:
            log.exception("a job failed: %s", job.work.name.lower())
            for stream in streams:
                self._fail(stream, job.work.name.lower(), error)
            return
        if amount:
            self.costs.learn(job.work, monotonic() - start, amount)

    def _do_prompt(self, streams: list[Stream], job: Job) -> int:
        self.acoustics.advance(streams[0].prompt)
        return 1

    def _do_read(self, streams: list[Stream], job: Job) -> int:
        (stream,) = streams
        talk, start = stream.speaking, monotonic()
        assert talk is not None, "whoever reads speaks"
        token = self.lm.prefill(talk.utterance, job.units)
        talk.took("lm", monotonic() - start)
        self._spoken(stream, talk, token)
        return job.units

    def _do_speak(self, streams: list[Stream], job: Job) -> int:
        talks, start = [stream.talks[-1] for stream in streams], monotonic()
        tokens = self.lm.step([talk.utterance for talk in talks])
        seconds = (monotonic() - start) / len(talks)
        for stream, talk, token in zip(streams, talks, tokens, strict=True):
            talk.took("lm", seconds)
            self._spoken(stream, talk, token)
        return 1

    def _do_render(self, streams: list[Stream], job: Job) -> int:
        now, chunks, cuts = monotonic(), [], []
        for stream in streams:
            talk = stream.talks[0]
            cut = next_cut(stream, self.options.policy, now)
            final = talk.reason is not None and len(talk.tokens) < cut + LOOK_AHEAD
            until = len(talk.tokens) if final else cut + LOOK_AHEAD
            if talk.voicing is None and until:
                self._voice(stream, talk)
            chunks.append((talk, talk.tokens[talk.given : until], final))
            cuts.append((until, until if final else cut))
        real = [Chunk(talk.voicing, tokens, final) for talk, tokens, final in chunks if talk.voicing is not None]
        waves = iter(self.acoustics.render(real)) if real else iter(())
        seconds, amount = (monotonic() - now) / len(streams), 0
        for stream, (talk, _, final), (given, made) in zip(streams, chunks, cuts, strict=True):
            wave = next(waves) if talk.voicing is not None else np.zeros(0, dtype=np.float32)
            amount += made - talk.made
            talk.given, talk.made = given, made
            talk.took("acoustics", seconds)
            self._deliver(stream, talk, wave, final)
        return amount

    _jobs: ClassVar = {Work.PROMPT: _do_prompt, Work.READ: _do_read, Work.SPEAK: _do_speak, Work.RENDER: _do_render}

    def _voice(self, stream: Stream, talk: Talk) -> None:
        request = stream.request
        start = stream.sent + stream.owed
        talk.voicing = Voicing(stream.prompt, stream.submission.seed, request.speed, start)
        self.acoustics.open(talk.voicing)

    # --- what comes of them ------------------------------------------------------------------------------------

    def _spoken(self, stream: Stream, talk: Talk, token: int) -> None:
        """The language model has chosen a token, or NOBODY."""
        if token != NOBODY and token < self.lm.model.eos_id:
            talk.tokens.append(token)
            alarm = talk.watch.hear(token)
            if alarm is None and stream.prompt.tokens + len(talk.tokens) >= self.acoustics.most_tokens:
                alarm = FinishReason.LENGTH
            if alarm is not None:
                self._end_talk(stream, talk, alarm)
                self._progress(stream)
                return
        self._settle(stream, talk)
        self._progress(stream)

    def _settle(self, stream: Stream, talk: Talk) -> None:
        """If the utterance has ended, free its row; before it is heard, it may be said again."""
        if talk.utterance.reason is not None and talk.reason is None:
            self._end_talk(stream, talk, talk.watch.verdict(talk.utterance.reason, talk.text_tokens))

    def _end_talk(self, stream: Stream, talk: Talk, reason: FinishReason) -> None:
        self.lm.close(talk.utterance)
        if not talk.written:  # the text goes on, but this segment has ended: what comes belongs to it no more
            talk.written = True
            self._skip_segment(stream)
        if reason in SUSPECT and self._may_repeat(stream, talk):
            self._again(stream, talk)
        else:
            talk.reason = reason
            self.stats.add(f"segments_{reason.value}")

    @staticmethod
    def _skip_segment(stream: Stream) -> None:
        stream.skipping = True
        while stream.parts and stream.skipping:
            stream.skipping = not stream.parts.popleft().ends_segment

    def _may_repeat(self, stream: Stream, talk: Talk) -> bool:
        asked = talk.attempt < stream.request.retries and stream.submission.parts is not None
        in_time = not stream.request.stream or monotonic() < stream.dry_s
        return asked and not talk.given and in_time

    def _again(self, stream: Stream, talk: Talk) -> None:
        self.stats.add("retries")
        talk.attempt += 1
        generator = torch.Generator().manual_seed((stream.submission.seed + 7919 * talk.attempt) % 2**63)
        ids = stream.submission.parts[talk.index].ids if stream.submission.parts is not None else ()
        talk.utterance = self._utterance(stream, TextPart(talk.text, ids), generator)
        talk.tokens, talk.watch = [], Watch(self.options.alarms)
        self.lm.open(talk.utterance)

    def _deliver(self, stream: Stream, talk: Talk, wave: Samples, final: bool) -> None:
        """Hand samples out, with soft ends and the pause between segments."""
        if not (stream.request.stream or final):
            talk.held.append(wave)
            return
        wave, talk.held = np.concatenate([*talk.held, wave]), []
        begins = talk.samples == 0
        pause = self._pause(stream, talk) if final else None
        more = stream.parts or len(stream.talks) > 1
        wave = joinable(wave, begins, None if pause is None else pause if more else 0)
        lead = stream.owed if begins and len(wave) else 0
        wave = np.concatenate([np.zeros(lead, dtype=np.float32), wave]) if lead else wave
        stream.owed -= lead
        if final:
            stream.owed += 0 if more or pause is None else pause
            if talk.voicing is not None:
                self.acoustics.close(talk.voicing)
            stream.talks.popleft()
        talk.samples += len(wave)
        if len(wave) or final:
            self._hand_out(stream, talk, wave, begins, final)
        if final:
            self._progress(stream)

    @staticmethod
    def _pause(stream: Stream, talk: Talk) -> int:
        return round(pause_after(talk.text) / stream.request.speed * SAMPLE_RATE_HZ)

    def _hand_out(self, stream: Stream, talk: Talk, wave: Samples, begins: bool, final: bool) -> None:
        submission, in_parts = stream.submission, stream.submission.parts is None
        details: dict[str, object] = {"seed": submission.seed, "mode": submission.conditions.mode.value}
        if final:
            details |= {
                "text_tokens": talk.text_tokens,
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
        if stream.sent == 0 and samples:
            stream.plays_until_s = now
            if stream.request.stream:
                self.stats.observe("first_audio_s", now - stream.submission.arrived_s)
        elif stream.request.stream and samples:
            slack = stream.plays_until_s - now
            self.stats.observe("slack_s", slack)
            if slack < 0 and not stream.waited_for_text:
                self.stats.add("underruns")
                self.stats.add("underrun_s", -slack)
        if samples:
            stream.waited_for_text = False
            stream.plays_until_s = max(stream.plays_until_s, now) + samples / SAMPLE_RATE_HZ
        stream.sent += samples
        self.stats.add("audio_s", samples / SAMPLE_RATE_HZ)
        self.stats.add("chunks")

    def _fail(self, stream: Stream, stage: str, error: Exception) -> None:
        if stream.submission.id in self._streams:
            self.stats.add("failed")
            self._end(stream, _as_engine_error(stage, error))

    def _end(self, stream: Stream, error: BaseException | None) -> None:
        """The one way out."""
        if self._streams.pop(stream.submission.id, None) is None:
            return
        try:
            for talk in stream.talks:
                self.lm.close(talk.utterance)
                if talk.voicing is not None:
                    self.acoustics.close(talk.voicing)
            if error is None:
                self.stats.add("completed")
                if stream.sent:
                    self.stats.observe("real_time_factor", stream.seconds * SAMPLE_RATE_HZ / stream.sent)
        finally:
            stream.submission.sink.end(error)


def _warnings(stream: Stream, talk: Talk) -> list[str]:
    """What the caller should know: of the voice's recording, once, and of the segment."""
    found = list(stream.submission.warnings) if talk.index == 0 else []
    count = len(talk.tokens)
    if not count:
        found.append("the model said nothing for this text")
    elif talk.reason is FinishReason.LENGTH:
        found.append(f"cut off at the length limit after {count} speech tokens")
    elif talk.reason is FinishReason.EARLY_STOP:
        found.append(f"ended early: {count} speech tokens for {talk.text_tokens} text tokens; words may be missing")
    elif talk.reason in (FinishReason.REPETITION, FinishReason.SILENCE):
        found.append(f"stopped after {count} speech tokens: the model fell into {talk.reason.value}")
    return found


def _as_engine_error(stage: str, error: Exception) -> CosyError:
    return error if isinstance(error, CosyError) else EngineError(f"synthesis failed while it did '{stage}': {error!r}")
