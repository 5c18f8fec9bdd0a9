"""A voice: what one speaker's reference recording comes down to, computed once and kept in one file.

The file is safetensors: three tensors and a JSON description in the metadata.  Reading one runs nothing.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN, MEL_BANDS, SPEAKER_DIM, SPEECH_TOKENS, TOKEN_RATE_HZ
from cosy.errors import VoiceError
from cosy.voices.assembly import align_prompt

if TYPE_CHECKING:
    from cosy.checkpoint.speakers import Speaker
    from cosy.text.tokenizer import TextTokenizer

FORMAT, VERSION = "cosy-voice", 1
SUFFIX = ".safetensors"
NAME = re.compile(r"\w[\w.\- ]{0,63}(?<![. ])")  # letters and digits of any script; safe as a file name everywhere
REMEDY = "prepare the voice again from its recording"


@dataclass(frozen=True)
class VoiceInfo:
    """What can be told of a voice without its tensors."""

    name: str  # what a request calls it
    transcript: str = ""  # of the recording, as given
    prompt_text: str = ""  # the transcript as the language model reads it, normalised
    duration_s: float = 0.0  # of the prompt; 0 without one
    sample_rate_hz: int = 0  # of the original recording; 0 if it is not known
    sha256: str = ""  # of the original recording's bytes
    created_at: str = ""  # ISO 8601, UTC
    warnings: tuple[str, ...] = ()  # what was wrong with the recording without making it useless
    preset: bool = False  # came with the model; not written to the file


@dataclass(frozen=True, eq=False)
class Voice:
    """A speaker, ready to speak.  Raises VoiceError for tensors that fit no model.

    Without a prompt (k = 0) only the speaker vector conditions the speech.
    """

    info: VoiceInfo
    prompt_tokens: Tensor  # (k,) int64, 25 a second
    prompt_mel: Tensor  # (2k, 80) float32, 24 kHz log-mel
    embedding: Tensor  # (192,) float32, as the speaker encoder gave it, not normalised

    def __post_init__(self) -> None:
        k = len(self.prompt_tokens)
        expected = {
            "prompt_tokens": (torch.int64, (k,)),
            "prompt_mel": (torch.float32, (FRAMES_PER_TOKEN * k, MEL_BANDS)),
            "embedding": (torch.float32, (SPEAKER_DIM,)),
        }
        for field, (dtype, shape) in expected.items():
            value = getattr(self, field)
            if value.dtype != dtype or value.shape != shape:
                raise VoiceError(
                    f"voice {self.name!r}: {field} is {value.dtype} {tuple(value.shape)}, expected {dtype} {shape}"
                )
            if value.is_floating_point() and not value.isfinite().all():
                raise VoiceError(f"voice {self.name!r}: {field} holds NaN or infinity")
        if k and not 0 <= int(self.prompt_tokens.min()) <= int(self.prompt_tokens.max()) < SPEECH_TOKENS:
            raise VoiceError(f"voice {self.name!r}: prompt tokens must be between 0 and {SPEECH_TOKENS - 1}")

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def transcript(self) -> str:
        return self.info.transcript

    @property
    def prompt_text(self) -> str:
        return self.info.prompt_text

    @property
    def has_prompt(self) -> bool:
        """Whether there is a recording to continue, beside the speaker vector."""
        return len(self.prompt_tokens) > 0

    def to_bytes(self) -> bytes:
        """The file's content."""
        tensors = {field: getattr(self, field).cpu().contiguous() for field in TENSORS}
        info = {key: value for key, value in asdict(self.info).items() if key != "preset"}
        described = {"format": FORMAT, "version": str(VERSION), "info": json.dumps(info, ensure_ascii=False)}
        return save(tensors, described)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file at once: a reader sees the old one, or the new one, or none.

        Raises VoiceError if the folder does not exist or cannot be written.
        """
        path = Path(path)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            partial.write_bytes(self.to_bytes())
            partial.replace(path)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise VoiceError(f"cannot write the voice to {path}: {error.strerror}; choose another folder") from error

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Voice:
        """Read a file.  Raises VoiceError naming it if it is missing, damaged, or of another kind or version."""
        info = read_info(path)
        try:
            with safe_open(path, framework="pt") as file:
                return cls(info, **{field: file.get_tensor(field) for field in TENSORS})
        except (SafetensorError, OSError) as error:
            raise VoiceError(f"the voice file {path} is damaged: {error}; {REMEDY}") from error
        except VoiceError as error:
            raise VoiceError(f"the voice file {path} is damaged: {error}; {REMEDY}") from error

    @classmethod
    def from_speaker(cls, name: str, speaker: Speaker, tokenizer: TextTokenizer) -> Voice:
        """An entry of a model directory's `spk2info`, of any kind; its tokens and mel are cut to the 2:1 ratio."""
        text = speaker.prompt_text
        if isinstance(text, Tensor):
            text = tokenizer.decode(text.reshape(-1).tolist())
        tokens, mel = torch.zeros(0, dtype=torch.int64), torch.zeros(0, MEL_BANDS)
        if speaker.speech_token is not None and speaker.speech_feat is not None:
            tokens, mel = speaker.speech_token[0].long(), speaker.speech_feat[0].float()
        k = align_prompt(len(mel), len(tokens))
        info = VoiceInfo(name, text or "", text or "", duration_s=k / TOKEN_RATE_HZ, preset=True)
        return cls(info, tokens[:k], mel[: FRAMES_PER_TOKEN * k].contiguous(), speaker.embedding[0].float())


TENSORS = tuple(field.name for field in fields(Voice) if field.name != "info")


def read_info(path: str | os.PathLike[str]) -> VoiceInfo:
    """The description in a voice file; its tensors are not read.  Errors as in `Voice.load`."""
    path = Path(path)
    if not path.is_file():
        raise VoiceError(f"the voice file {path} does not exist; check the path")
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise VoiceError(f"the voice file {path} is damaged or not a voice: {error}; {REMEDY}") from error
    if metadata.get("format") != FORMAT:
        raise VoiceError(f"{path} is not a voice file: it lacks the mark {FORMAT!r}")
    if metadata.get("version") != str(VERSION):
        raise VoiceError(
            f"the voice file {path} has version {metadata.get('version')}, this program reads {VERSION}; {REMEDY}"
        )
    try:
        return _info(json.loads(metadata["info"]))
    except (KeyError, TypeError, ValueError) as error:
        raise VoiceError(f"the voice file {path} is damaged: its description is {error}; {REMEDY}") from error


def _info(values: dict[str, Any]) -> VoiceInfo:
    return VoiceInfo(**{**values, "warnings": tuple(values.get("warnings", ()))})


def check_name(name: str) -> str:
    """`name` if it can name a voice.  Raises VoiceError: 1 to 64 letters, digits, and `_-. ` after the first."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise VoiceError(
            f"{name!r} cannot name a voice: use 1 to 64 letters, digits, '_', '-', '.' and spaces, "
            "starting with a letter or digit and not ending with a dot or space"
        )
    return name
