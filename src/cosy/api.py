"""`Cosy`: a model directory, its voices, and two verbs, `say` and `stream`.

The front door for scripts and the command line: one process, one caller, nothing scheduled.
Importing it is cheap; torch comes with the first model that is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from cosy.errors import MissingFileError, ParameterError
from cosy.types import AudioChunk, FinishReason, Mode, Samples, Sampling, SpeechRequest

if TYPE_CHECKING:
    import torch

    from cosy.checkpoint.load import LoadedModel
    from cosy.text.lexicon import Lexicon
    from cosy.voices.prepare import Recording
    from cosy.voices.store import VoiceStore
    from cosy.voices.voice import Voice

BUNDLED_MODEL = Path(__file__).parent / "assets" / "model"
PRECISIONS = ("float32", "float16", "bfloat16")


@dataclass(frozen=True)
class Segment:
    """One stretch of text and where it is in the audio."""

    text: str
    start_s: float
    end_s: float  # the pause after it included
    finish_reason: FinishReason
    text_tokens: int
    speech_tokens: int


@dataclass(frozen=True, eq=False)
class Speech:
    """What `Cosy.say` returns: mono audio at the model rate."""

    samples: Samples  # (n,) float32 in [-1, 1]
    rate_hz: int
    segments: tuple[Segment, ...]
    seed: int  # giving it again gives the same audio
    timings_s: dict[str, float] = field(default_factory=dict)  # stage -> seconds of computing
    warnings: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz

    def save(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        """Write an audio file; its format follows the extension unless it is named.

        Raises ParameterError for an unknown format or a folder that does not exist.
        """
        from cosy.audio.io import save_audio

        save_audio(path, self.samples, self.rate_hz, format)


class Cosy:
    """A loaded model and its voices: `voices` lists, loads and removes them.

    May be used by one thread at a time.  Options as in `load`.
    """

    def __init__(
        self,
        model: LoadedModel,
        store: VoiceStore | None = None,
        *,
        policy: Literal["exact", "official"] = "exact",
        final_chunk: Literal["streaming", "official"] = "streaming",
        lexicon: str | os.PathLike[str] | Lexicon | None = None,
    ) -> None:
        from cosy.synthesis import Synthesizer
        from cosy.text.frontend import TextFrontend
        from cosy.text.lexicon import Lexicon
        from cosy.voices.store import VoiceLibrary, VoiceStore

        self.model = model
        self.voices = VoiceLibrary(model, store or VoiceStore())
        words = lexicon if lexicon is None or isinstance(lexicon, Lexicon) else Lexicon.load(lexicon)
        frontend = TextFrontend(model.text_tokenizer, words)
        self.synthesizer = Synthesizer(model, policy=policy, final_chunk=final_chunk, frontend=frontend)

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str] | None = None,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype | None = None,
        *,
        voices: str | os.PathLike[str] | None = None,
        policy: Literal["exact", "official"] = "exact",
        final_chunk: Literal["streaming", "official"] = "streaming",
        lexicon: str | os.PathLike[str] | Lexicon | None = None,
        recipe: str = "auto",
        lora: str | os.PathLike[str] | None = None,
    ) -> Cosy:
        """Load a model directory; None: the one COSY_MODEL names, else the one that comes with the package.

        `dtype` is float32 (None), float16 or bfloat16.  `recipe` says which arithmetic a CPU uses where the networks
        are in float32 (`cosy.nn.precision.Recipe.of`): "auto" is the fastest of this machine whose error cannot be
        heard.  `voices` is the folder of registered voices (None: COSY_VOICES, else the user's data folder).
        `policy` "official" cuts and joins a stream as CosyVoice 2 does; `final_chunk` "official" computes the end of
        an utterance, or all of it without streaming, as it does.  `lexicon` (a file or a table) says how to read
        certain words.  `lora` is an adapter file whose weights are added to the model's.

        Raises CheckpointError if there is no such model or it cannot be used, ParameterError for an unknown option.
        """
        directory = find_model(model)
        require_device(device)
        import torch

        from cosy.checkpoint.load import load_model
        from cosy.nn.precision import Recipe, accelerate
        from cosy.voices.store import VoiceStore

        loaded = load_model(directory, device=device, dtype=_precision(dtype))
        if lora is not None:
            from cosy.checkpoint.adapter import hot_load

            hot_load(loaded, Path(lora))
        if loaded.dtype is torch.float32:
            accelerate(loaded, None if recipe == "auto" else Recipe.of(recipe))
        return cls(loaded, VoiceStore(voices), policy=policy, final_chunk=final_chunk, lexicon=lexicon)

    @property
    def rate_hz(self) -> int:
        """Sample rate of all audio."""
        return self.model.config.sample_rate

    def say(
        self,
        text: str,
        voice: str | Voice | None = None,
        *,
        prompt: Recording | None = None,
        prompt_text: str = "",
        instruction: str = "",
        mode: Mode | str | None = None,
        language: str = "",
        speed: float = 1.0,
        seed: int | None = None,
        sampling: Sampling | None = None,
        normalise: bool = True,
    ) -> Speech:
        """Speak a text in the voice of that name, or a prepared one (None: the model's first preset).

        `prompt` clones a recording of 3 to 30 s instead, whose transcript is `prompt_text`.  `instruction` says in
        words how to speak.  `mode` is zero_shot, cross_lingual, instruct or sft; None is what voice and instruction
        suggest.  `speed` 0.25 to 4 changes the tempo, not the pitch.  `seed` None draws one and reports it.
        `sampling` None takes the model's.  `normalise` off leaves numbers and signs as they are.

        Raises InputError (its subclass says what about) for a request that cannot be served.
        """
        chunks = self.stream(
            text,
            voice,
            prompt=prompt,
            prompt_text=prompt_text,
            instruction=instruction,
            mode=mode,
            language=language,
            speed=speed,
            seed=seed,
            sampling=sampling,
            normalise=normalise,
            whole_segments=True,
        )
        return collected(chunks)

    def stream(
        self,
        text: str | Iterable[str],
        voice: str | Voice | None = None,
        *,
        prompt: Recording | None = None,
        prompt_text: str = "",
        instruction: str = "",
        mode: Mode | str | None = None,
        language: str = "",
        speed: float = 1.0,
        seed: int | None = None,
        sampling: Sampling | None = None,
        normalise: bool = True,
        whole_segments: bool = False,
    ) -> Iterator[AudioChunk]:
        """Speak a text and hand out the audio as it is made; the text, too, may arrive in pieces.

        The joined chunks are what `say` returns for the same seed.  Pieces of text are spoken as one segment and
        are not normalised.  `whole_segments` hands out one chunk per segment, which is less work in all.
        Arguments and errors otherwise as in `say`.
        """
        request = SpeechRequest(
            text=text if isinstance(text, str) else "",
            mode=_mode(mode),
            instruction=instruction,
            language=language,
            speed=speed,
            seed=seed,
            sampling=sampling,
            normalise=normalise,
            stream=not whole_segments,
        )
        speaker = self._speaker(voice, prompt, prompt_text)
        if isinstance(text, str):
            return self.synthesizer.speak(request, speaker)
        return self.synthesizer.speak_pieces(text, request, speaker)

    def add_voice(
        self, name: str, recording: Recording, transcript: str = "", *, trim: bool = True, replace: bool = False
    ) -> Voice:
        """Prepare a voice from a recording of 3 to 30 s and keep it in the store under `name`.

        `recording` is a path, the bytes of a file, a file object, or mono samples with their rate; `transcript` is
        what is said in it, word for word.  `voice.info.warnings` tells what could be better.

        Raises VoiceError for a name that is taken or not allowed, AudioError for an unusable recording.
        """
        self.voices.check_free(name, replace=replace)  # before the work
        voice = self._prepare(recording, transcript, name, trim)
        self.voices.add(voice, replace=replace)
        return voice

    def _speaker(self, voice: str | Voice | None, prompt: Recording | None, prompt_text: str) -> Voice:
        if prompt is None and prompt_text:
            raise ParameterError("prompt_text is the transcript of a prompt; pass the recording as prompt, too")
        if prompt is not None and voice is not None:
            raise ParameterError("voice and prompt exclude each other; pass only one of them")
        if prompt is not None:
            return self._prepare(prompt, prompt_text, "prompt", trim=True)
        return self.voices.load(voice) if voice is None or isinstance(voice, str) else voice

    def _prepare(self, recording: Recording, transcript: str, name: str, trim: bool) -> Voice:
        from cosy.voices.prepare import prepare_voice

        normalise = self.synthesizer.frontend.prompt_text
        return prepare_voice(recording, transcript, self.model, name=name, trim=trim, normalise=normalise)


def find_model(model: str | os.PathLike[str] | None = None) -> Path:
    """The directory asked for, else the one COSY_MODEL names, else the one that comes with the package.

    Raises MissingFileError if it comes to the last and this installation has none.
    """
    chosen = model or os.environ.get("COSY_MODEL")
    if chosen:
        return Path(chosen).expanduser()
    if not BUNDLED_MODEL.is_dir():
        raise MissingFileError(
            "this installation brings no model: name a model directory, or set COSY_MODEL to one "
            "('cosy model pull CosyVoice2-0.5B' makes one)"
        )
    return BUNDLED_MODEL


def collected(chunks: Iterable[AudioChunk]) -> Speech:
    """All chunks of a request as one `Speech`."""
    samples: list[Samples] = []
    segments: list[Segment] = []
    timings: dict[str, float] = {}
    warnings: list[str] = []
    text, start = "", 0
    for chunk in chunks:
        samples.append(chunk.samples)
        for stage, seconds in chunk.timings_s.items():
            timings[stage] = timings.get(stage, 0.0) + seconds
        text = text or chunk.text
        if chunk.finish_reason is None:
            continue
        end = chunk.offset_samples + len(chunk.samples)
        counts = (chunk.details["text_tokens"], chunk.details["speech_tokens"])
        segments.append(Segment(text, start / chunk.rate_hz, end / chunk.rate_hz, chunk.finish_reason, *counts))
        warnings += chunk.details["warnings"]
        text, start = "", end
    return Speech(
        np.concatenate(samples), chunk.rate_hz, tuple(segments), chunk.details["seed"], timings, tuple(warnings)
    )


def _mode(mode: Mode | str | None) -> Mode | None:
    try:
        return None if mode is None else Mode(mode)
    except ValueError:
        raise ParameterError(f"unknown mode {mode!r}; choose one of {', '.join(m.value for m in Mode)}") from None


def require_device(device: str | torch.device) -> None:
    """Raises ParameterError for a device that this machine does not have."""
    import torch

    try:
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0]
        raise ParameterError(f"the device {str(device)!r} cannot be used ({reason}); choose cpu") from error


def _precision(dtype: str | torch.dtype | None) -> torch.dtype:
    import torch

    name = "float32" if dtype is None else str(dtype).removeprefix("torch.")
    if name not in PRECISIONS:
        raise ParameterError(f"unknown dtype {dtype!r}; choose one of {', '.join(PRECISIONS)}")
    precision: torch.dtype = getattr(torch, name)
    return precision
