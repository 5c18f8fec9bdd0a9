"""A training as a folder: what it started from, the run itself, and the model directory that comes out of it.

RUN/
    run.json             what is trained, from what, on what
    log.jsonl  last.pt  samples/          see `trainer`
    model/               at the end: the base directory with the trained part replaced
    adapter.safetensors  of a run with LoRA; `model/` has it merged
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args

import torch
from torch import Tensor, nn

from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.checkpoint.adapter import LAYERS, Adapter
from cosy.checkpoint.convert import write_weights
from cosy.checkpoint.derive import PROVENANCE, Writer, derive, type_of
from cosy.checkpoint.layout import (
    SPEAKER_ENCODER,
    SPEECH_TOKENIZER,
    Layout,
    Part,
    read_config,
)
from cosy.checkpoint.load import load_network
from cosy.checkpoint.onnx import export_speaker_encoder, export_speech_tokenizer
from cosy.config import SpeakerEncoderConfig, SpeechTokenizerConfig
from cosy.errors import MismatchError, MissingFileError, ParameterError
from cosy.models.discriminators import Discriminators
from cosy.models.flow import Flow
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_lm import SpeechLM
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.models.vocoder import Vocoder
from cosy.nn.lora import LoRA, attach
from cosy.text.tokenizer import TextTokenizer
from cosy.train.assemble import averaged
from cosy.train.data.corpus import Corpus
from cosy.train.dpo import DPOTask, read_pairs
from cosy.train.flow import FlowTask
from cosy.train.lm import PLAIN, LMTask, Mix
from cosy.train.schedule import Schedule
from cosy.train.speaker import SpeakerTask
from cosy.train.tokenizer import TokenizerTask
from cosy.train.trainer import Task
from cosy.train.transcripts import TranscriptTask
from cosy.train.vocoder import AdversarialVocoderTask, VocoderTask

Made = TypeVar("Made")
Kind = Literal["tokenizer", "speaker", "lm", "flow", "vocoder", "dpo"]
KINDS = get_args(Kind)
PARTS: dict[str, Part] = {"lm": "llm", "dpo": "llm", "flow": "flow", "vocoder": "hift"}
NEEDED = {  # arrays of the corpus
    "tokenizer": ("whisper",),
    "speaker": ("wave",),
    "lm": ("codes",),
    "flow": ("codes", "mel", "speakers"),
    "vocoder": ("wave", "mel", "f0"),
}
TOKENIZER = SpeechTokenizerConfig(n_state=192, n_head=3, n_layer=3)  # sizes of the bundled checkpoint
SPEAKER = SpeakerEncoderConfig(front_channels=8, init_channels=32, growth_rate=8)

FRESH: dict[str, dict[str, Any]] = {  # schedules from random weights
    "tokenizer": {"learning_rate": 1.2e-3, "steps": 3000, "ema": 0.995},
    "speaker": {"learning_rate": 2e-3, "steps": 1500, "ema": 0.99},
    "lm": {"learning_rate": 1.5e-3, "steps": 9000, "warmup_steps": 200, "ema": 0.998},
    "flow": {"learning_rate": 1.2e-3, "steps": 5000, "warmup_steps": 200, "ema": 0.998},
    "vocoder": {
        "learning_rate": 2e-4, "steps": 100_000, "decay": "constant", "clip_norm": 5.0, "betas": (0.8, 0.99),
        "weight_decay": 0.0, "precision": "float32",
    },
}  # fmt: skip
FURTHER: dict[str, Any] = {  # the official fine-tuning
    "learning_rate": 1e-5, "steps": 1000, "decay": "constant", "clip_norm": 5.0, "betas": (0.9, 0.999),
    "weight_decay": 0.0, "accumulate": 2, "ema": 0.99,
}  # fmt: skip
ADAPTING = {**FURTHER, "learning_rate": 2e-4}


@dataclass(frozen=True)
class Run:
    """What `run.json` says.  `base` is the directory that everything comes from which is not trained."""

    folder: Path
    kind: Kind
    base: Path
    fresh: bool = False  # from random weights, of the base's sizes
    corpora: tuple[Path, ...] = ()
    pairs: Path | None = None  # of a training on preferences
    start: Path | None = None  # the run whose front end is trained further
    lora: LoRA | None = None
    network: Mapping[str, Any] = field(default_factory=dict)  # sizes of a front end, which no directory describes
    task: Mapping[str, Any] = field(default_factory=dict)  # options of the task

    def __post_init__(self) -> None:
        if self.lora is not None and (PARTS.get(self.kind) not in LAYERS or self.fresh):
            raise ParameterError(f"LoRA adapts a trained language model or flow, not the {self._what}")
        if self.network and self.kind in PARTS:
            raise ParameterError(f"the sizes of a {self.kind} are those of the base directory; leave out `network`")

    @property
    def _what(self) -> str:
        return f"{self.kind} from random weights" if self.fresh else self.kind

    def write(self) -> None:
        """Into the folder.  Raises ParameterError where another training is there already."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path, text = self.folder / "run.json", json.dumps(self._data(), indent=1) + "\n"
        if path.exists() and self._identity(json.loads(path.read_text(encoding="utf-8"))) != self._identity(
            self._data()
        ):
            raise ParameterError(f"{self.folder} holds another training; name another folder, or give its own options")
        path.write_text(text, encoding="utf-8")

    def _data(self) -> dict[str, Any]:
        data = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "folder"}
        return cast(dict[str, Any], json.loads(json.dumps(data, default=_plain)))

    @staticmethod
    def _identity(data: dict[str, Any]) -> dict[str, Any]:
        """What may not change when a run is continued: that which shapes the weights."""
        return {name: data.get(name) for name in ("kind", "base", "fresh", "lora", "network")}

    @classmethod
    def read(cls, folder: Path) -> Run:
        """Raises MissingFileError for a folder without a run."""
        path = folder / "run.json"
        if not path.is_file():
            raise MissingFileError(f"{folder} holds no training: `cosy train` makes one")
        data = json.loads(path.read_text(encoding="utf-8"))
        paths = {name: data[name] and Path(data[name]) for name in ("base", "pairs", "start")}
        lora = data["lora"] and LoRA(**data["lora"])
        return cls(folder, **{**data, **paths, "lora": lora, "corpora": tuple(map(Path, data["corpora"]))})

    # ---- what is trained

    def make(self, device: str = "cpu") -> Task:
        """The task, its network on the device.

        Raises MissingFileError where the corpus lacks what is needed, ParameterError for an option of no meaning, and
        the errors of loading.
        """
        options = dict(self.task)
        if self.kind == "dpo":
            task: Task = self._preferences(options)
        else:
            makers = {
                "tokenizer": self._tokenizer,
                "speaker": self._speaker,
                "lm": self._lm,
                "flow": self._flow,
                "vocoder": self._vocoder,
            }
            task = _checked(self.kind, options, lambda: makers[self.kind](self._corpus(), options))
        task.network.to(device)
        return task

    def _corpus(self) -> Corpus:
        corpus = Corpus(*self.corpora)
        if not len(corpus):
            raise MissingFileError(f"there are no utterances in {', '.join(map(str, self.corpora))}")
        missing = [name for name in NEEDED[self.kind] if not corpus.has(name)]
        if missing:
            raise MissingFileError(
                f"the corpus has no {', '.join(map(repr, missing))}, which a {self.kind} learns from: "
                "'codes' and 'speakers' are added by `cosy data encode`, the others by building it again"
            )
        return corpus

    def _tokenizer(self, corpus: Corpus, options: dict[str, Any]) -> Task:
        config = self._tokenizer_config()
        start = self._front_end(SpeechTokenizer(config), "tokenizer.")
        if all(corpus.has(name) for name in ("phone", "f0", "mel")):
            return TokenizerTask(config, corpus, start=start, **options)
        return TranscriptTask(config, corpus, start=start, **options)

    def _speaker(self, corpus: Corpus, options: dict[str, Any]) -> Task:
        config = self._speaker_config()
        return SpeakerTask(config, corpus, start=self._front_end(SpeakerEncoder(config), "encoder."), **options)

    def _tokenizer_config(self) -> SpeechTokenizerConfig:
        return dataclasses.replace(TOKENIZER, **self._sizes(TOKENIZER))

    def _speaker_config(self) -> SpeakerEncoderConfig:
        return dataclasses.replace(SPEAKER, **self._sizes(SPEAKER))

    def _sizes(self, default: SpeechTokenizerConfig | SpeakerEncoderConfig) -> dict[str, Any]:
        known = [f.name for f in dataclasses.fields(default)]
        sizes = {**(Run.read(self.start).network if self.start else {}), **self.network}
        unknown = sorted(set(sizes) - set(known))
        if unknown:
            raise ParameterError(f"unknown sizes {', '.join(unknown)} of the {self.kind}; known are {', '.join(known)}")
        return {name: tuple(value) if isinstance(value, list) else value for name, value in sizes.items()}

    def _front_end(self, network: nn.Module, prefix: str) -> Any:
        if self.start is None:
            return None
        network.load_state_dict(averaged(self.start, prefix))
        return network

    def _lm(self, corpus: Corpus, options: dict[str, Any]) -> Task:
        if "mix" in options:
            options["mix"] = _checked("mix", options["mix"], lambda: Mix(**options["mix"]))
        if not self.fresh:  # the official recipe, unless told otherwise
            options = {"mix": PLAIN, "guide_layer": None, "epochs": True, **options}
        network = cast("SpeechLM | None", self._network())
        return LMTask(read_config(self.base).llm, self._text_tokenizer(), corpus, network=network, **options)

    def _preferences(self, options: dict[str, Any]) -> Task:
        assert self.pairs is not None, "a training on preferences has pairs"
        network = cast(SpeechLM, self._network())
        pairs = read_pairs(self.pairs, network.config.speech_token_size)
        return _checked("dpo", options, lambda: DPOTask(network, self._text_tokenizer(), pairs, **options))

    def _flow(self, corpus: Corpus, options: dict[str, Any]) -> Task:
        if not self.fresh:
            options = {"prior_weight": 0.0, "epochs": True, **options}
        vocoder = cast(Vocoder, load_network(self.base, "hift")).eval()
        network = cast("Flow | None", self._network())
        return FlowTask(read_config(self.base).flow, corpus, network=network, vocoder=vocoder, **options)

    def _vocoder(self, corpus: Corpus, options: dict[str, Any]) -> Task:
        config, network = read_config(self.base).hift, cast("Vocoder | None", self._network())
        if options.pop("adversarial", True):
            critics = Discriminators(**options.pop("critics", {}))
            return AdversarialVocoderTask(config, corpus, network=network, critics=critics, **options)
        if network is None:
            raise ParameterError("without critics the F0 predictor is not trained: start from a trained vocoder")
        return VocoderTask(config, corpus, network.f0_predictor, network=network, **options)

    def _text_tokenizer(self) -> TextTokenizer:
        return TextTokenizer(Layout(self.base).backbone)

    def _network(self) -> nn.Module | None:
        """The base's network, adapted where that is wanted; None: to be made from random weights."""
        if self.fresh:
            return None
        part = PARTS[self.kind]
        network = load_network(self.base, part)
        if self.lora is not None:
            attach(network, LAYERS[part], self.lora)
        return network

    # ---- what comes out

    def export(self, target: Path) -> Path:
        """Write the model directory of the averaged weights.

        Raises MissingFileError before the first checkpoint, CheckpointError if `target` exists.
        """
        if not (self.folder / "last.pt").is_file():
            raise MissingFileError(f"{self.folder} has no checkpoint yet: train first")
        return derive(self.base, target, {**self._written(), PROVENANCE: self._write_provenance})

    def adapter(self) -> Adapter:
        """The low-rank matrices alone, averaged."""
        assert self.lora is not None, "asked of a run with LoRA"
        return Adapter.of(PARTS[self.kind], self.lora, averaged(self.folder))

    def export_onnx(self, path: Path) -> Path:
        """Write a trained front end with the official names of inputs and outputs.  Raises MismatchError for others."""
        if self.kind in PARTS:
            raise MismatchError(f"{self.folder} trains a {self.kind}; only tokenizer and speaker encoder become ONNX")
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.kind == "tokenizer":
            tokenizer = SpeechTokenizer(self._tokenizer_config())
            tokenizer.load_state_dict(averaged(self.folder, "tokenizer."))
            export_speech_tokenizer(tokenizer, path)
        else:
            encoder = SpeakerEncoder(self._speaker_config())
            encoder.load_state_dict(averaged(self.folder, "encoder."))
            export_speaker_encoder(encoder, path)
        return path

    def _written(self) -> dict[str, Writer]:
        if self.kind not in PARTS:
            return {SPEECH_TOKENIZER if self.kind == "tokenizer" else SPEAKER_ENCODER: self.export_onnx}
        part = PARTS[self.kind]
        dtype = type_of(Layout(self.base).weights(part))
        return {f"{part}.safetensors": lambda path: write_weights(part, self.weights(), path, dtype)}

    def weights(self) -> dict[str, Tensor]:
        """The averaged weights of a network, adapters merged.  Raises MismatchError for a front end."""
        if self.kind not in PARTS:
            raise MismatchError(f"{self.folder} trains a {self.kind}, which is an ONNX file of the directory")
        if self.lora is None:
            return averaged(self.folder)
        network = load_network(self.base, PARTS[self.kind])
        with torch.no_grad():
            self.adapter().apply(network)
        return network.state_dict()

    def _write_provenance(self, path: Path) -> None:
        before = self.base / PROVENANCE
        history = json.loads(before.read_text(encoding="utf-8")) if before.is_file() else []
        saved = torch.load(self.folder / "last.pt", weights_only=True, map_location="cpu")
        tokens = sum(Corpus(folder).tokens for folder in self.corpora if folder.is_dir())
        history.append(
            {
                "trained": self.kind,
                "from": "random weights" if self.fresh else self.base.name,
                "steps": saved["step"],
                "minutes": round(saved["spent_s"] / 60, 1),
                "lora_rank": self.lora.rank if self.lora else None,
                "data_hours": round(tokens / TOKEN_RATE_HZ / 3600, 3),
            }
        )
        path.write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")


def schedule(run: Run, given: Mapping[str, Any]) -> Schedule:
    """The schedule of a kind of training with what was given in its place.

    Raises ParameterError for an unknown or impossible value.
    """
    if run.kind == "dpo" or not (run.fresh or run.kind in ("tokenizer", "speaker")):
        settings = ADAPTING if run.lora else FURTHER
        settings = {**settings, "precision": "float32"} if run.kind == "vocoder" else settings
    else:
        settings = FRESH[run.kind]
    known = [f.name for f in dataclasses.fields(Schedule)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ParameterError(f"unknown settings {', '.join(unknown)} of the schedule; known are {', '.join(known)}")
    settings = {"minutes": math.inf, **settings}
    if "minutes" in given and "steps" not in given:
        settings["steps"] = 10**9
    return Schedule(**{**settings, **given})


def finish(run: Run) -> Path:
    """Write `model/`, in place of an older one, and the adapter of a run with LoRA; returns the directory."""
    target, new = run.folder / "model", run.folder / "model.new"
    shutil.rmtree(new, ignore_errors=True)  # of a run that was cut off here
    run.export(new)
    shutil.rmtree(target, ignore_errors=True)
    new.rename(target)
    if run.lora is not None:
        run.adapter().write(run.folder / "adapter.safetensors")
    return target


def _checked(what: str, options: Mapping[str, Any], make: Callable[[], Made]) -> Made:
    """What `make` returns; an option it does not know becomes a ParameterError."""
    try:
        return make()
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ParameterError(
            f"{what}: {str(error).partition(') ')[2] or error}; given were {', '.join(options)}"
        ) from error


def _plain(value: Any) -> Any:
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else str(value)
