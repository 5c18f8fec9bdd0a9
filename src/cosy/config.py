"""Hyper-parameters of every network as frozen dataclasses: data only, no torch.

The defaults are those of the official CosyVoice2-0.5B checkpoint.  `checkpoint.layout` fills
them from a model directory; tests and training make small ones directly.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cosy.errors import MismatchError
from cosy.types import Sampling


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise MismatchError(message)


@dataclass(frozen=True)
class Qwen2Config:
    """The backbone of the language model (spec/lm.md section 1), as in `CosyVoice-BlankEN/config.json`."""

    vocab_size: int = 151_936  # rows of the text embedding
    hidden_size: int = 896
    intermediate_size: int = 4864  # inner width of the gated MLP
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    rope_theta: float = 1_000_000.0
    rms_norm_eps: float = 1e-6
    max_position_embeddings: int = 32_768

    def __post_init__(self) -> None:
        _require(
            self.hidden_size % self.num_attention_heads == 0 and self.head_dim % 2 == 0,
            f"hidden_size {self.hidden_size} must be an even multiple of "
            f"num_attention_heads {self.num_attention_heads}",
        )
        _require(
            self.num_attention_heads % self.num_key_value_heads == 0,
            f"num_attention_heads {self.num_attention_heads} must be a multiple of "
            f"num_key_value_heads {self.num_key_value_heads}",
        )

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_attention_heads


@dataclass(frozen=True)
class SpeechLMConfig:
    """The text-speech language model (spec/lm.md)."""

    backbone: Qwen2Config = field(default_factory=Qwen2Config)
    speech_token_size: int = 6561  # real speech tokens; three more ids follow
    mix_ratio: tuple[int, int] = (5, 15)  # text : speech tokens in bi-streaming
    sampling: Sampling = field(default_factory=Sampling)
    length_normalized_loss: bool = True
    lsm_weight: float = 0.0  # label smoothing


@dataclass(frozen=True)
class FlowEncoderConfig:
    """Conformer encoder with look-ahead and 2x upsampling (spec/flow.md section 3)."""

    input_size: int = 512  # token embedding
    output_size: int = 512  # width D
    attention_heads: int = 8
    linear_units: int = 2048
    num_blocks: int = 6  # before upsampling
    up_blocks: int = 4  # after upsampling
    static_chunk_size: int = 25  # tokens
    pre_lookahead_len: int = 3  # tokens
    dropout_rate: float = 0.1
    positional_dropout_rate: float = 0.1
    attention_dropout_rate: float = 0.1

    def __post_init__(self) -> None:
        _require(
            self.input_size == self.output_size,
            f"flow encoder: input_size {self.input_size} must equal output_size {self.output_size}",
        )
        _require(
            self.output_size % self.attention_heads == 0,
            f"flow encoder: output_size {self.output_size} must be a multiple of "
            f"attention_heads {self.attention_heads}",
        )


@dataclass(frozen=True)
class EstimatorConfig:
    """The velocity field of the flow (spec/flow.md section 5)."""

    channels: int = 256  # width C
    attention_head_dim: int = 64
    num_heads: int = 8
    n_blocks: int = 4  # transformer blocks per stage
    num_mid_blocks: int = 12
    in_channels: int = 320
    out_channels: int = 80
    static_chunk_size: int = 50  # frames


@dataclass(frozen=True)
class FlowConfig:
    """Token-to-mel flow matching (spec/flow.md section 1)."""

    vocab_size: int = 6561
    input_size: int = 512
    output_size: int = 80  # mel bands
    spk_embed_dim: int = 192
    input_frame_rate: int = 25  # tokens per second
    token_mel_ratio: int = 2  # frames per token
    pre_lookahead_len: int = 3  # tokens
    encoder: FlowEncoderConfig = field(default_factory=FlowEncoderConfig)
    estimator: EstimatorConfig = field(default_factory=EstimatorConfig)
    sigma_min: float = 1e-6
    inference_cfg_rate: float = 0.7
    temperature: float = 1.0  # scale of the noise a solve starts from; ours, the official file has none
    training_cfg_rate: float = 0.2
    n_timesteps: int = 10

    def __post_init__(self) -> None:
        _require(self.token_mel_ratio == 2, f"token_mel_ratio must be 2, got {self.token_mel_ratio}")
        _require(
            self.input_size == self.encoder.input_size,
            f"flow: input_size {self.input_size} must equal the encoder's input_size {self.encoder.input_size}",
        )


@dataclass(frozen=True)
class VocoderConfig:
    """HiFT vocoder with its F0 predictor (spec/vocoder.md section 1)."""

    in_channels: int = 80
    base_channels: int = 512
    sampling_rate: int = 24_000
    nb_harmonics: int = 8  # beside the fundamental
    nsf_alpha: float = 0.1
    nsf_sigma: float = 0.003
    nsf_voiced_threshold: float = 10.0  # Hz
    upsample_rates: tuple[int, ...] = (8, 5, 3)
    upsample_kernel_sizes: tuple[int, ...] = (16, 11, 7)
    istft_n_fft: int = 16
    istft_hop_len: int = 4
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    source_resblock_kernel_sizes: tuple[int, ...] = (7, 7, 11)
    source_resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    lrelu_slope: float = 0.1
    audio_limit: float = 0.99
    f0_num_class: int = 1
    f0_in_channels: int = 80
    f0_cond_channels: int = 512

    def __post_init__(self) -> None:
        stages = len(self.upsample_rates)
        _require(
            len(self.upsample_kernel_sizes) == stages and len(self.source_resblock_kernel_sizes) == stages,
            f"vocoder: {stages} upsample_rates need as many kernel sizes, got {self.upsample_kernel_sizes} "
            f"and {self.source_resblock_kernel_sizes}",
        )

    @property
    def hop_samples(self) -> int:
        """Samples per mel frame."""
        hop = self.istft_hop_len
        for rate in self.upsample_rates:
            hop *= rate
        return hop


@dataclass(frozen=True)
class SpeechTokenizerConfig:
    """S3 tokenizer v2 (spec/speech_tokenizer.md section 1)."""

    n_mels: int = 128
    n_state: int = 1280  # width D
    n_head: int = 20
    n_layer: int = 6
    fsmn_kernel: int = 31
    attn_ln_eps: float = 1e-6
    mlp_ln_eps: float = 1e-5
    rope_theta: float = 10_000.0


@dataclass(frozen=True)
class SpeakerEncoderConfig:
    """CAM++ (spec/speaker_encoder.md section 1)."""

    feat_dim: int = 80
    embedding_size: int = 192
    front_channels: int = 32  # m, the 2-D front
    init_channels: int = 128
    growth_rate: int = 32  # g
    bn_size: int = 4  # bottleneck b = bn_size * g
    block_layers: tuple[int, ...] = (12, 24, 16)
    block_dilations: tuple[int, ...] = (1, 2, 2)
    segment_pool: int = 100  # frames


@dataclass(frozen=True)
class ModelConfig:
    """All that `cosyvoice2.yaml` and `CosyVoice-BlankEN/config.json` say."""

    llm: SpeechLMConfig = field(default_factory=SpeechLMConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    hift: VocoderConfig = field(default_factory=VocoderConfig)
    sample_rate: int = 24_000

    def __post_init__(self) -> None:
        _require(
            self.hift.sampling_rate == self.sample_rate,
            f"hift.sampling_rate {self.hift.sampling_rate} differs from sample_rate {self.sample_rate}",
        )
        _require(
            self.llm.speech_token_size == self.flow.vocab_size,
            f"llm.speech_token_size {self.llm.speech_token_size} differs from flow.vocab_size {self.flow.vocab_size}",
        )
