"""`spk2info`: the voices a model directory brings along, in one typed form.

Three kinds of entry are in circulation: a bare speaker vector (the "SFT" speakers of CosyVoice 1), the ten
tensors of a cached zero-shot prompt, and a shorter variant of other servers.  spk2info.safetensors is our
own spelling: tensors `<id>/<field>`, strings and the order of the speakers in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from cosy.audio.constants import MEL_BANDS, SPEAKER_DIM, SPEECH_TOKENS
from cosy.checkpoint.files import as_checkpoint_error, read_pt, replacing
from cosy.errors import MismatchError


@dataclass(frozen=True, eq=False)
class Speaker:
    """One preset voice, on the CPU.  Raises MismatchError for shapes or ids that fit no model.

    Without `speech_token` and `speech_feat` there is no prompt: only the speaker vector conditions the flow.
    """

    embedding: Tensor  # float32 (1, 192), as the speaker encoder gave it, not normalised
    prompt_text: str | Tensor | None = None  # the prompt's transcript, or its ids: int32 (1, n)
    speech_token: Tensor | None = None  # int32 (1, k)
    speech_feat: Tensor | None = None  # float32 (1, 2k, 80), 24 kHz log-mel

    def __post_init__(self) -> None:
        if self.embedding.shape != (1, SPEAKER_DIM):
            raise MismatchError(f"embedding has shape {tuple(self.embedding.shape)}, expected (1, {SPEAKER_DIM})")
        if (self.speech_token is None) != (self.speech_feat is None):
            raise MismatchError("speech tokens and mel must come together, found only one of them")
        if self.speech_feat is not None and (self.speech_feat.ndim, self.speech_feat.shape[-1]) != (3, MEL_BANDS):
            raise MismatchError(f"mel has shape {tuple(self.speech_feat.shape)}, expected (1, frames, {MEL_BANDS})")
        token = self.speech_token
        if token is not None and token.numel() and not 0 <= int(token.min()) <= int(token.max()) < SPEECH_TOKENS:
            raise MismatchError(f"speech tokens must be between 0 and {SPEECH_TOKENS - 1}, found {int(token.max())}")

    @property
    def has_prompt(self) -> bool:
        """Whether it can be used as a zero-shot prompt."""
        return self.speech_token is not None


# What an entry may call each field, the first that is present counts; `NAME_len` beside a tensor gives its length.
SPELLINGS = {
    "embedding": ("embedding", "flow_embedding", "llm_embedding"),
    "prompt_text": ("prompt_text",),
    "speech_token": ("speech_token", "flow_prompt_speech_token", "llm_prompt_speech_token"),
    "speech_feat": ("speech_feat", "prompt_speech_feat"),
}
KNOWN = {name + end for names in SPELLINGS.values() for name in names for end in ("", "_len")}


def read_speakers(path: Path) -> dict[str, Speaker]:
    """Speaker id -> voice, in the file's order.  Raises CheckpointError naming file, speaker and field."""
    entries = _read_safetensors(path) if path.suffix == ".safetensors" else read_pt(path, mmap=False)
    speakers = {}
    for speaker, entry in entries.items():
        try:
            speakers[str(speaker)] = _speaker(entry)
        except MismatchError as error:
            raise MismatchError(f"{path}, speaker {speaker!r}: {error}") from error
    return speakers


def write_speakers(speakers: Mapping[str, Speaker], path: Path) -> None:
    """Write `spk2info.pt` (the official entries) or, by the suffix, `spk2info.safetensors`."""
    with replacing(path) as partial:
        if path.suffix == ".safetensors":
            _write_safetensors(speakers, partial)
        else:
            torch.save({name: _official_entry(speaker) for name, speaker in speakers.items()}, partial)


def _speaker(entry: Any) -> Speaker:
    if not isinstance(entry, Mapping):
        raise MismatchError(f"expected a dictionary, found {type(entry).__name__}")
    unknown = sorted(str(key) for key in entry if key not in KNOWN)
    if unknown:
        raise MismatchError(f"unknown fields {', '.join(unknown)}; known are {', '.join(sorted(KNOWN))}")
    found = {name: _field(entry, spellings) for name, spellings in SPELLINGS.items()}
    embedding = found.pop("embedding")
    if not isinstance(embedding, Tensor):
        raise MismatchError(f"no speaker vector: one of {', '.join(SPELLINGS['embedding'])} is needed")
    return Speaker(embedding.float().reshape(1, -1), **found)


def _field(entry: Mapping[str, Any], spellings: tuple[str, ...]) -> Any:
    """The first spelling present: a string, or a tensor with a leading batch axis of one; None for none or empty."""
    name = next((name for name in spellings if entry.get(name) is not None), None)
    if name is None:
        return None
    value = entry[name]
    if isinstance(value, str) and name == "prompt_text":
        return value
    if not isinstance(value, Tensor):
        raise MismatchError(f"{name} must be a tensor, found {type(value).__name__}")
    features = value.is_floating_point() and "embedding" not in name
    value = value[None] if value.ndim == (2 if features else 1) else value
    length = entry.get(f"{name}_len")
    if length is not None:
        value = value[:, : int(length)]
    if value.shape[0] != 1:
        raise MismatchError(f"{name} has shape {tuple(value.shape)}, expected one row")
    if value.shape[1] == 0:
        return None
    return (value.float() if value.is_floating_point() else value.int()).contiguous().clone()


def _official_entry(speaker: Speaker) -> dict[str, Any]:
    """The form upstream writes for what the speaker holds; a transcript as text has only the short variant."""
    if isinstance(speaker.prompt_text, str):
        short = {field.name: getattr(speaker, field.name) for field in fields(speaker)}
        return {name: value for name, value in short.items() if value is not None}
    if speaker.speech_token is None or speaker.speech_feat is None:
        return {"embedding": speaker.embedding}
    text = torch.zeros(1, 0, dtype=torch.int32) if speaker.prompt_text is None else speaker.prompt_text
    sized = {
        "prompt_text": text,
        "llm_prompt_speech_token": speaker.speech_token,
        "flow_prompt_speech_token": speaker.speech_token,
        "prompt_speech_feat": speaker.speech_feat,
    }
    lengths = {f"{name}_len": torch.tensor([value.shape[1]], dtype=torch.int32) for name, value in sized.items()}
    return {**sized, **lengths, "llm_embedding": speaker.embedding, "flow_embedding": speaker.embedding}


def _write_safetensors(speakers: Mapping[str, Speaker], path: Path) -> None:
    tensors: dict[str, Tensor] = {}
    metadata = {"speakers": json.dumps(list(speakers), ensure_ascii=False)}
    for name, speaker in speakers.items():
        for field in fields(speaker):
            value = getattr(speaker, field.name)
            if isinstance(value, str):
                metadata[f"{name}/{field.name}"] = value
            elif value is not None:
                tensors[f"{name}/{field.name}"] = value.contiguous().clone()  # speakers may share tensors
    save_file(tensors, path, metadata)


def _read_safetensors(path: Path) -> dict[str, dict[str, Any]]:
    with as_checkpoint_error(path), safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata() or {})
        names = json.loads(metadata.pop("speakers", "[]"))
        values = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
    entries: dict[str, dict[str, Any]] = {name: {} for name in names}
    for key, value in {**metadata, **values}.items():
        name, _, field = key.rpartition("/")
        entries.setdefault(name, {})[field] = value
    return entries
