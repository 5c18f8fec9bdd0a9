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

import torch

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.engine.acoustic_runner import AcousticRunner, Prompt
from cosy.engine.lm_runner import LMRunner
from cosy.engine.protocol import Health
from cosy.engine.rendering import Rendering
from cosy.engine.scheduler import Costs, Job, Limits, Policy, Verdict, Work, admission, pick, retry_after_s
from cosy.engine.speaking import Speaking
from cosy.engine.stats import Stats
from cosy.engine.stream import Stream, Submission, TextPart
from cosy.engine.watch import Alarms
from cosy.errors import AbortedError, CosyError, EngineError, OverloadedError
from cosy.nn.threads import threads
from cosy.types import Sampling

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
    threads: int | None = None  # cores for a job; None: what suits the networks


class Core:
    """The thread and what it owns."""

    def __init__(
        self, lm: LMRunner, acoustics: AcousticRunner, sampling: Sampling, options: EngineOptions | None = None
    ) -> None:
        self.options = options or EngineOptions()
        self.costs, self.stats = Costs(), Stats()
        self.speaking = Speaking(lm, sampling, self.options.alarms, acoustics.most_tokens, self.stats)
        self.rendering = Rendering(acoustics, self.options.policy, self.costs, self.stats)
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
            "rows_lm_free": self.speaking.lm.free,
            "rows_acoustic_free": self.rendering.acoustics.free,
            "voices_cached": len(self._prompts),
            "bytes_lm": self.speaking.lm.bytes,
            "bytes_acoustic": self.rendering.acoustics.bytes,
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
            with threads(self.options.threads):
                self._work()
            self._end_all(AbortedError("the engine was closed"))
        except BaseException as error:
            log.exception("the engine thread has failed")
            with self._wake:
                self._death = error
            self._end_all(EngineError(f"the engine has failed: {error!r}; restart it"))

    def _work(self) -> None:
        while not self._closing:
            self._take_messages()
            self._admit()
            job = pick(self._streams.values(), self.options.policy, self.costs, monotonic())
            if job is None:
                self._sleep()
            else:
                self._do(job)

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
        self._admit()  # whoever came with the same messages and can begin takes no place in the queue
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

    def _write(self, stream: Stream, part: TextPart | None) -> None:
        try:
            self.speaking.write(stream, part)
            self._go_on(stream)
        except Exception as error:
            self._fail(stream, "reading the text", error)

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
        text = sum(len(part.ids) for part in stream.parts) + sum(len(talk.ids) for talk in stream.talks)
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
        self._go_on(stream)

    def _prompt(self, submission: Submission) -> Prompt:
        key = submission.voice_key
        if key not in self._prompts:
            self._prompts[key] = self.rendering.acoustics.prepare(submission.conditions.flow)
        self._prompts.move_to_end(key)
        while len(self._prompts) > 1 and sum(p.state.bytes for p in self._prompts.values()) > self.options.prompt_bytes:
            self._prompts.popitem(last=False)
        return self._prompts[key]

    # --- jobs --------------------------------------------------------------------------------------------------

    def _do(self, job: Job) -> None:
        streams = [track for track in job.tracks if isinstance(track, Stream)]
        start = monotonic()
        try:
            amount = self._done(job, streams)
            for stream in streams:
                self._go_on(stream)
        except Exception as error:
            log.exception("a job failed: %s", job.work.name.lower())
            for stream in streams:
                self._fail(stream, job.work.name.lower(), error)
            return
        if amount:
            self.costs.learn(job.work, monotonic() - start, amount)

    def _done(self, job: Job, streams: list[Stream]) -> int:
        """Do a job; returns its amount, in the unit of its costs."""
        if job.work is Work.READ:
            self.speaking.read(streams[0], job.units)
            return job.units
        if job.work is Work.SPEAK:
            self.speaking.step(streams)
            return 1
        if job.work is Work.PROMPT:
            self.rendering.acoustics.advance(streams[0].prompt)
            return 1
        return self.rendering.render(streams)

    def _go_on(self, stream: Stream) -> None:
        """See to what the stream needs next, or end it."""
        self.speaking.progress(stream)
        if stream.finished:
            self._end(stream, None)

    def _fail(self, stream: Stream, stage: str, error: Exception) -> None:
        if stream.submission.id in self._streams:
            self.stats.add("failed")
            self._end(stream, _as_engine_error(stage, error))

    def _end(self, stream: Stream, error: BaseException | None) -> None:
        """The one way out."""
        if self._streams.pop(stream.submission.id, None) is None:
            return
        try:
            self.speaking.close(stream)
            self.rendering.close(stream)
            if error is None:
                self.stats.add("completed")
                if stream.sent:
                    self.stats.observe("real_time_factor", stream.seconds * SAMPLE_RATE_HZ / stream.sent)
        finally:
            stream.submission.sink.end(error)


def _as_engine_error(stage: str, error: Exception) -> CosyError:
    return error if isinstance(error, CosyError) else EngineError(f"synthesis failed while it did '{stage}': {error!r}")
