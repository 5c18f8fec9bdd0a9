"""The official CosyVoice2-0.5B directory: which files there are, and its two configuration files as `ModelConfig`.

    cosyvoice2.yaml           hyper-parameters of the three networks
    llm.pt flow.pt hift.pt    weights; NAME.safetensors is accepted too, and preferred where both are present
    campplus.onnx             speaker encoder
    speech_tokenizer_v2.onnx  speech tokenizer
    CosyVoice-BlankEN/        config.json of the Qwen2 backbone and the text vocabulary
    spk2info.pt               preset voices (optional)

Nothing else is ever opened.
This module reads data only: no torch, no class is looked up by name.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from cosy.checkpoint import hyperyaml
from cosy.checkpoint.sections import SECTIONS, Reading
from cosy.config import (
    EstimatorConfig,
    FlowConfig,
    FlowEncoderConfig,
    ModelConfig,
    Qwen2Config,
    SpeechLMConfig,
    VocoderConfig,
)
from cosy.errors import CheckpointError, InputError, MismatchError, MissingFileError
from cosy.text.pronunciation import PRONUNCIATIONS_FILE
from cosy.types import Sampling

Part = Literal["llm", "flow", "hift"]
PARTS: tuple[Part, ...] = ("llm", "flow", "hift")

MODEL_YAML = "cosyvoice2.yaml"
BACKBONE_DIRECTORY = "CosyVoice-BlankEN"
QWEN2_CONFIG = f"{BACKBONE_DIRECTORY}/config.json"
VOCABULARY = ("vocab.json", "merges.txt", "tokenizer_config.json")
VOCABULARY_FILES = tuple(f"{BACKBONE_DIRECTORY}/{name}" for name in VOCABULARY)
PRONUNCIATIONS = f"{BACKBONE_DIRECTORY}/{PRONUNCIATIONS_FILE}"  # of a vocabulary that names it; the official does not
UNUSED_WEIGHTS = f"{BACKBONE_DIRECTORY}/model.safetensors"  # a gigabyte that `llm.pt` replaces; never opened
SPEECH_TOKENIZER = "speech_tokenizer_v2.onnx"
SPEAKER_ENCODER = "campplus.onnx"
SPEAKERS = "spk2info"
WEIGHT_SUFFIXES = (".safetensors", ".pt")  # in order of preference

OFFICIAL_MODEL = "CosyVoice2-0.5B"
REMEDY = f"fetch it again with 'cosy model pull {OFFICIAL_MODEL}'"


def vocabulary_in(directory: Path) -> tuple[str, ...]:
    """The files of a text vocabulary; a pronouncing dictionary only if there is one."""
    return (*VOCABULARY, PRONUNCIATIONS_FILE) if (directory / PRONUNCIATIONS_FILE).is_file() else VOCABULARY


@dataclass(frozen=True)
class Layout:
    """Paths inside one model directory.  Raises MissingFileError if there is no such directory."""

    root: Path

    def __post_init__(self) -> None:
        if not self.root.is_dir():
            what = "is not a directory" if self.root.exists() else "does not exist"
            raise MissingFileError(
                f"the model directory {self.root} {what}: 'cosy model pull {OFFICIAL_MODEL}' makes one"
            )

    @property
    def backbone(self) -> Path:
        """The directory of the Qwen2 configuration and the text vocabulary."""
        return self.root / BACKBONE_DIRECTORY

    @property
    def vocabulary_files(self) -> tuple[str, ...]:
        """Those of the text vocabulary; a pronouncing dictionary only if there is one."""
        return tuple(f"{BACKBONE_DIRECTORY}/{name}" for name in vocabulary_in(self.backbone))

    def file(self, name: str) -> Path:
        """A file that must be there."""
        path = self.root / name
        if not path.is_file():
            raise MissingFileError(f"{path} is missing: {REMEDY}")
        return path

    def weights(self, part: str) -> Path:
        """The weight file of `llm`, `flow` or `hift`."""
        path = self.find(part)
        if path is None:
            names = " or ".join(part + suffix for suffix in reversed(WEIGHT_SUFFIXES))
            raise MissingFileError(f"{self.root} holds no {names}: {REMEDY}")
        return path

    def find(self, stem: str) -> Path | None:
        """`stem` with the first weight suffix that exists."""
        return next((path for path in self.spellings(stem) if path.is_file()), None)

    def spellings(self, stem: str) -> list[Path]:
        return [self.root / (stem + suffix) for suffix in WEIGHT_SUFFIXES]


def read_config(directory: str | Path) -> ModelConfig:
    """`cosyvoice2.yaml` and the backbone's `config.json`.

    What the files leave out has the official value.  Raises MissingFileError, CheckpointError for a file
    that is not YAML or JSON, and MismatchError naming every unknown key, unexpected class and value that
    would change the computation into one that is not implemented.
    """
    return read_description(directory).config


@dataclass(frozen=True)
class Description:
    """The configuration, and the YAML's top-level entries that inference has no use for."""

    config: ModelConfig
    not_used: list[str]


def read_description(directory: str | Path) -> Description:
    """As `read_config`, and says what was left unread."""
    layout = Layout(Path(directory))
    _refuse_other_versions(layout)
    document = hyperyaml.read(layout.file(MODEL_YAML))
    reading = Reading()
    found = {section.key: reading.section(section.key, document.get(section.key), section) for section in SECTIONS}
    reading.finish(document.path)
    backbone = _read_qwen2(layout.file(QWEN2_CONFIG))
    try:
        config = _assemble(found, backbone, document.get("sample_rate", ModelConfig.sample_rate))
    except (CheckpointError, InputError) as error:
        raise MismatchError(f"{document.path}: {error}") from error
    return Description(config, document.unused)


def write_config(config: ModelConfig, directory: str | Path) -> None:
    """Write `cosyvoice2.yaml` and `CosyVoice-BlankEN/config.json` so that `read_config` gives `config` back."""
    root = Path(directory)
    (root / BACKBONE_DIRECTORY).mkdir(parents=True, exist_ok=True)
    entries: dict[str, Any] = {"sample_rate": config.sample_rate}
    for section in SECTIONS:
        entries[section.key] = section.describe(getattr(config, section.key))
    (root / MODEL_YAML).write_text(hyperyaml.dump(entries), encoding="utf-8")
    backbone = {"architectures": ["Qwen2ForCausalLM"], **QWEN2_FIXED, **dataclasses.asdict(config.llm.backbone)}
    (root / QWEN2_CONFIG).write_text(json.dumps(backbone, indent=2) + "\n", encoding="utf-8")


def _refuse_other_versions(layout: Layout) -> None:
    if (layout.root / MODEL_YAML).is_file():
        return
    for version, name in (("CosyVoice 3", "cosyvoice3.yaml"), ("CosyVoice 1", "cosyvoice.yaml")):
        if (layout.root / name).is_file():
            raise MismatchError(f"{layout.root} is a {version} model ({name}), which is not supported; use CosyVoice 2")


def _assemble(found: dict[str, dict[str, Any]], backbone: Qwen2Config, sample_rate: Any) -> ModelConfig:
    llm, flow, hift = found["llm"], found["flow"], found["hift"]
    llm = {**llm, "sampling": _build(Sampling, "llm.sampling", llm.get("sampling", {})), "backbone": backbone}
    lookahead = {"pre_lookahead_len": flow["pre_lookahead_len"]} if "pre_lookahead_len" in flow else {}
    encoder = _build(FlowEncoderConfig, "flow.encoder", {**flow["encoder"], **lookahead})
    estimator = _build(EstimatorConfig, "flow.decoder.estimator", _single_width(flow["estimator"]))
    return ModelConfig(
        llm=_build(SpeechLMConfig, "llm", llm),
        flow=_build(FlowConfig, "flow", {**flow, "encoder": encoder, "estimator": estimator}),
        hift=_build(VocoderConfig, "hift", hift),
        sample_rate=_coerce("sample_rate", sample_rate, int),
    )


def _single_width(estimator: dict[str, Any]) -> dict[str, Any]:
    channels = estimator.get("channels")
    if not isinstance(channels, list):
        return estimator
    if len(channels) != 1:
        raise MismatchError(f"flow.decoder.estimator.channels is {channels}; only one entry is implemented")
    return {**estimator, "channels": channels[0]}


C = TypeVar("C")


def _build(kind: type[C], path: str, values: dict[str, Any]) -> C:
    """A configuration from values as written; each takes the type of the field's default."""
    default = kind()
    typed = {name: _coerce(f"{path}.{name}", value, type(getattr(default, name))) for name, value in values.items()}
    for name, value in typed.items():
        if type(value) is int and value < 1 and kind is not Sampling:  # the sampler checks its own
            raise MismatchError(f"{path}.{name} must be positive, found {value}")
    return kind(**typed)


def _coerce(path: str, value: Any, kind: type[Any]) -> Any:
    if kind is tuple and isinstance(value, (list, tuple)):
        return tuple(_coerce(path, item, tuple if isinstance(item, (list, tuple)) else int) for item in value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    raise MismatchError(f"{path} must be {_NAMES.get(kind, kind.__name__)}, found {value!r}")


_NAMES = {int: "a whole number", float: "a number", bool: "true or false", tuple: "a list of whole numbers"}

QWEN2_FIXED: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "use_sliding_window": False,
    "attention_dropout": 0.0,
}
_ABSENT = ("rope_scaling", "rope_parameters")  # anything but plain rotary positions


def _read_qwen2(path: Path) -> Qwen2Config:
    """The sizes in a Hugging Face Qwen2 configuration; entries that do not concern the computation are skipped."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}; {REMEDY}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} must hold a JSON object, found {type(data).__name__}; {REMEDY}")
    checks = {**QWEN2_FIXED, **dict.fromkeys(_ABSENT)}
    wrong = [key for key, want in checks.items() if data.get(key, want) != want]
    problems = [f"{key} is {data[key]!r}; only {checks[key]!r} is implemented" for key in wrong]
    names = [entry.name for entry in dataclasses.fields(Qwen2Config)]
    missing = [name for name in names if name not in data]
    if missing:
        problems.append(f"{', '.join(missing)} missing")
    if problems:
        raise MismatchError("\n  ".join([f"{path} does not describe a Qwen2 backbone that can be run:", *problems]))
    try:
        config = _build(Qwen2Config, "config", {name: data[name] for name in names})
    except MismatchError as error:
        raise MismatchError(f"{path}: {error}") from error
    if data.get("head_dim") not in (None, config.head_dim):
        raise MismatchError(f"{path}: head_dim is {data['head_dim']}; only {config.head_dim} is implemented")
    return config
