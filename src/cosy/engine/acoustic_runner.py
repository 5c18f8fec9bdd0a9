"""Flow and vocoder on many utterances at once: each is a row, continued chunk by chunk from what it left behind.

What a voice's prompt leaves in the flow is computed once, block by block so that others need not wait for it, and
copied into a row when one of the voice's utterances starts.

Source: CosyVoice 2, sections 2.5 and 2.6; `models.flow_stream`, `models.vocoder_stream`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from cosy.models.flow import Flow
from cosy.models.flow_stream import FlowState, FlowStream, Memory
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_stream import EXACT, VocoderStream
from cosy.streaming_plan import BLOCK, LOOK_AHEAD
from cosy.types import Samples
from cosy.voices.conditions import FlowPrompt

STEP_TOKENS = 250  # by which rows grow
NOWHERE = -1


@dataclass(eq=False)
class Prompt:
    """A voice as the flow knows it; its utterances can start once no blocks are left to compute."""

    inputs: FlowPrompt
    state: FlowState
    blocks_left: int

    @property
    def tokens(self) -> int:
        return int(self.inputs.tokens.shape[1])


@dataclass(eq=False)
class Voicing:
    """An utterance on its way to audio."""

    prompt: Prompt
    seed: int
    speed: float = 1.0
    start_sample: int = 0  # of the utterance in its request
    row: int = NOWHERE
    tokens: int = 0  # in the row, prompt included


@dataclass(frozen=True)
class Chunk:
    """What to make next of one utterance."""

    voicing: Voicing
    tokens: Sequence[int]
    final: bool


class AcousticRunner:
    """Rows of one flow state and one vocoder state.  To be used under `inference_mode`.

    A row holds at most `most_tokens`, prompt included.  `look_ahead_frames` as in `VocoderStream`.
    """

    def __init__(
        self,
        flow: Flow,
        vocoder: Vocoder,
        rows: int,
        *,
        memory: Memory | None = None,
        most_tokens: int = 2500,
        look_ahead_frames: int = EXACT,
    ) -> None:
        self.flow = FlowStream(flow, memory)
        self.vocoder = VocoderStream(vocoder, look_ahead_frames)
        self.most_tokens = most_tokens
        with torch.inference_mode():
            self.mels = self.flow.init_state(rows, min(STEP_TOKENS, most_tokens))
            self.waves = self.vocoder.init_state(rows)
        self.seated: list[Voicing | None] = [None] * rows

    @property
    def free(self) -> int:
        """Rows that can be taken."""
        return self.seated.count(None)

    @property
    def bytes(self) -> int:
        return self.mels.bytes + self.waves.bytes

    # --- voices ------------------------------------------------------------------------------------------------

    def prepare(self, inputs: FlowPrompt) -> Prompt:
        """The start of a voice; `advance` computes its blocks."""
        device = self.mels.known.device
        inputs = FlowPrompt(*(tensor.to(device) for tensor in inputs))
        state = self.flow.begin(*inputs)
        prompt = Prompt(inputs, state, max(0, int(state.known) - LOOK_AHEAD) // BLOCK)
        if not prompt.blocks_left:
            self.advance(prompt)
        return prompt

    def advance(self, prompt: Prompt) -> None:
        """Compute one block of a prompt."""
        self.flow.advance(prompt.state, prompt.tokens)
        prompt.blocks_left = max(0, prompt.blocks_left - 1)
        if not prompt.blocks_left:
            left = self.flow.advance(prompt.state, prompt.tokens)  # none: this marks its end
            assert not left, "a prompt has as many blocks as it was said to have"

    # --- utterances --------------------------------------------------------------------------------------------

    def open(self, voicing: Voicing) -> None:
        """Give an utterance a row."""
        row = self.seated.index(None)
        self._make_room(max(voicing.prompt.state.capacity, voicing.prompt.tokens + BLOCK))
        self.mels.cond[row].zero_()
        self.mels.put(row, voicing.prompt.state)
        self.waves.start(row, voicing.seed, voicing.speed, voicing.start_sample)
        self.seated[row], voicing.row, voicing.tokens = voicing, row, voicing.prompt.tokens

    def close(self, voicing: Voicing) -> None:
        """Free the row; without effect if it has none."""
        if voicing.row != NOWHERE:
            self.mels.known[voicing.row] = self.mels.done[voicing.row] = 0
            self.seated[voicing.row], voicing.row = None, NOWHERE

    def room(self, voicing: Voicing) -> int:
        """Tokens that the utterance can still take."""
        return self.most_tokens - voicing.tokens

    def render(self, chunks: Sequence[Chunk]) -> list[Samples]:
        """The further samples (n,) of each utterance, float32 on the host; possibly none."""
        for chunk in chunks:
            chunk.voicing.tokens += len(chunk.tokens)
        self._make_room(max(chunk.voicing.tokens for chunk in chunks))
        rows = [chunk.voicing.row for chunk in chunks]
        first, end = min(rows), max(rows) + 1  # a view: neighbours in between stand still
        by_row = {chunk.voicing.row: chunk for chunk in chunks}
        span = [by_row.get(row) for row in range(first, end)]
        finals = [chunk is not None and chunk.final for chunk in span]
        mels = self.flow.push(self.mels.rows(first, end), [chunk.tokens if chunk else () for chunk in span], finals)
        waves = self.vocoder.push(self.waves.rows(first, end), mels, finals)
        return [waves[row - first].float().cpu().numpy().copy() for row in rows]

    def _make_room(self, tokens: int) -> None:
        capacity = self.mels.capacity
        if tokens <= capacity:
            return
        assert tokens <= self.most_tokens, f"{tokens} tokens, at most {self.most_tokens} fit"
        steps = -(-max(tokens, 3 * capacity // 2) // STEP_TOKENS)
        larger = self.flow.init_state(len(self.seated), min(steps * STEP_TOKENS, self.most_tokens))
        for row, voicing in enumerate(self.seated):
            if voicing is not None:
                larger.put(row, self.mels.rows(row, row + 1))
        self.mels = larger
