"""What each mode of CosyVoice 2 hands to its two models: a table, and the trimming of a prompt.

Plain tensors in, plain tensors out, under the names of the official interface.  The synthesis itself
takes the same inputs from `cosy.voices.conditions`; here they are complete, for tests, tools and exports.

    k  speech tokens of the prompt; 2k mel frames
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.errors import ParameterError

INPUTS: dict[str, tuple[str, ...]] = {  # mode -> inputs that are present
    "sft": ("text", "llm_embedding", "flow_embedding"),
    "zero_shot": (
        "text",
        "prompt_text",
        "llm_prompt_speech_token",
        "llm_embedding",
        "flow_prompt_speech_token",
        "prompt_speech_feat",
        "flow_embedding",
    ),
    "cross_lingual": ("text", "llm_embedding", "flow_prompt_speech_token", "prompt_speech_feat", "flow_embedding"),
    "instruct2": (
        "text",
        "prompt_text",
        "llm_embedding",
        "flow_prompt_speech_token",
        "prompt_speech_feat",
        "flow_embedding",
    ),
    "vc": ("flow_prompt_speech_token", "prompt_speech_feat", "flow_embedding", "source_speech_token"),
}
UNALIGNED = ("vc",)  # modes that keep the whole prompt


@dataclass(frozen=True, eq=False)
class Prompt:
    """Features of a voice's recording, not yet trimmed."""

    tokens: Tensor  # (K,) speech tokens, 25 a second
    mel: Tensor  # (F, 80) log-mel, 50 a second
    embedding: Tensor  # (192,) speaker vector


def align_prompt(frames: int, tokens: int) -> int:
    """Speech tokens k to keep so that exactly 2k mel frames go with them."""
    return min(frames // FRAMES_PER_TOKEN, tokens)


def model_inputs(
    mode: str,
    prompt: Prompt,
    *,
    text: Sequence[int] = (),
    prompt_text: Sequence[int] = (),
    source_tokens: Tensor | None = None,
) -> dict[str, Tensor]:
    """The inputs that are present in `mode`, with a batch axis.

    `text` and `prompt_text` are text ids; in "instruct2" the latter is the instruction.  Token tensors
    are int32 (1, n) beside their length, int32 (1); the mel is float32 (1, 2k, 80), vectors (1, 192).
    Raises ParameterError for an unknown mode, or "vc" without `source_tokens`.
    """
    if mode not in INPUTS:
        raise ParameterError(f"mode {mode!r} is not known: choose one of {', '.join(INPUTS)}")
    if mode == "vc" and source_tokens is None:
        raise ParameterError("voice conversion needs source_tokens: the speech tokens of the recording to convert")
    if mode not in UNALIGNED:
        k = align_prompt(len(prompt.mel), len(prompt.tokens))
        prompt = Prompt(prompt.tokens[:k], prompt.mel[: FRAMES_PER_TOKEN * k], prompt.embedding)
    values = {
        "text": _ids(text),
        "prompt_text": _ids(prompt_text),
        "llm_prompt_speech_token": _ids(prompt.tokens),
        "flow_prompt_speech_token": _ids(prompt.tokens),
        "prompt_speech_feat": prompt.mel.float()[None],
        "llm_embedding": prompt.embedding.float()[None],
        "flow_embedding": prompt.embedding.float()[None],
        "source_speech_token": _ids(() if source_tokens is None else source_tokens),
    }
    present: dict[str, Tensor] = {}
    for name in INPUTS[mode]:
        present[name] = values[name]
        if not name.endswith("embedding"):
            present[f"{name}_len"] = torch.tensor([values[name].shape[1]], dtype=torch.int32)
    return present


def _ids(ids: Sequence[int] | Tensor) -> Tensor:
    return torch.as_tensor(ids, dtype=torch.int32).reshape(1, -1)
