"""What was said?  Recognisers by name, and the error rate of an utterance as Seed-TTS-eval defines it.

    pocketsphinx   English, its own language model; the package brings the model, so it runs offline
    syllables      Mandarin as toned syllables: Cosy's own judge (`mandarin_judge`), which is small and partly circular
    whisper        any language: a local model of transformers, faster-whisper or openai-whisper
    paraformer     Mandarin: a local model of FunASR

Seed-TTS-eval takes out punctuation but the apostrophe, makes letters small, splits Chinese into characters, and takes
the mean over utterances of each one's errors over its expected units, which may exceed 1.  Here an utterance that
failed counts 1.  Source: github.com/BytedanceSpeech/seed-tts-eval.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cosy.dependencies import optional
from cosy.errors import MissingDependencyError, ParameterError
from cosy.eval.recognise import RATE_HZ, Recogniser, to_rate
from cosy.eval.syllable_error import syllable_errors
from cosy.eval.syllables import TONES, Expected, sandhi
from cosy.eval.wer import edit_distance
from cosy.text.unicode import HAN, is_symbol
from cosy.types import Samples

CHARACTERS = ("zh", "ja")  # languages whose units are characters
WHISPER_S = 30  # that its encoder sees at once
ENGLISH, MANDARIN, ANY = frozenset({"en"}), frozenset({"zh"}), frozenset[str]()


class Hears(Protocol):
    """Writes down what it hears."""

    def __call__(self, wave: Samples, rate_hz: int, language: str) -> str:
        """Of mono samples (n,); `language` is "en", "zh" or another code.  Empty if nothing was understood."""
        ...


Units = Callable[[str, str], list[str]]
"""Text and its language -> what is counted."""


def units(text: str, language: str) -> list[str]:
    """Words in small letters without punctuation; of Chinese and Japanese, characters."""
    plain = "".join(char for char in text.lower() if char == "'" or not is_symbol(char))
    return [char for char in plain if not char.isspace()] if language in CHARACTERS else plain.split()


@dataclass(frozen=True)
class Ear:
    """A recogniser under its name, the languages it knows, and what is counted of its hearings."""

    name: str
    hears: Hears
    languages: frozenset[str] = ANY  # empty: any
    note: str = ""
    expected_units: Units = units
    heard_units: Units = units

    def knows(self, language: str) -> bool:
        return not self.languages or language in self.languages

    def errors(self, heard: str, expected: str, language: str) -> tuple[int, int]:
        """Errors and expected units of one utterance."""
        reference = self.expected_units(expected, language)
        return edit_distance(self.heard_units(heard, language), reference), len(reference)


def open_ear(name: str, model: Path | None = None) -> Ear:
    """A recogniser by its name; `model` is the local directory or file of one that does not bring its own.

    Raises ParameterError for an unknown name or a model that is not there, MissingDependencyError, naming the remedy,
    where a package is absent.
    """
    if name not in _EARS:
        raise ParameterError(f"unknown recogniser {name!r}; choose one of {', '.join(_EARS)}")
    return _EARS[name](model)


def ear_for(language: str, ears: Sequence[Ear]) -> Ear:
    """The first that knows the language.  Raises ParameterError if none does."""
    for ear in ears:
        if ear.knows(language):
            return ear
    known = ", ".join(ear.name for ear in ears) or "none"
    raise ParameterError(f"no recogniser for {language!r} among {known}: name one, such as whisper=DIR")


# --- the recognisers --------------------------------------------------------------------------------------------


def _pocketsphinx(model: Path | None) -> Ear:
    recogniser = Recogniser()

    def hears(wave: Samples, rate_hz: int, language: str) -> str:
        return recogniser.hear(wave, rate_hz, "free")

    return Ear("pocketsphinx", hears, ENGLISH, "weak: it errs on clear human speech, too; compare with the recordings")


_CHANGING = {"yi1": "142", "bu4": "42"}  # 一 and 不, whose tones are those of their place


@dataclass(frozen=True)
class _ToneEar(Ear):
    """Counts wrong sounds and wrong tones; a tone that changes beside others is right either way."""

    def errors(self, heard: str, expected: str, language: str) -> tuple[int, int]:
        told = toned_syllables(expected, language)
        syllables = [Expected(syllable.rstrip(TONES), _CHANGING.get(syllable, syllable[-1])) for syllable in told]
        hearing = syllable_errors(heard.split(), sandhi(syllables))
        return hearing.base_errors + hearing.tone_errors, hearing.syllables


def _syllables(model: Path | None) -> Ear:
    from cosy.eval.mandarin_judge import CIRCULARITY, hear  # only now: they bring torch

    def hears(wave: Samples, rate_hz: int, language: str) -> str:
        return " ".join(hear(wave, rate_hz))

    return _ToneEar("syllables", hears, MANDARIN, f"toned syllables; partly circular: {CIRCULARITY}", toned_syllables)


def toned_syllables(text: str, language: str = "zh") -> list[str]:
    """Toned pinyin of Chinese text, such as "ni3 hao3" or "lü4"; the neutral tone is 5.

    Latin words are words of their own.  Raises MissingDependencyError without pypinyin.
    """
    pinyin: Any = optional("pypinyin", "eval")
    spoken = re.sub(f"([^{HAN.pattern[1:-1]}]+)", r" \1 ", " ".join(units(text, "en")))
    told = pinyin.lazy_pinyin(spoken, style=pinyin.Style.TONE3, neutral_tone_with_five=True, v_to_u=True)
    return " ".join(told).split()


def _whisper(model: Path | None) -> Ear:
    if model is None or not model.exists():
        raise ParameterError(f"whisper needs its model, got {model}: --recogniser whisper=PATH")
    if model.is_file():
        hears = _openai_whisper(model)
    elif (model / "model.bin").is_file():
        hears = _faster_whisper(model)
    elif (model / "config.json").is_file():
        hears = _transformers_whisper(model)
    else:
        raise ParameterError(
            f"{model} is no whisper model: neither a .pt file, nor a directory with model.bin (faster-whisper) or "
            "config.json (transformers)"
        )
    return Ear("whisper", hears, note=f"weights: {model.name}")


def _openai_whisper(file: Path) -> Hears:
    network = _package("whisper", "openai-whisper").load_model(str(file))

    def hears(wave: Samples, rate_hz: int, language: str) -> str:
        told = network.transcribe(to_rate(wave, rate_hz), language=language, fp16=False)
        return str(told["text"])

    return hears


def _faster_whisper(directory: Path) -> Hears:
    network = _package("faster_whisper", "faster-whisper").WhisperModel(str(directory))

    def hears(wave: Samples, rate_hz: int, language: str) -> str:
        segments, _ = network.transcribe(to_rate(wave, rate_hz), language=language)
        return " ".join(segment.text.strip() for segment in segments)

    return hears


def _transformers_whisper(directory: Path) -> Hears:
    library = _package("transformers", "transformers")
    processor = library.WhisperProcessor.from_pretrained(directory, local_files_only=True)
    network = library.WhisperForConditionalGeneration.from_pretrained(directory, local_files_only=True).eval()

    def hears(wave: Samples, rate_hz: int, language: str) -> str:
        wave = to_rate(wave, rate_hz)
        long = len(wave) > WHISPER_S * RATE_HZ  # then it reads on by its timestamps, where it would cut otherwise
        whole = {"truncation": False, "padding": "longest", "return_attention_mask": True} if long else {}
        inputs = processor(wave, sampling_rate=RATE_HZ, return_tensors="pt", **whole)
        ids = network.generate(**inputs, language=language, task="transcribe", return_timestamps=long)
        return str(processor.batch_decode(ids, skip_special_tokens=True)[0])

    return hears


def _paraformer(model: Path | None) -> Ear:
    if model is None or not model.is_dir():
        raise ParameterError(f"paraformer needs the directory of its model, got {model}: --recogniser paraformer=DIR")
    network = _package("funasr", "funasr").AutoModel(model=str(model), disable_update=True, disable_pbar=True)

    def hears(wave: Samples, rate_hz: int, language: str) -> str:
        return str(network.generate(input=to_rate(wave, rate_hz), fs=RATE_HZ)[0]["text"])

    return Ear("paraformer", hears, MANDARIN, f"weights: {model.name}")


def _package(module: str, name: str) -> Any:
    try:
        return optional(module, "eval")
    except MissingDependencyError as error:
        raise MissingDependencyError(f"the package {name} is not installed: pip install {name}") from error


_EARS: dict[str, Callable[[Path | None], Ear]] = {
    "pocketsphinx": _pocketsphinx,
    "syllables": _syllables,
    "whisper": _whisper,
    "paraformer": _paraformer,
}
EARS = tuple(_EARS)
