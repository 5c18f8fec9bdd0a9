"""One request inside the engine: what it wants, how far it is, and what the scheduler sees of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.engine.watch import Watch
from cosy.types import AudioChunk, FinishReason, Samples, SpeechRequest

if TYPE_CHECKING:
    from cosy.engine.acoustic_runner import Prompt, Voicing
    from cosy.engine.lm_runner import Utterance
    from cosy.voices.conditions import Conditions


@dataclass(frozen=True)
class TextPart:
    """Text to speak: a whole segment, or, of a text that arrives in pieces, some of one."""

    text: str
    ids: tuple[int, ...]
    ends_segment: bool = True


class Sink(Protocol):
    """Where a stream's audio goes.  Called from the engine's thread; must not block."""

    def put(self, chunk: AudioChunk) -> None: ...

    def end(self, error: BaseException | None) -> None:
        """Nothing follows.  Called once."""
        ...


@dataclass(frozen=True)
class Submission:
    """A request, prepared for the engine."""

    id: str
    request: SpeechRequest
    conditions: Conditions
    voice_key: str  # equal for equal prompts
    parts: Sequence[TextPart] | None  # None: they come one by one
    seed: int
    warnings: tuple[str, ...]  # of the voice
    sink: Sink
    arrived_s: float
    due_s: float  # when the first audio should be there


@dataclass(eq=False)
class Talk:
    """One segment: an utterance from text to audio."""

    index: int
    text: str
    ids: tuple[int, ...]
    utterance: Utterance
    watch: Watch
    written: bool  # whether its text is complete
    tokens: list[int] = field(default_factory=list)
    reason: FinishReason | None = None  # why the language model ended it
    attempt: int = 0
    given: int = 0  # tokens handed to the acoustic models
    made: int = 0  # tokens whose audio has been made
    voicing: Voicing | None = None
    samples: int = 0  # handed out
    held: list[Samples] = field(default_factory=list)  # audio that waits for the end of the segment
    seconds: dict[str, float] = field(default_factory=dict)  # of computing, since the last chunk

    def write(self, part: TextPart) -> None:
        """Take some more of its text, which it waits for."""
        self.text, self.ids = self.text + part.text, self.ids + part.ids
        self.written = part.ends_segment
        if part.ids:
            self.utterance.tell(part.ids)

    def took(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds


@dataclass(eq=False)
class Stream:
    """A request that has begun.  Implements `scheduler.Track`."""

    submission: Submission
    generator: torch.Generator
    prompt: Prompt
    parts: deque[TextPart]  # not spoken yet
    written: bool  # whether the text is complete
    talks: deque[Talk] = field(default_factory=deque)  # whose audio is not finished; the last one may be speaking
    skipping: bool = False  # the text of a segment that has ended goes on
    segments: int = 0  # talks begun
    sent: int = 0  # samples handed out
    owed: int = 0  # samples of silence before the next segment, if there is one
    unheard: int = 0  # samples that wait at the listener
    most_unheard: int = 60 * SAMPLE_RATE_HZ
    plays_until_s: float = math.nan  # when a listener that plays at once has heard all
    waited_for_text: bool = False  # since audio was handed out last
    seconds: float = 0.0  # of computing

    @property
    def request(self) -> SpeechRequest:
        return self.submission.request

    @property
    def speaking(self) -> Talk | None:
        """The talk whose tokens are still to come."""
        return self.talks[-1] if self.talks and self.talks[-1].reason is None else None

    @property
    def finished(self) -> bool:
        return self.written and not self.parts and not self.talks

    @property
    def _held_back(self) -> bool:
        """Whether the segment may be said again, so that its audio is not made yet."""
        return self.request.retries > 0 and not self.request.stream and not self.complete

    # --- what the scheduler sees -------------------------------------------------------------------------------

    @property
    def started(self) -> bool:
        return self.request.stream and self.sent > 0

    @property
    def dry_s(self) -> float:
        return self.plays_until_s if self.started else self.submission.due_s

    @property
    def paused(self) -> bool:
        return self.unheard >= self.most_unheard

    @property
    def prompt_blocks(self) -> int:
        return self.prompt.blocks_left

    @property
    def unread(self) -> int:
        talk = self.speaking
        return len(talk.utterance.unread) if talk else 0

    @property
    def ahead(self) -> int:
        return 0 if self._held_back else sum(len(talk.tokens) - talk.made for talk in self.talks)

    @property
    def prompt_tokens(self) -> int:
        return self.prompt.tokens

    @property
    def known(self) -> int:
        return len(self.talks[0].tokens) if self.talks and not self._held_back else 0

    @property
    def made(self) -> int:
        return self.talks[0].made if self.talks else 0

    @property
    def complete(self) -> bool:
        return bool(self.talks) and self.talks[0].reason is not None
