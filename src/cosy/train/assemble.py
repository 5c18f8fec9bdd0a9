"""Put trained networks together as a model directory in the official layout."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from cosy.checkpoint.convert import NARROWED, write_weights
from cosy.checkpoint.layout import (
    BACKBONE_DIRECTORY,
    SPEAKER_ENCODER,
    SPEECH_TOKENIZER,
    Part,
    vocabulary_in,
    write_config,
)
from cosy.checkpoint.onnx import export_speaker_encoder, export_speech_tokenizer
from cosy.checkpoint.speakers import Speaker, write_speakers
from cosy.config import ModelConfig
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_lm import SpeechLM
from cosy.models.speech_tokenizer import SpeechTokenizer


def averaged(run: Path, prefix: str = "") -> dict[str, Tensor]:
    """The moving average of the weights in a training folder; of a part of the network, with `prefix` taken off."""
    state = torch.load(run / "last.pt", weights_only=True, map_location="cpu")["average"]
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


@torch.no_grad()
def start_from(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Copy `state` into the network where names agree, as many leading rows as both have; return what stays as it was.

    More rows are a larger vocabulary.  Tensors that differ in any other dimension stay as they were.  A table that is
    shared in training (`shared_rows`) goes by its plain name, too.
    """
    left = []
    for name, value in network.state_dict().items():
        old = state.get(name, state.get(name.replace("parametrizations.weight.original", "weight")))
        if old is None or old.shape[1:] != value.shape[1:] or old.ndim != value.ndim:
            left.append(name)
        elif old.ndim == 0:
            value.copy_(old)
        else:
            rows = min(len(old), len(value))
            value[:rows].copy_(old[:rows])
    return left


def sharpen(llm: SpeechLM, temperature: float) -> None:
    """Divide the head's logits by `temperature`, in place.

    A small model is less sure than a large one, and the official sampler has no temperature: its second
    draw, from the whole distribution, then picks noise.  Scaling the head says the same thing with more conviction.
    """
    with torch.no_grad():
        llm.llm_decoder.weight.div_(temperature)
        llm.llm_decoder.bias.div_(temperature)


def write_networks(networks: Mapping[Part, nn.Module], directory: Path) -> None:
    """Write networks into a model directory: LM and flow in float16, the vocoder in float32."""
    for part, network in networks.items():
        dtype = torch.float16 if part in NARROWED else torch.float32
        write_weights(part, network.state_dict(), directory / f"{part}.safetensors", dtype)


def assemble(
    directory: Path,
    config: ModelConfig,
    networks: Mapping[Part, nn.Module],
    speech_tokenizer: SpeechTokenizer,
    speaker_encoder: SpeakerEncoder,
    vocabulary: Path,
    speakers: Mapping[str, Speaker],
    card: str,
) -> Path:
    """Write a complete model directory: LM and flow in float16, the vocoder in float32, front ends as ONNX."""
    directory.mkdir(parents=True, exist_ok=True)
    write_config(config, directory)
    write_networks(networks, directory)
    export_speech_tokenizer(speech_tokenizer, directory / SPEECH_TOKENIZER)
    export_speaker_encoder(speaker_encoder, directory / SPEAKER_ENCODER)
    for name in vocabulary_in(vocabulary):
        shutil.copyfile(vocabulary / name, directory / BACKBONE_DIRECTORY / name)
    write_speakers(speakers, directory / "spk2info.safetensors")
    (directory / "README.md").write_text(card, encoding="utf-8")
    return directory
