"""Strict loading of a model directory.

Files are mapped into memory, compared key by key with the networks that `cosyvoice2.yaml` describes, and assigned
without a copy where the type already fits; a full-size model never exists twice.  Nothing in a file is executed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from cosy.checkpoint import keys
from cosy.checkpoint.files import few
from cosy.checkpoint.files import load_state as load_state
from cosy.checkpoint.layout import (
    PARTS,
    SPEAKER_ENCODER,
    SPEAKERS,
    SPEECH_TOKENIZER,
    VOCABULARY_FILES,
    Layout,
    Part,
    read_config,
)
from cosy.config import ModelConfig
from cosy.errors import MismatchError, ParameterError

if TYPE_CHECKING:
    from cosy.checkpoint.onnx import OnnxSpeakerEncoder, OnnxSpeechTokenizer
    from cosy.checkpoint.speakers import Speaker
    from cosy.models.flow import Flow
    from cosy.models.speech_lm import SpeechLM
    from cosy.models.vocoder import Vocoder
    from cosy.text.tokenizer import TextTokenizer

Shapes = dict[str, tuple[int, ...]]


@dataclass
class LoadedModel:
    """A model directory in memory.

    What `load_model` was asked for is loaded already; everything else is loaded, just as strictly, at its first use.
    The networks are folded and in evaluation mode: for inference, not for training (see `load_network`).
    """

    directory: Path
    config: ModelConfig
    device: torch.device
    dtype: torch.dtype

    @cached_property
    def llm(self) -> SpeechLM:
        return cast("SpeechLM", self._network("llm"))

    @cached_property
    def flow(self) -> Flow:
        return cast("Flow", self._network("flow"))

    @cached_property
    def hift(self) -> Vocoder:
        """Always in float32: phases and the F0 they are integrated from do not survive half precision."""
        return cast("Vocoder", self._network("hift", torch.float32)).fold()

    @cached_property
    def text_tokenizer(self) -> TextTokenizer:
        from cosy.text.tokenizer import TextTokenizer

        for name in VOCABULARY_FILES:
            self._layout.file(name)
        tokenizer = TextTokenizer(self._layout.backbone)
        rows = self.config.llm.backbone.vocab_size
        if tokenizer.vocab_size > rows:
            raise MismatchError(
                f"{self._layout.backbone} has {tokenizer.vocab_size} text tokens but its config.json allows {rows}: "
                "the vocabulary belongs to another model"
            )
        return tokenizer

    @cached_property
    def speech_tokenizer(self) -> OnnxSpeechTokenizer:
        from cosy.checkpoint.onnx import OnnxSpeechTokenizer

        return OnnxSpeechTokenizer(self._layout.file(SPEECH_TOKENIZER))

    @cached_property
    def speaker_encoder(self) -> OnnxSpeakerEncoder:
        from cosy.checkpoint.onnx import OnnxSpeakerEncoder

        return OnnxSpeakerEncoder(self._layout.file(SPEAKER_ENCODER))

    @cached_property
    def spk2info(self) -> dict[str, Speaker]:
        """The preset voices; empty if the directory brings none."""
        from cosy.checkpoint.speakers import read_speakers

        path = self._layout.find(SPEAKERS)
        return read_speakers(path) if path else {}

    @cached_property
    def _layout(self) -> Layout:
        return Layout(self.directory)

    def _network(self, part: Part, dtype: torch.dtype | None = None) -> nn.Module:
        return load_network(self.directory, part, self.config, device=self.device, dtype=dtype or self.dtype).eval()


LOADABLE = (*PARTS, "text_tokenizer", "speech_tokenizer", "speaker_encoder", "spk2info")
DEFAULT_PARTS = (*PARTS, "text_tokenizer", "spk2info")  # the ONNX front ends wait for the first new voice


def load_model(
    directory: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    parts: Iterable[str] = DEFAULT_PARTS,
) -> LoadedModel:
    """Load a directory in the official layout; `parts` (of `LOADABLE`) are loaded at once, the rest at first use.

    Raises MissingFileError, MismatchError (unknown hyper-parameter, key or shape) or CheckpointError
    (damaged file); the message names the file and the remedy.
    """
    parts = tuple(parts)
    unknown = [part for part in parts if part not in LOADABLE]
    if unknown:
        raise ParameterError(f"unknown parts {', '.join(unknown)}; known are {', '.join(LOADABLE)}")
    directory = Path(directory)
    model = LoadedModel(directory, read_config(directory), torch.device(device), dtype)
    for part in parts:
        getattr(model, part)
    return model


def load_network(
    directory: str | Path,
    part: Part,
    config: ModelConfig | None = None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> nn.Module:
    """One of the three networks with its weights, ready to be trained.  Errors as in `load_model`."""
    config = config or read_config(directory)
    path = Layout(Path(directory)).weights(part)
    module = build(part, config)
    state = keys.canonical(part, load_state(path))
    check_state(path, state, shapes_of(module))
    module.load_state_dict({key: value.to(dtype) for key, value in state.items()}, assign=True)
    return module.to(device)


def build(part: Part, config: ModelConfig) -> nn.Module:
    """The network without meaningful weights: its memory is reserved but, for want of a first value, never touched."""
    with _WithoutRandomFill():
        if part == "llm":
            from cosy.models.speech_lm import SpeechLM

            return SpeechLM(config.llm)
        if part == "flow":
            from cosy.models.flow import Flow

            return Flow(config.flow)
        from cosy.models.vocoder import Vocoder

        return Vocoder(config.hift)


class _WithoutRandomFill(TorchFunctionMode):
    """Random initialisation does nothing: the file replaces every value.

    Unlike the meta device this keeps the tables that a constructor computes.  A fill with an explicit generator is
    such a table and stays.
    """

    FILLS = (
        nn.init.normal_,
        nn.init.uniform_,
        nn.init.trunc_normal_,
        nn.init.kaiming_normal_,
        nn.init.kaiming_uniform_,
        Tensor.normal_,
        Tensor.uniform_,
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.FILLS and kwargs.get("generator") is None:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def shapes_of(module: nn.Module) -> Shapes:
    return {key: tuple(value.shape) for key, value in module.state_dict().items()}


def check_state(path: Path, state: Mapping[str, Tensor], expected: Shapes) -> None:
    """Raises MismatchError listing the first few missing, unexpected, misshapen and non-float tensors of `path`."""
    missing = [f"{key} {shape}" for key, shape in expected.items() if key not in state]
    unexpected = [f"{key} {tuple(value.shape)}" for key, value in state.items() if key not in expected]
    shared = [(key, value, expected[key]) for key, value in state.items() if key in expected]
    shapes = [f"{key} is {tuple(value.shape)}, expected {want}" for key, value, want in shared if value.shape != want]
    types = [f"{key} is {value.dtype}" for key, value, _ in shared if not value.is_floating_point()]
    kinds = {"missing": missing, "unexpected": unexpected, "of another shape": shapes, "not floating-point": types}
    problems = [f"{len(found)} {kind}: {few(found)}" for kind, found in kinds.items() if found]
    if problems:
        heading = f"{path} does not fit the network that the directory's configuration describes:"
        raise MismatchError("\n  ".join([heading, *problems]))
