"""A small model directory in the official layout: real files and networks, weights from names, meaningless speech."""

from __future__ import annotations

from pathlib import Path

import torch

from cosy.audio.constants import MEL_BANDS, SPEAKER_DIM, SPEECH_TOKENS
from cosy.checkpoint.convert import write_weights
from cosy.checkpoint.layout import BACKBONE_DIRECTORY, PARTS, SPEAKER_ENCODER, SPEECH_TOKENIZER, write_config
from cosy.checkpoint.load import build, shapes_of
from cosy.checkpoint.onnx import export_speaker_encoder, export_speech_tokenizer
from cosy.checkpoint.speakers import Speaker, write_speakers
from cosy.config import (
    EstimatorConfig,
    FlowConfig,
    FlowEncoderConfig,
    ModelConfig,
    Qwen2Config,
    SpeakerEncoderConfig,
    SpeechLMConfig,
    SpeechTokenizerConfig,
    VocoderConfig,
)
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.text.tokenizer import train_bpe
from tests.weights import key_weight

TEXT_VOCABULARY = 280  # ordinary entries, at least the 256 bytes
PRESET = "ada"  # a preset with a prompt: transcript, tokens, mel, vector
PLAIN_PRESET = "bob"  # a preset that is only a speaker vector

SMALL = ModelConfig(
    llm=SpeechLMConfig(
        backbone=Qwen2Config(
            vocab_size=320,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=4096,
        )
    ),
    flow=FlowConfig(
        input_size=32,
        encoder=FlowEncoderConfig(
            input_size=32, output_size=32, attention_heads=2, linear_units=64, num_blocks=2, up_blocks=1
        ),
        estimator=EstimatorConfig(channels=32, attention_head_dim=16, num_heads=2, n_blocks=1, num_mid_blocks=1),
    ),
    hift=VocoderConfig(base_channels=16, f0_cond_channels=16),
)
SMALL_TOKENIZER = SpeechTokenizerConfig(n_state=64, n_head=1, n_layer=1)
SMALL_SPEAKER_ENCODER = SpeakerEncoderConfig(
    front_channels=4, init_channels=8, growth_rate=4, block_layers=(1, 1, 1), block_dilations=(1, 2, 2)
)

# A random head would clip every sample, and a random F0 would stay under the voicing threshold.
SCALES = {"conv_post.parametrizations.weight.original0": 0.2, "f0_predictor.classifier.weight": 300.0}


def weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """A state dict of these shapes."""
    return {key: torch.from_numpy(key_weight(key, shape)) * SCALES.get(key, 1.0) for key, shape in shapes.items()}


def write_model_dir(directory: Path, config: ModelConfig = SMALL, suffix: str = ".pt", front_ends: bool = True) -> Path:
    """Write every file of the layout for `config` into `directory` and return it.  Exporting ONNX takes seconds."""
    write_config(config, directory)
    train_bpe(["the quick brown fox jumps over the lazy dog"], TEXT_VOCABULARY, directory / BACKBONE_DIRECTORY)
    for part in PARTS:
        write_weights(part, weights(shapes_of(build(part, config))), directory / f"{part}{suffix}")
    write_speakers(speakers(), directory / f"spk2info{suffix}")
    if front_ends:
        write_front_ends(directory)
    return directory


def speakers() -> dict[str, Speaker]:
    """The presets: one with a prompt of three seconds, one without."""
    generator = torch.Generator().manual_seed(7)
    tokens = torch.randint(SPEECH_TOKENS, (1, 75), generator=generator, dtype=torch.int32)
    return {
        PRESET: Speaker(
            embedding=torch.randn(1, SPEAKER_DIM, generator=generator),
            prompt_text="the quick brown fox",
            speech_token=tokens,
            speech_feat=torch.randn(1, 2 * tokens.shape[1], MEL_BANDS, generator=generator) - 6.0,
        ),
        PLAIN_PRESET: Speaker(embedding=torch.randn(1, SPEAKER_DIM, generator=generator)),
    }


def write_front_ends(directory: Path) -> None:
    tokenizer, encoder = SpeechTokenizer(SMALL_TOKENIZER), SpeakerEncoder(SMALL_SPEAKER_ENCODER)
    for module in (tokenizer, encoder):
        state = module.state_dict()
        filled = weights({key: tuple(value.shape) for key, value in state.items() if value.is_floating_point()})
        module.load_state_dict({**state, **filled})
    export_speech_tokenizer(tokenizer.eval(), directory / SPEECH_TOKENIZER)
    export_speaker_encoder(encoder.eval(), directory / SPEAKER_ENCODER)
