"""What a benchmark measures: a model, a voice and a text, and how the engine is to run them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from cosy.api import PRECISIONS, Cosy
from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.bench.random_model import random_model, random_voice, text_for
from cosy.engine.build import MEMORY_BYTES, build_engine
from cosy.engine.core import EngineOptions
from cosy.engine.protocol import VoiceSummary
from cosy.engine.scheduler import Limits, Policy
from cosy.engine.watch import Alarms
from cosy.errors import ParameterError
from cosy.models.flow_stream import BoundedCache, FullCache, Memory
from cosy.nn.precision import Recipe, accelerate
from cosy.nn.threads import apart
from cosy.streaming_plan import BLOCK
from cosy.text.frontend import TextFrontend
from cosy.types import InlineVoice, SpeechRequest
from cosy.voices.voice import Voice

if TYPE_CHECKING:
    from cosy.checkpoint.load import LoadedModel
    from cosy.engine.async_engine import AsyncEngine

MEMORIES = ("full", "half", "bounded")
PROMPT_S = 5.0  # of a random voice
CHARACTERS_PER_SECOND = 14  # of English speech
SENTENCES = (
    "The river rises in the hills and runs through three old towns before it meets the sea.",
    "In spring the water is high, and the boats that bring wood come down almost every day.",
    "My brother keeps a small shop near the bridge, where he sells bread, fruit and warm coffee.",
    "When the rain stopped, we walked along the bank and counted the lights on the other side.",
)
DEAF = Alarms(silent=frozenset({-1}), shortest_loop=2**31)  # random speech may loop as it likes


@dataclass(frozen=True)
class Choice:
    """What the command line says of the subject."""

    model: Path | None = None
    random_weights: bool = False
    voice: str | None = None
    prompt_s: float | None = None  # of a random voice
    new_voice: bool = False
    seconds: float = 10.0  # of speech, about; the figures say how long it was
    device: str = "cpu"
    dtype: str = "float32"
    recipe: str | None = None  # as `Recipe.of` reads it; None: the fastest for this machine, if dtype allows
    memory: str | None = None
    memory_gib: float = MEMORY_BYTES / 2**30
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, known in (("dtype", self.dtype, PRECISIONS), ("memory", self.memory or "full", MEMORIES)):
            if value not in known:
                raise ParameterError(f"unknown {name} {value!r}; choose one of {', '.join(known)}")
        if self.random_weights and (self.model or self.voice):
            raise ParameterError("random weights need no model and have no voice of a name; leave --model, --voice out")
        if self.prompt_s is not None and not self.random_weights:
            raise ParameterError("only a random voice can be of any length: --prompt-seconds needs --random-weights")
        if self.recipe is not None and self.dtype != "float32":
            raise ParameterError(f"a recipe starts from float32: leave out --recipe {self.recipe} or the other dtype")
        if not self.seconds > 0:
            raise ParameterError(f"seconds of speech must be above 0, got {self.seconds}")


@dataclass
class Subject:
    """A model that is ready, and what it is to say."""

    choice: Choice
    model: LoadedModel
    frontend: TextFrontend
    voice: Voice
    recipe: Recipe = field(default_factory=Recipe)  # that the networks run in

    @property
    def text(self) -> str:
        return self.text_of(self.choice.seconds)

    def text_of(self, seconds: float) -> str:
        """A text that takes about so long to say."""
        if self.choice.random_weights:
            return text_for(seconds)
        return english(round(CHARACTERS_PER_SECOND * seconds))

    @property
    def prompt_tokens(self) -> int:
        return len(self.voice.prompt_tokens)

    def request(self, number: int, seconds: float | None = None, **options: Any) -> SpeechRequest:
        """The request of that number; each has its own chance, and with `new_voice` its own voice."""
        text = self.text if seconds is None else self.text_of(seconds)
        voice = f"{self.voice.name}#{number}" if self.choice.new_voice else self.voice.name
        given = {"voice": voice, "seed": self.choice.seed + number, "normalise": not self.choice.random_weights}
        return SpeechRequest(text, **{**given, **options})

    def engine(self, streams: int = 1, limits: Limits | None = None, **options: Any) -> AsyncEngine:
        """An engine for so many streams at once, not started.  Unless `limits` say otherwise it refuses none of them.

        `options`: further fields of `EngineOptions`.  Raises ParameterError if their memory does not suffice.
        """
        limits = limits or Limits(streams=streams, waiting=2 * streams, load=math.inf, wait_s=math.inf)
        alarms = DEAF if self.choice.random_weights else Alarms()
        if self.choice.device != "cpu":  # a GPU makes the audio of all in the time of one
            options.setdefault("policy", Policy(rendering_rows=streams))
        engine = apart(
            lambda: build_engine(
                self.model,
                Voices([self.voice]),
                EngineOptions(limits=limits, alarms=alarms, threads=self.choice.threads, **options),
                frontend=self.frontend,
                memory=self._memory(),
                memory_bytes=round(self.choice.memory_gib * 2**30),
            )
        )
        self._check_room(engine, streams)
        return engine

    def _memory(self) -> Memory | None:
        if self.choice.memory == "half":
            return FullCache(torch.float16)
        if self.choice.memory == "bounded":
            return BoundedCache(-(-self.prompt_tokens // BLOCK) * BLOCK, 2 * BLOCK)
        return FullCache() if self.choice.memory == "full" else None

    def _check_room(self, engine: AsyncEngine, streams: int) -> None:
        rows, tokens = engine.core.options.limits.streams, engine.core.rendering.acoustics.most_tokens
        needed = self.prompt_tokens + round(TOKEN_RATE_HZ * self.choice.seconds)
        if rows < streams or tokens < needed:
            raise ParameterError(
                f"{self.choice.memory_gib:g} GiB hold {rows} streams of {tokens} tokens, but {streams} of {needed} are "
                "wanted: raise --memory-gib, or choose --memory half or bounded"
            )

    def described(self) -> dict[str, Any]:
        """The settings, for a report."""
        choice = self.choice
        return {
            "model": "random weights, official size" if choice.random_weights else str(self.model.directory),
            "random_weights": choice.random_weights,
            "device": choice.device,
            "dtype": choice.dtype,
            "recipe": asdict(self.recipe),
            "memory_gib": choice.memory_gib,
            "voice": "new" if choice.new_voice else "cached",
            "voice_name": self.voice.name,
            "prompt_s": self.prompt_tokens / TOKEN_RATE_HZ,
            "seconds_wanted": choice.seconds,
            "text_tokens": sum(len(segment.ids) for segment in self.segments()),
            "seed": choice.seed,
        }

    def segments(self) -> Sequence[Any]:
        """The text as the language model reads it."""
        return self.frontend.segments(self.text, normalise=not self.choice.random_weights)


def open_subject(choice: Choice) -> Subject:
    """Load or make what was chosen.  Raises CheckpointError, ParameterError, VoiceError."""
    if choice.threads is not None:
        torch.set_num_threads(choice.threads)
    return apart(lambda: _opened(choice))


def _opened(choice: Choice) -> Subject:
    subject = _random(choice) if choice.random_weights else _loaded(choice)
    if choice.dtype == "float32":
        subject.recipe = accelerate(subject.model, None if choice.recipe is None else Recipe.of(choice.recipe))
    return subject


def plain_model(subject: Subject) -> LoadedModel:
    """The same networks in float32, without a recipe: what the official algorithm runs on."""
    if subject.choice.dtype == "float32" and subject.recipe == Recipe():
        return subject.model
    return open_subject(replace(subject.choice, dtype="float32", recipe="float32")).model


def engine_settings(engine: AsyncEngine) -> dict[str, Any]:
    """What the flow keeps of its past, in words, and the threads that torch uses for a job."""
    memory = engine.core.rendering.acoustics.flow.memory
    dtype = "as computed" if memory.dtype is None else str(memory.dtype).removeprefix("torch.")
    threads = engine.core.options.threads or torch.get_num_threads()
    return {"memory": f"{type(memory).__name__} {dtype}", "threads": threads}


def english(characters: int) -> str:
    """Whole sentences of about so many characters, at least one."""
    text = ""
    for sentence in cycle(SENTENCES):
        if text and len(text) + len(sentence) / 2 > characters:
            return text
        text = f"{text} {sentence}".lstrip()
    raise AssertionError("sentences come round again")


def _random(choice: Choice) -> Subject:
    _require_device(choice.device)
    model = random_model(device=choice.device, dtype=getattr(torch, choice.dtype), seed=choice.seed)
    voice = random_voice(PROMPT_S if choice.prompt_s is None else choice.prompt_s, choice.seed)
    return Subject(choice, model, TextFrontend(model.text_tokenizer), voice)


def _loaded(choice: Choice) -> Subject:
    cosy = Cosy.load(choice.model, choice.device, choice.dtype, recipe="float32")
    return Subject(choice, cosy.model, cosy.synthesizer.frontend, cosy.voices.load(choice.voice))


def _require_device(device: str) -> None:
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ParameterError(f"the device {device!r} cannot be used ({reason}); choose cpu") from error


class Voices:
    """Some voices, each also under names such as `anna#3`: one that the engine has never seen.

    Implements `VoiceSource`.
    """

    def __init__(self, voices: Sequence[Voice]) -> None:
        self._voices = {voice.name: voice for voice in voices}

    def list(self) -> Sequence[VoiceSummary]:
        return [_summary(voice) for voice in self._voices.values()]

    def get(self, voice_id: str) -> VoiceSummary:
        return _summary(self.load(voice_id))

    def load(self, voice_id: str | None) -> Voice:
        assert voice_id is not None, "benchmarks name their voice"
        name, _, number = voice_id.partition("#")
        return variant(self._voices[name], int(number)) if number else self._voices[name]

    def prepare(self, recording: InlineVoice) -> Voice:
        raise ParameterError("a benchmark speaks with prepared voices; register the recording as a voice first")


def variant(voice: Voice, number: int) -> Voice:
    """A voice of the same length that shares nothing that is computed once for a voice."""
    name, text = f"{voice.name}#{number}", voice.prompt_text
    if text:
        text = chr(ord("A") + number % 26) + chr(ord("a") + number // 26 % 26) + text[2:]
    info = replace(voice.info, name=name, prompt_text=text)
    return replace(voice, info=info, embedding=voice.embedding * (1 + 1e-4 * (number + 1)))


def _summary(voice: Voice) -> VoiceSummary:
    info = voice.info
    return VoiceSummary(info.name, info.name, info.transcript, info.preset, info.duration_s, info.created_at)
