"""Flow and vocoder on many utterances at once: each is a row, continued chunk by chunk from what it left behind.

What a voice's prompt leaves in the flow is computed once, block by block so that others need not wait for it, and
copied into a row when one of the voice's utterances starts.

Source: CosyVoice 2, sections 2.5 and 2.6; `models.flow_stream`, `models.vocoder_stream`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cosy.models.flow import Flow
from cosy.models.flow_stream import FlowState, FlowStream, Memory
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_stream import EXACT, VocoderState, VocoderStream
from cosy.streaming_plan import BLOCK, LOOK_AHEAD
from cosy.types import Samples
from cosy.voices.conditions import FlowPrompt

STEP_TOKENS = 250  # by which rows grow
FIRST_FRAMES = 8  # of the first audio, 0.16 s: what follows it is there before it has been heard
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
    mels: FlowState | None = None  # views of its row, which take a while to make
    waves: VocoderState | None = None


@dataclass(frozen=True)
class Chunk:
    """What to make next of one utterance."""

    voicing: Voicing
    tokens: Sequence[int]
    final: bool
    urgent: bool = False  # its listener waits: the first audio leaves before the rest is vocoded
    blocks: int = 1  # that the flow may compute at a time


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
        inputs = inputs.to(self.mels.known.device)
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
            voicing.mels = voicing.waves = None

    def room(self, voicing: Voicing) -> int:
        """Tokens that the utterance can still take."""
        return self.most_tokens - voicing.tokens

    def render(self, chunks: Sequence[Chunk]) -> Iterator[tuple[Chunk, Samples, bool]]:
        """Each utterance's further samples (n,), float32 on the host and possibly none, and whether that is all now.

        What is urgent comes first and in two pieces, as soon as each is made.
        """
        for chunk in chunks:
            chunk.voicing.tokens += len(chunk.tokens)
        self._make_room(max(chunk.voicing.tokens for chunk in chunks))
        by_row = {chunk.voicing.row: chunk for chunk in chunks}
        span = [by_row.get(row) for row in range(min(by_row), max(by_row) + 1)]  # neighbours in between stand still
        finals = [chunk is not None and chunk.final for chunk in span]
        mels, waves = self._states(chunks)
        blocks = min(chunk.blocks for chunk in chunks)
        frames = self.flow.push(mels, [chunk.tokens if chunk else () for chunk in span], finals, blocks)
        soon = [self._soon(chunk, mel) for chunk, mel in zip(span, frames, strict=True)]
        later = [mel[:, n:] for mel, n in zip(frames, soon, strict=True)]
        first = self.vocoder.push(waves, [mel[:, :n] for mel, n in zip(frames, soon, strict=True)], finals)
        for one, wave, mel in zip(span, first, later, strict=True):
            if one is not None:
                yield one, _on_host(wave), not mel.shape[1]
        if any(mel.shape[1] for mel in later):
            for one, wave, mel in zip(span, self.vocoder.push(waves, later), later, strict=True):
                if one is not None and mel.shape[1]:
                    yield one, _on_host(wave), True

    def _soon(self, chunk: Chunk | None, mel: Tensor) -> int:
        """Frames that are vocoded in the first round."""
        enough = self.vocoder.look_ahead + FIRST_FRAMES
        split = chunk is not None and chunk.urgent and not chunk.final and mel.shape[1] > enough
        return enough if split else mel.shape[1]

    def _states(self, chunks: Sequence[Chunk]) -> tuple[FlowState, VocoderState]:
        """Views of the rows of some utterances and of those in between."""
        if len(chunks) > 1:
            rows = [chunk.voicing.row for chunk in chunks]
            return self.mels.rows(min(rows), max(rows) + 1), self.waves.rows(min(rows), max(rows) + 1)
        voicing = chunks[0].voicing
        if voicing.mels is None or voicing.waves is None:
            voicing.mels = self.mels.rows(voicing.row, voicing.row + 1)
            voicing.waves = self.waves.rows(voicing.row, voicing.row + 1)
        return voicing.mels, voicing.waves

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
                voicing.mels = None
        self.mels = larger


def _on_host(wave: Tensor) -> Samples:
    samples: Samples = wave.float().cpu().numpy().copy()
    return samples
