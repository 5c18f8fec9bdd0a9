"""What a voice and an instruction give the two models, by mode (CosyVoice 2, section 2.6).

               language model reads first        and continues          flow continues
zero_shot      the prompt's transcript           the prompt's tokens    the prompt
cross_lingual  -                                 -                      the prompt
instruct       the instruction, <|endofprompt|>  -                      the prompt, if there is one
sft            -                                 -                      - (the speaker vector alone)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from cosy.audio.constants import MEL_BANDS
from cosy.errors import TextError, VoiceError
from cosy.text.special_tokens import END_OF_PROMPT
from cosy.types import Mode

if TYPE_CHECKING:
    from cosy.text.tokenizer import TextTokenizer
    from cosy.voices.voice import Voice


class FlowPrompt(NamedTuple):
    """What conditions the flow; P = 0 without a prompt."""

    tokens: Tensor  # (1, P) int64
    mel: Tensor  # (1, 2P, 80)
    embedding: Tensor  # (1, 192)

    def to(self, device: torch.device) -> FlowPrompt:
        """The same on a device."""
        return FlowPrompt(*(tensor.to(device) for tensor in self))

    def equals(self, other: FlowPrompt) -> bool:
        """Whether both leave the flow in the same state."""
        return all(torch.equal(mine, theirs) for mine, theirs in zip(self, other, strict=True))


@dataclass(frozen=True)
class Conditions:
    """The inputs beside the text to speak."""

    mode: Mode
    prompt_text: list[int]  # ids the language model reads before the text
    prompt_speech: list[int]  # speech tokens it continues
    flow: FlowPrompt


def suggested_mode(voice: Voice, instruction: str) -> Mode:
    """The mode that uses all there is."""
    if instruction:
        return Mode.INSTRUCT
    if not voice.has_prompt:
        return Mode.SFT
    return Mode.ZERO_SHOT if voice.prompt_text else Mode.CROSS_LINGUAL


def conditions(voice: Voice, tokenizer: TextTokenizer, mode: Mode | None = None, instruction: str = "") -> Conditions:
    """Model inputs of a voice in a mode; None is the suggested one.

    Raises VoiceError if the voice lacks what the mode needs, TextError if the instruction is missing or would be
    ignored.
    """
    instruction = instruction.strip()
    mode = mode or suggested_mode(voice, instruction)
    _require(voice, mode, instruction)
    prompt_text: list[int] = []
    prompt_speech: list[int] = []
    if mode is Mode.ZERO_SHOT:
        prompt_text, prompt_speech = tokenizer.encode(voice.prompt_text), voice.prompt_tokens.tolist()
    if mode is Mode.INSTRUCT:
        prompt_text = tokenizer.encode(instruction if END_OF_PROMPT in instruction else instruction + END_OF_PROMPT)
    return Conditions(mode, prompt_text, prompt_speech, _flow_prompt(voice, with_prompt=mode is not Mode.SFT))


def _require(voice: Voice, mode: Mode, instruction: str) -> None:
    if mode is Mode.INSTRUCT and not instruction:
        raise TextError("the instruct mode needs an instruction: say how to speak, for example 'speak softly'")
    if mode is not Mode.INSTRUCT and instruction:
        raise TextError(f"the {mode.value} mode takes no instruction; leave it out, or choose the instruct mode")
    if mode in (Mode.ZERO_SHOT, Mode.CROSS_LINGUAL) and not voice.has_prompt:
        raise VoiceError(
            f"voice {voice.name!r} has no recording to follow, only a speaker vector: "
            "choose the sft mode or another voice"
        )
    if mode is Mode.ZERO_SHOT and not voice.prompt_text:
        raise VoiceError(
            f"voice {voice.name!r} has no transcript, which the zero_shot mode needs: "
            "choose the cross_lingual mode, or prepare the voice again with its transcript"
        )


def _flow_prompt(voice: Voice, with_prompt: bool) -> FlowPrompt:
    if not with_prompt:
        return FlowPrompt(torch.zeros(1, 0, dtype=torch.int64), torch.zeros(1, 0, MEL_BANDS), voice.embedding[None])
    return FlowPrompt(voice.prompt_tokens[None], voice.prompt_mel[None], voice.embedding[None])
