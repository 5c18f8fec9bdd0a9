"""What `cosyvoice2.yaml` may say about the three networks: every key of every section, once.

The tables serve reading and writing.  A key that is in none of them is an error, so that nothing a file asks for
is ignored unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cosy.checkpoint.hyperyaml import Tagged
from cosy.errors import MismatchError


@dataclass(frozen=True)
class Section:
    """One mapping of the YAML: every key it may hold.

    `fields` are read into the configuration field of that name; `fixed` may be present with exactly the
    value given, since another one would ask for a computation that is not implemented; `ignored` have no
    effect; `nested` are mappings again.
    """

    key: str
    fields: Mapping[str, str]  # key -> field of the configuration
    classes: tuple[str, ...] = ()  # class names, without their packages; () for a plain mapping
    family: str = "new"
    fixed: Mapping[str, Any] = field(default_factory=dict)
    ignored: frozenset[str] = frozenset()
    nested: tuple[Section, ...] = ()
    into: str | None = None  # the sub-configuration it describes; None: the fields are the parent's own
    optional: bool = False

    @property
    def known(self) -> list[str]:
        return sorted({*self.fields, *self.fixed, *self.ignored, *(section.key for section in self.nested)})

    def describe(self, config: Any) -> Any:
        """The section as YAML data, from the configuration it is read into."""
        own = {key: _plain(getattr(config, name)) for key, name in self.fields.items() if key not in ALIASES}
        if self.key == "estimator":
            own["channels"] = [own["channels"]]
        entries = {**own, **self.fixed}
        for section in self.nested:
            entries[section.key] = section.describe(getattr(config, section.into) if section.into else config)
        return Tagged(self.family, self.classes[0], entries) if self.classes else entries


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


ALIASES = ("window", "tau")  # our own names of the sampler's parameters, accepted but not written

LLM = Section(
    "llm",
    classes=("Qwen2LM",),
    fields=_same("speech_token_size", "mix_ratio", "length_normalized_loss", "lsm_weight"),
    ignored=frozenset({"llm_input_size", "llm_output_size", "spk_embed_dim"}),
    nested=(
        Section("llm", {}, classes=("Qwen2Encoder",), ignored=frozenset({"pretrain_path"}), optional=True),
        Section(
            "sampling",
            {"top_p": "top_p", "top_k": "top_k", "win_size": "window", "tau_r": "tau", **_same(*ALIASES)},
            classes=("ras_sampling",),
            family="name",
            into="sampling",
            optional=True,
        ),
    ),
)

FLOW_ENCODER = Section(
    "encoder",
    classes=("UpsampleConformerEncoder",),
    into="encoder",
    fields=_same(
        "input_size",
        "output_size",
        "attention_heads",
        "linear_units",
        "num_blocks",
        "up_blocks",  # the official class has four built in
        "static_chunk_size",
        "dropout_rate",
        "positional_dropout_rate",
        "attention_dropout_rate",
    ),
    fixed={
        "normalize_before": True,
        "input_layer": "linear",
        "pos_enc_layer_type": "rel_pos_espnet",
        "selfattention_layer_type": "rel_selfattn",
        "use_cnn_module": False,
        "macaron_style": False,
    },
)

FLOW_DECODER = Section(
    "decoder",
    {},
    classes=("CausalConditionalCFM",),
    ignored=frozenset({"in_channels", "n_spks", "spk_emb_dim"}),
    nested=(
        Section(
            "cfm_params",
            _same("sigma_min", "training_cfg_rate", "inference_cfg_rate", "temperature", "n_timesteps"),
            fixed={"solver": "euler", "t_scheduler": "cosine"},
            ignored=frozenset({"reg_loss_type"}),
        ),
        Section(
            "estimator",
            _same(
                "in_channels",
                "out_channels",
                "channels",
                "attention_head_dim",
                "num_heads",
                "n_blocks",
                "num_mid_blocks",
                "static_chunk_size",
            ),
            classes=("CausalConditionalDecoder",),
            into="estimator",
            fixed={"dropout": 0.0, "act_fn": "gelu", "num_decoding_left_chunks": -1},
        ),
    ),
)

FLOW = Section(
    "flow",
    classes=("CausalMaskedDiffWithXvec",),
    fields=_same(
        "input_size",
        "output_size",
        "spk_embed_dim",
        "vocab_size",
        "input_frame_rate",
        "token_mel_ratio",
        "pre_lookahead_len",
    ),
    ignored=frozenset({"output_type", "only_mask_loss", "decoder_conf", "mel_feat_conf"}),
    nested=(FLOW_ENCODER, FLOW_DECODER),
)

HIFT = Section(
    "hift",
    classes=("HiFTGenerator",),
    fields=_same(
        "in_channels",
        "base_channels",
        "nb_harmonics",
        "sampling_rate",
        "nsf_alpha",
        "nsf_sigma",
        "nsf_voiced_threshold",
        "upsample_rates",
        "upsample_kernel_sizes",
        "resblock_kernel_sizes",
        "resblock_dilation_sizes",
        "source_resblock_kernel_sizes",
        "source_resblock_dilation_sizes",
        "lrelu_slope",
        "audio_limit",
    ),
    nested=(
        Section("istft_params", {"n_fft": "istft_n_fft", "hop_len": "istft_hop_len"}),
        Section(
            "f0_predictor",
            {"num_class": "f0_num_class", "in_channels": "f0_in_channels", "cond_channels": "f0_cond_channels"},
            classes=("ConvRNNF0Predictor",),
        ),
    ),
)

SECTIONS = (LLM, FLOW, HIFT)


class Reading:
    """Walks the sections and collects every problem, so that one run names them all."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def section(self, path: str, value: Any, section: Section) -> dict[str, Any]:
        """Field -> value as written; the fields of a section without an `into` join its parent's."""
        entries = self._entries(path, value, section)
        unknown = sorted(str(key) for key in entries if key not in section.known)
        if unknown:
            self.problems.append(f"{path}: unknown keys {', '.join(unknown)}; known are {', '.join(section.known)}")
        for key, expected in section.fixed.items():
            if key in entries and entries[key] != expected:
                self.problems.append(f"{path}.{key} is {entries[key]!r}; only {expected!r} is implemented")
        result = {name: entries[key] for key, name in section.fields.items() if key in entries}
        for part in section.nested:
            if part.key in entries or not part.optional:
                inner = self.section(f"{path}.{part.key}", entries.get(part.key), part)
                result.update({part.into: inner} if part.into else inner)
        return result

    def _entries(self, path: str, value: Any, section: Section) -> dict[str, Any]:
        if isinstance(value, Tagged):
            if value.name == "DictConfig" and not section.classes:  # a container class around a plain mapping
                value = value.value.get("content", value.value) if isinstance(value.value, dict) else value.value
            else:
                self._check_class(path, value, section)
                value = value.value
        if isinstance(value, dict):
            return value
        self.problems.append(f"{path} is missing" if value is None else f"{path} must be a mapping, found {value!r}")
        return {}

    def _check_class(self, path: str, value: Tagged, section: Section) -> None:
        if value.name in section.classes:
            return
        if "CosyVoice3" in value.name:
            self.problems.append(f"{path} is a {value.name}: CosyVoice 3 is not supported yet, use a CosyVoice 2 model")
        else:
            expected = " or ".join(section.classes) or "a plain mapping"
            self.problems.append(f"{path} is of class {value.name!r}; known is {expected}")

    def finish(self, path: Path) -> None:
        """Raises MismatchError if anything was wrong."""
        if self.problems:
            raise MismatchError("\n  ".join([f"{path} does not describe a model that can be run:", *self.problems]))


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
