"""From a loaded model to an engine: rows, memory and precision for the machine at hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import torch

from cosy.audio.constants import FRONT_END_RATE_HZ
from cosy.audio.features import log_mel_16k
from cosy.engine.acoustic_runner import AcousticRunner
from cosy.engine.async_engine import AsyncEngine, VoiceSource
from cosy.engine.core import Core, EngineOptions
from cosy.engine.lm_runner import LMRunner
from cosy.engine.protocol import VoiceSummary
from cosy.errors import MissingFileError, ParameterError
from cosy.models.flow_stream import FullCache, Memory
from cosy.nn.threads import is_large
from cosy.text.frontend import TextFrontend
from cosy.types import InlineVoice
from cosy.voices.prepare import prepare_voice
from cosy.voices.store import VoiceLibrary, VoiceStore
from cosy.voices.voice import Voice, VoiceInfo

if TYPE_CHECKING:
    from cosy.checkpoint.load import LoadedModel
    from cosy.config import ModelConfig
    from cosy.models.flow import Flow

MEMORY_BYTES = 4 << 30  # for the flow's caches of all streams together
FEWEST_TOKENS = 500  # that a stream must be able to hold: 20 s, prompt included
MOST_TOKENS = 2500


@dataclass(frozen=True)
class Fit:
    """How many streams fit the memory, and how long each may be."""

    rows: int
    tokens: int  # prompt included


def fit(rows: int, bytes_per_token: float, memory_bytes: int) -> Fit:
    """Raises ParameterError if not even one stream fits."""
    for fewer in range(rows, 0, -1):
        tokens = min(MOST_TOKENS, int(memory_bytes / (fewer * bytes_per_token)))
        if tokens >= FEWEST_TOKENS:
            return Fit(fewer, tokens)
    needed = FEWEST_TOKENS * bytes_per_token / 2**30
    raise ParameterError(
        f"{memory_bytes / 2**30:.1f} GiB are too little for one stream, which needs {needed:.1f} GiB: "
        "raise the memory of the engine, or store the flow's past in float16 or within bounds"
    )


def build_engine(
    model: LoadedModel,
    voices: VoiceSource | None = None,
    options: EngineOptions | None = None,
    *,
    frontend: TextFrontend | None = None,
    memory: Memory | None = None,
    memory_bytes: int = MEMORY_BYTES,
) -> AsyncEngine:
    """An engine that is not started yet.

    `voices` None: the model's presets and the registered voices.  `memory`: what the flow keeps of its past, None:
    all of it, in float16 if it does not fit otherwise.  The number of streams is at most that of `options.limits`,
    and as many as fit into `memory_bytes`.
    """
    frontend = frontend or TextFrontend(model.text_tokenizer)
    options = options or EngineOptions()
    core = build_core(model, options, memory or default_memory(model, options, memory_bytes), memory_bytes)
    return AsyncEngine(core, frontend, voices or LibraryVoices(model, frontend))


def build_core(model: LoadedModel, options: EngineOptions, memory: Memory, memory_bytes: int = MEMORY_BYTES) -> Core:
    """The part without an event loop."""
    if options.threads is None:
        options = replace(options, threads=suitable_threads(model))
    room = fit(options.limits.streams, bytes_per_token(model, memory), memory_bytes)
    options = replace(options, limits=replace(options.limits, streams=room.rows))
    if not options.alarms.silent:
        options = replace(options, alarms=replace(options.alarms, silent=silent_tokens(model)))
    acoustics = AcousticRunner(
        model.flow,
        model.hift,
        room.rows,
        memory=memory,
        most_tokens=room.tokens,
        look_ahead_frames=options.policy.look_ahead_frames,
    )
    return Core(LMRunner(model.llm, room.rows), acoustics, model.config.llm.sampling, options)


def default_memory(model: LoadedModel, options: EngineOptions, memory_bytes: int) -> Memory:
    """Everything, exactly, if that fits for all streams; in float16 otherwise."""
    whole = MOST_TOKENS * bytes_per_token(model, FullCache()) * options.limits.streams
    return FullCache() if whole <= memory_bytes else FullCache(torch.float16)


def bytes_per_token(model: LoadedModel, memory: Memory) -> float:
    """What a stream of the flow keeps of each token; measured on the device that holds nothing."""
    from cosy.models.flow_stream import FlowStream

    stream = FlowStream(_unfilled(model.config), memory)
    small, large = (stream.init_state(1, tokens).bytes for tokens in (100, 200))
    return max((large - small) / 100, small / MOST_TOKENS)


def suitable_threads(model: LoadedModel) -> int | None:
    """One for small networks: two cores take longer to share a small job than one to do it.  None: all there are."""
    return None if is_large(_unfilled(model.config)) else 1


@lru_cache(maxsize=1)
def _unfilled(config: ModelConfig) -> Flow:
    """A flow of the model's size without numbers."""
    from cosy.checkpoint.load import build

    flow = build("flow", config).to("meta")  # to build it there takes a second, for what PyTorch then imports
    return cast("Flow", flow)


def silent_tokens(model: LoadedModel) -> frozenset[int]:
    """The speech tokens of silence; none if the model directory cannot tell."""
    try:
        tokens = model.speech_tokenizer(log_mel_16k(torch.zeros(1, 2 * FRONT_END_RATE_HZ)))
    except MissingFileError:
        return frozenset()
    return frozenset(tokens.tolist())


class LibraryVoices:
    """The model's presets and a folder of voices.  Implements `VoiceSource`."""

    def __init__(self, model: LoadedModel, frontend: TextFrontend, store: VoiceStore | None = None) -> None:
        self.model, self.frontend = model, frontend
        self.library = VoiceLibrary(model, store or VoiceStore())

    def list(self) -> Sequence[VoiceSummary]:
        return [_summary(info) for info in self.library.list()]

    def get(self, voice_id: str) -> VoiceSummary:
        return _summary(self.library.info(voice_id))

    def load(self, voice_id: str | None) -> Voice:
        return self.library.load(voice_id)

    def prepare(self, recording: InlineVoice) -> Voice:
        normalise = self.frontend.prompt_text
        return prepare_voice(recording.audio, recording.transcript, self.model, name="inline", normalise=normalise)


def _summary(info: VoiceInfo) -> VoiceSummary:
    return VoiceSummary(info.name, info.name, info.transcript, info.preset, info.duration_s, info.created_at)
