"""One request on its way from text to audio: the plain path, one stream at a time, nothing scheduled.

    text -> segments -> text ids -> [language model] -> speech tokens -> [flow] -> mel -> [vocoder] -> samples

Every segment is an utterance of its own after the same prompt.  Randomness comes from the request's seed: the
sampler's generator runs through all segments, and the vocoder's noise belongs to positions in the whole audio.
So a request gives the same audio whether it is streamed or not.

Gain, sample rate and format of a request are not looked at: they are the business of whoever sends the audio on.
"""

from __future__ import annotations

import secrets
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np
import torch

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.errors import ParameterError, TextError
from cosy.models.flow_stream import FlowState, FlowStream
from cosy.models.sampling import RasSampler, Sampler
from cosy.models.speech_lm import SpeechTokens, generate, generate_bistream
from cosy.text.incremental import IncrementalText
from cosy.timing import Stopwatch
from cosy.token2wav import AudioStream, ExactStream, FinalChunk, in_pieces, seeded_noise
from cosy.token2wav_official import OfficialStream
from cosy.types import AudioChunk, FinishReason, Samples, SpeechRequest
from cosy.voices.conditions import Conditions, FlowPrompt, conditions

if TYPE_CHECKING:
    from cosy.checkpoint.load import LoadedModel
    from cosy.text.frontend import Segment as TextSegment
    from cosy.text.frontend import TextFrontend
    from cosy.text.incremental import TextPiece
    from cosy.voices.voice import Voice

Policy = Literal["exact", "official"]
Item = TypeVar("Item")

FADE_S = 0.005  # at both ends of a segment: speech there is silent but not zero, and a step would click
SENTENCE_PAUSE_S = 0.2  # between segments, after what ends a sentence; at speed 1
CLAUSE_PAUSE_S = 0.12  # after anything else
SENTENCE_ENDS = "。．.!?！？…"
CLOSERS = "\"'”’」』）)》】]"  # may follow what ends a sentence

FADE = round(FADE_S * SAMPLE_RATE_HZ)  # samples
RAMP: Samples = (0.5 - 0.5 * np.cos(np.pi * (np.arange(FADE) + 0.5) / FADE)).astype(np.float32)


@dataclass(frozen=True)
class _Place:
    """Where an utterance is in the audio."""

    index: int = 0
    start: int = 0  # sample
    lead: int = 0  # samples of silence before it
    pause: int = 0  # samples of silence after it


@dataclass
class _Words:
    """What an utterance says; of a text that arrives in pieces it is known at the end."""

    text: str = ""
    tokens: int = 0
    late: bool = False

    def arriving(self, first: TextPiece, pieces: Iterator[TextPiece]) -> Iterator[tuple[int, ...]]:
        """The ids of a segment that begins with `first`, as they come."""
        piece: TextPiece | None = first
        while piece is not None:
            self.text += piece.text
            self.tokens += len(piece.ids)
            yield piece.ids
            piece = None if piece.ends_segment else next(pieces, None)


@dataclass(frozen=True)
class _Job:
    """What is fixed for all segments of a request."""

    request: SpeechRequest
    conditions: Conditions
    prompt: FlowPrompt
    seed: int
    sampler: Sampler
    clock: Stopwatch
    voice_warnings: tuple[str, ...]  # from its preparation


class Synthesizer:
    """Speaks with a loaded model.  Holds nothing of any request; may be used by one thread at a time.

    `policy` "official" cuts and joins as CosyVoice 2 does, to compare with: no pauses or fades between segments,
    and audible cuts in a stream.  `final_chunk` "official" solves the end of an utterance, or without streaming
    the whole of it, with full attention.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        policy: Policy = "exact",
        final_chunk: FinalChunk = "streaming",
        incremental: bool = True,
        frontend: TextFrontend | None = None,
    ) -> None:
        for name, value, known in (
            ("policy", policy, ("exact", "official")),
            ("final_chunk", final_chunk, ("streaming", "official")),
        ):
            if value not in known:
                raise ParameterError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        self.model, self.policy, self.final_chunk = model, policy, final_chunk
        self.flow = FlowStream(model.flow) if incremental else None
        self._frontend = frontend
        self._last_voice: tuple[FlowPrompt, FlowState] | None = None  # the prompt computed last

    @cached_property
    def frontend(self) -> TextFrontend:
        """The text front end; made at its first use because its grammars take a while to load."""
        if self._frontend is not None:
            return self._frontend
        from cosy.text.frontend import TextFrontend

        return TextFrontend(self.model.text_tokenizer)

    def speak(self, request: SpeechRequest, voice: Voice) -> Iterator[AudioChunk]:
        """Audio of a request whose text is a string: piece by piece, or with `stream` off one chunk per segment.

        Raises InputError, before anything is computed, for a text, mode or voice that do not go together.
        The last chunk of a segment has a finish reason, and in its details the numbers of tokens, the speech tokens
        themselves (`tokens`), and warnings.
        """
        if not isinstance(request.text, str):
            raise ParameterError("a text that arrives in pieces goes to speak_pieces")
        job = self._job(request, voice)
        with job.clock.stage("text"):
            segments = self.frontend.segments(request.text, request.language, normalise=request.normalise)
        return self._speak(job, segments)

    def speak_pieces(self, pieces: Iterable[str], request: SpeechRequest, voice: Voice) -> Iterator[AudioChunk]:
        """Speak while the text still arrives; `request.text` is ignored.

        The audio does not depend on how the text is cut.  Between pieces the caller's iterator is waited for;
        timings count that as the language model's.  The text of a segment comes with its last chunk.  Raises as
        `speak`, and TextError at the end of an empty text.
        """
        return self._speak_pieces(self._job(request, voice), pieces)

    def _job(self, request: SpeechRequest, voice: Voice) -> _Job:
        if self.policy == "official" and request.stream and request.speed != 1.0:
            raise ParameterError("the official policy cannot change the speed of a stream; switch streaming off")
        seed = secrets.randbits(32) if request.seed is None else request.seed
        sampling = request.sampling or self.model.config.llm.sampling
        sampler = RasSampler(sampling, torch.Generator().manual_seed(seed))
        instruction = request.instruction.strip() and self.frontend.instruction(request.instruction)
        prepared = conditions(voice, self.model.text_tokenizer, request.mode, instruction)
        prompt = prepared.flow.to(self.model.device)
        return _Job(request, prepared, prompt, seed, sampler, Stopwatch(), voice.info.warnings)

    @torch.inference_mode()
    def _speak(self, job: _Job, segments: Sequence[TextSegment]) -> Iterator[AudioChunk]:
        given, start = job.conditions, 0
        for index, segment in enumerate(segments):
            tokens = generate(self.model.llm, segment.ids, given.prompt_text, given.prompt_speech, sampler=job.sampler)
            pause = self._pause(segment.text, job.request.speed) if index + 1 < len(segments) else 0
            words = _Words(segment.text, segment.tokens)
            start = yield from self._utter(job, _Place(index, start, pause=pause), tokens, words)

    @torch.inference_mode()
    def _speak_pieces(self, job: _Job, pieces: Iterable[str]) -> Iterator[AudioChunk]:
        given, parts = job.conditions, self._read(job, pieces)
        index = end = lead = 0
        for part in parts:
            if not (part.text or part.ids):
                continue  # the end of a segment that has ended
            words = _Words(late=True)
            ids = words.arriving(part, parts)
            tokens = generate_bistream(self.model.llm, ids, given.prompt_text, given.prompt_speech, sampler=job.sampler)
            end = yield from self._utter(job, _Place(index, end, lead=lead), tokens, words)
            for _ in ids:
                pass  # text after the length limit is not spoken
            index, lead = index + 1, self._pause(words.text, job.request.speed)
        if not index:
            raise TextError("there is nothing to speak: the text is empty")

    def _read(self, job: _Job, pieces: Iterable[str]) -> Iterator[TextPiece]:
        reader = IncrementalText(self.frontend, job.request.language, job.request.normalise)
        for piece in pieces:
            yield from reader.push(piece)
        yield from reader.finish()

    def _utter(self, job: _Job, place: _Place, tokens: SpeechTokens, words: _Words) -> Generator[AudioChunk, None, int]:
        """Audio of one segment; returns the sample at which the next one starts."""
        spoken = _Kept(job.clock.timed("lm", tokens))
        stream, position = self._stream(job, place.start + place.lead), place.start
        for piece in in_pieces(spoken, stream, at_once=not job.request.stream):
            samples: Samples = piece.samples.float().cpu().numpy().copy()
            if self.policy == "exact":
                samples = joinable(samples, position == place.start, place.pause if piece.final else None)
                if position == place.start and len(samples):
                    samples = np.concatenate([np.zeros(place.lead, dtype=np.float32), samples])
            if not len(samples) and not piece.final:
                continue
            details: dict[str, Any] = {"seed": job.seed, "mode": job.conditions.mode.value}
            if piece.final:
                details |= {
                    "text_tokens": words.tokens,
                    "speech_tokens": len(spoken.items),
                    "tokens": tuple(spoken.items),
                    "warnings": _warnings(job, place, spoken),
                }
            yield AudioChunk(
                samples=samples,
                rate_hz=self.model.config.sample_rate,
                offset_samples=position,
                segment=place.index,
                text=words.text if (piece.final if words.late else position == place.start) else "",
                finish_reason=spoken.result if piece.final else None,
                timings_s=job.clock.take(),
                details=details,
            )
            position += len(samples)
        return position

    def _stream(self, job: _Job, start: int) -> AudioStream:
        """The way to audio of a segment that starts at sample `start`."""
        flow, vocoder = self.model.flow, self.model.hift
        noise = seeded_noise(job.seed, vocoder.m_source.harmonics, start)
        if self.policy == "official":
            return OfficialStream(flow, vocoder, job.prompt, noise, speed=job.request.speed, clock=job.clock)
        return ExactStream(
            flow,
            vocoder,
            job.prompt,
            noise,
            speed=job.request.speed,
            final_chunk=self.final_chunk,
            clock=job.clock,
            stream=self.flow if job.request.stream else None,
            voice=self._voice(job) if job.request.stream else None,
        )

    def _voice(self, job: _Job) -> FlowState | None:
        """What the prompt leaves in the flow; kept for the next request of the same voice."""
        if self.flow is None:
            return None
        if self._last_voice is None or not job.prompt.equals(self._last_voice[0]):
            with job.clock.stage("voice"):
                self._last_voice = job.prompt, self.flow.open(*job.prompt)
        return self._last_voice[1]

    def _pause(self, text: str, speed: float) -> int:
        """Samples of silence after a segment."""
        if self.policy == "official":
            return 0
        return round(pause_after(text) / speed * self.model.config.sample_rate)


class _Kept(Generic[Item]):
    """Items of a generator, those so far, and what it returned in the end."""

    def __init__(self, source: Iterator[Item]) -> None:
        self._source = source
        self.items: list[Item] = []
        self.result: Any = None

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                item = next(self._source)
            except StopIteration as end:
                self.result = end.value
                return
            self.items.append(item)
            yield item


def _warnings(job: _Job, place: _Place, spoken: _Kept[int]) -> list[str]:
    """What the caller should know: of the voice's recording, once, and of the segment."""
    found = list(job.voice_warnings) if place.index == 0 else []
    if not spoken.items:
        found.append("the model said nothing for this text")
    elif spoken.result is FinishReason.LENGTH:
        found.append(f"cut off at the length limit after {len(spoken.items)} speech tokens")
    return found


def pause_after(text: str) -> float:
    """Seconds of silence that sound natural after a segment of text."""
    ends_sentence = text.rstrip().rstrip(CLOSERS).endswith(tuple(SENTENCE_ENDS))
    return SENTENCE_PAUSE_S if ends_sentence else CLAUSE_PAUSE_S


def joinable(samples: Samples, first: bool, pause: int | None) -> Samples:
    """A piece of a segment with soft ends: faded in if `first`, faded out and followed by silence if last."""
    size = min(len(RAMP), len(samples))
    if first and size:
        samples[:size] *= RAMP[:size]
    if pause is None:
        return samples
    if size:
        samples[-size:] *= RAMP[:size][::-1]
    return np.concatenate([samples, np.zeros(pause, dtype=np.float32)])
