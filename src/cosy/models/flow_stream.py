"""The flow, block by block: every frame is computed once, from what the blocks before it left behind.

Under chunk masks a block (25 tokens, 50 frames) sees itself and the blocks before it, convolutions look back only,
noise belongs to frames and nothing is normalised over time.  So a block is final as soon as the three tokens after
it are known, and it can be computed from the keys, values and convolution contexts that the earlier blocks left at
the same Euler step and guidance branch.  The mel equals that of one pass over the whole sequence up to rounding,
whatever the pieces the tokens arrive in.  One prompt is computed once and its state is the start of many streams:

    stream = FlowStream(flow)
    voice = stream.open(prompt_token, prompt_feat, embedding)
    state = stream.start([voice, voice], capacity_tokens=1000)  # two requests
    mels = stream.push(state, [some_tokens, other_tokens])  # per row (M, frames), all that is final
    mels = stream.finish(state, [last_tokens, []])

Letters: B rows, T tokens, F = 2T frames, M mel bands, P prompt tokens, L prompt frames, S Euler steps.
Source: CosyVoice 2, section 2.5 (chunk-aware flow matching).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from cosy.audio.constants import FRAMES_PER_TOKEN
from cosy.errors import ParameterError
from cosy.models.flow import Flow
from cosy.models.flow_decoder import fixed_noise
from cosy.models.flow_encoder import EncoderState
from cosy.nn.estimator import EstimatorState
from cosy.nn.masks import Layout, Masks, stream_masks
from cosy.nn.state import State

# --- what is kept --------------------------------------------------------------------------------


class Memory(Protocol):
    """What a stream keeps of its past.  `FlowState.bytes` tells what that takes."""

    @property
    def dtype(self) -> torch.dtype | None:
        """How keys and values are stored, None: as the network computes."""
        ...

    def layout(self, capacity_tokens: int, chunk_tokens: int) -> Layout | None:
        """Which tokens (and their frames) have keys and values; None: nothing is kept."""
        ...


@dataclass(frozen=True)
class FullCache:
    """Keys and values of every frame: exact.

    Official size: 4 587 520 bytes per frame, 229 MB per second of audio, and 1 % more for the encoder; stored as
    `torch.float16` half of it, and the mel differs by about 5e-5 at most.
    """

    dtype: torch.dtype | None = None

    def layout(self, capacity_tokens: int, chunk_tokens: int) -> Layout:
        return Layout(capacity_tokens)


@dataclass(frozen=True)
class BoundedCache:
    """Keys and values of the first tokens (say, the prompt's) and of the last ones before a block: NOT exact.

    Memory and time per block do not grow with the stream.  The mel is that of the exact ways until the window has
    left something behind and another one after that; it still does not depend on the pieces the tokens arrive in.
    """

    first_tokens: int
    last_tokens: int = 50
    dtype: torch.dtype | None = None

    def layout(self, capacity_tokens: int, chunk_tokens: int) -> Layout:
        return Layout(self.first_tokens, self.last_tokens + chunk_tokens)


@dataclass(frozen=True)
class Recompute:
    """Nothing but the tokens: every call solves the whole sequence again, as the official code does: exact.

    The cost of a stream grows with the square of its length.  The measure of the other ways.
    """

    dtype: torch.dtype | None = None

    def layout(self, capacity_tokens: int, chunk_tokens: int) -> Layout | None:
        return None


@dataclass
class FlowState(State):
    """Streams in progress, one per row.  A row is all zeros at its start and advances on its own."""

    tokens: Tensor  # (B, capacity) int64: the prompt's, then the generated ones
    known: Tensor  # (B,) int64: tokens there are
    done: Tensor  # (B,) int64: tokens whose frames have been computed
    prompt_frames: Tensor  # (B,) int64: L; only frames after these are handed out
    cond: Tensor  # (B, 2 capacity, M): the prompt's mel, then zeros
    spks: Tensor  # (B, M): projected speaker vectors
    encoder: EncoderState | None  # None: nothing is kept
    steps: list[EstimatorState]  # one per Euler step; behind the row stands the branch: with conditions, without

    @property
    def capacity(self) -> int:
        """Tokens a row can hold, prompt included."""
        return self.tokens.shape[1]

    def put(self, row: int, other: FlowState) -> None:
        """Copy the only row of `other`, of the same memory and at most this capacity, into a fresh `row`."""
        assert len(other.known) == 1, "one row at a time"
        assert other.capacity <= self.capacity, f"{other.capacity} tokens do not fit {self.capacity}"
        for mine, theirs in zip(self.tensors(), other.tensors(), strict=True):
            corner = tuple(slice(size) for size in theirs.shape[1:])
            mine[row][corner] = theirs[0]  # the rest of a greater capacity is not used yet


# --- the stream ----------------------------------------------------------------------------------


class FlowStream:
    """Pure functions of a flow and a `FlowState`; several may share one flow.

    States of one `FlowStream` do not fit another with other weights, memory or number of steps.
    """

    def __init__(self, flow: Flow, memory: Memory | None = None, n_timesteps: int | None = None) -> None:
        """`memory`: None is the full cache.  `n_timesteps`: Euler steps, None: as configured."""
        self.flow, self.memory = flow, memory or FullCache()
        self.n_timesteps = flow.config.n_timesteps if n_timesteps is None else n_timesteps
        self.chunk, self.look_ahead = flow.config.encoder.static_chunk_size, flow.config.pre_lookahead_len  # tokens

    def init_state(self, batch: int, capacity_tokens: int) -> FlowState:
        """`batch` streams that have neither prompt nor tokens yet."""
        config, like = self.flow.config, self.flow.spk_embed_affine_layer.weight.detach()
        counter = torch.zeros(batch, dtype=torch.int64, device=like.device)
        encoder, steps = self._caches(batch, capacity_tokens)
        return FlowState(
            tokens=counter.new_zeros(batch, capacity_tokens),
            known=counter,
            done=counter.clone(),
            prompt_frames=counter.clone(),
            cond=like.new_zeros(batch, FRAMES_PER_TOKEN * capacity_tokens, config.output_size),
            spks=like.new_zeros(batch, config.output_size),
            encoder=encoder,
            steps=steps,
        )

    def _caches(self, batch: int, capacity_tokens: int) -> tuple[EncoderState | None, list[EstimatorState]]:
        layout, dtype, estimator = self._layout(capacity_tokens), self.memory.dtype, self.flow.decoder.estimator
        if layout is None:
            return None, []
        frames = layout.size * FRAMES_PER_TOKEN
        branches = self.flow.decoder.branches
        kept = [estimator.init_state(branches * batch, frames, dtype) for _ in range(self.n_timesteps)]
        steps = [state._map(lambda t: t.unflatten(0, (batch, branches))) for state in kept]
        return self.flow.encoder.init_state(batch, layout.size, dtype), steps

    def _layout(self, capacity_tokens: int) -> Layout | None:
        return self.memory.layout(capacity_tokens, self.chunk)

    def open(
        self, prompt_token: Tensor, prompt_feat: Tensor, embedding: Tensor, capacity_tokens: int | None = None
    ) -> FlowState:
        """The state (one row) after a voice's prompt.

        `prompt_token` [1, P]; `prompt_feat` [1, L, M], usually L = 2P; `embedding` [1, 192].  The blocks that the
        prompt completes, (P - 3) // 25 of them, are computed here.  The state is for `start`, or, with the capacity
        for it, for `push` itself.
        """
        state = self.begin(prompt_token, prompt_feat, embedding, capacity_tokens)
        while self.advance(state, prompt_token.shape[1]):
            pass
        return state

    @torch.no_grad()
    def begin(
        self, prompt_token: Tensor, prompt_feat: Tensor, embedding: Tensor, capacity_tokens: int | None = None
    ) -> FlowState:
        """The state before a voice's prompt, for whoever has other things to do between its blocks; see `advance`."""
        prompt, frames = prompt_token.shape[1], prompt_feat.shape[1]
        needed = max(prompt, -(-frames // FRAMES_PER_TOKEN))
        state = self.init_state(1, needed if capacity_tokens is None else max(needed, capacity_tokens))
        state.tokens[:, :prompt] = prompt_token
        state.cond[:, :frames] = prompt_feat
        state.spks.copy_(self.flow.speaker(embedding))
        state.prompt_frames.fill_(frames)
        # Blocks with frames past the mel wait: those frames are the request's.
        state.known.fill_(min(prompt, frames // FRAMES_PER_TOKEN + self.look_ahead))
        return state

    @torch.no_grad()
    def advance(self, state: FlowState, prompt: int) -> bool:
        """Compute one block of a prompt of so many tokens; False if there was none left: the state is as `open`'s."""
        left = self._ready(int(state.known), int(state.done), final=False) if state.encoder is not None else 0
        if left:
            self._advance(state, [0], [left])
        else:
            state.known.fill_(prompt)
        return left > 0

    def start(self, voices: Sequence[FlowState], capacity_tokens: int) -> FlowState:
        """One row for each voice (or stream to continue), with room for `capacity_tokens`, prompt included.

        The voices are copied and stay as they are.  Raises ParameterError if one does not fit.
        """
        longest = max(voice.capacity for voice in voices)
        if longest > capacity_tokens:
            raise ParameterError(f"a capacity of {capacity_tokens} tokens is too small: a voice brings {longest}")
        state = self.init_state(len(voices), capacity_tokens)
        for row, voice in enumerate(voices):
            state.put(row, voice)
        return state

    @torch.no_grad()
    def push(
        self, state: FlowState, tokens: Sequence[Sequence[int]], final: Sequence[bool] | None = None, blocks: int = 1
    ) -> list[Tensor]:
        """Row b takes `tokens[b]`, possibly none, and advances to the end of its last complete block.

        Returns the new mel frames of each row, (M, any number) float32; none of the prompt's.  `final[b]`: nothing
        follows in this row, so it advances to its end; it then waits for `state.reset` or `put`.  `blocks`: as many
        at a time are computed of a row, where `memory` allows for more than one: less work, but with one the grouping
        of tokens does not change a bit of the result, and with more it is rounding that changes.
        Raises ParameterError if the tokens exceed the capacity; the state is then as before.
        """
        assert len(tokens) == len(state.known), f"{len(tokens)} rows of tokens for {len(state.known)} rows"
        self._append(state, tokens)
        return self._run(state, final or [False] * len(tokens), blocks)

    def finish(self, state: FlowState, tokens: Sequence[Sequence[int]] | None = None) -> list[Tensor]:
        """The end of every row: the frames that remain, still under chunk masks, zeros for the tokens to come."""
        rows = len(state.known)
        return self.push(state, tokens or [()] * rows, [True] * rows)

    def _append(self, state: FlowState, tokens: Sequence[Sequence[int]]) -> None:
        known = state.known.tolist()
        most = max(k + len(t) for k, t in zip(known, tokens, strict=True))
        if most > state.capacity:
            raise ParameterError(
                f"{most} tokens, prompt included, do not fit a stream of {state.capacity}: "
                "start it with a larger capacity"
            )
        for row, (k, new) in enumerate(zip(known, tokens, strict=True)):
            state.tokens[row, k : k + len(new)] = state.tokens.new_tensor(list(new))
            state.known[row] += len(new)

    def _run(self, state: FlowState, final: Sequence[bool], blocks: int) -> list[Tensor]:
        """Compute all blocks that are complete, those of several rows and several of a row together."""
        known, done, prompt = state.known.tolist(), state.done.tolist(), state.prompt_frames.tolist()
        mels: list[list[Tensor]] = [[state.cond.new_zeros(0, state.cond.shape[2], dtype=torch.float32)] for _ in known]
        while True:
            ready = [self._ready(*counts, blocks) for counts in zip(known, done, final, strict=True)]
            rows = [row for row, count in enumerate(ready) if count]
            if not rows:
                return [torch.cat(pieces).mT for pieces in mels]
            if blocks > 1:  # all as many as the one that has the fewest, so that padding is less than a block
                common = -(-min(ready[row] for row in rows) // self.chunk) * self.chunk
                ready = [min(count, common) for count in ready]
            for row, mel in zip(rows, self._advance(state, rows, [ready[row] for row in rows]), strict=True):
                hidden = max(prompt[row] - FRAMES_PER_TOKEN * done[row], 0)
                mels[row].append(mel[hidden : FRAMES_PER_TOKEN * ready[row]])
                done[row] += ready[row]

    def _ready(self, known: int, done: int, final: bool, blocks: int = 1) -> int:
        """Tokens to compute next: blocks once their look-ahead is known, the rest of one at the end."""
        layout = self._layout(0)
        # Without memory, all blocks cost as much as the last one; in a bounded one, each takes the place of another.
        most = known if layout is None else self.chunk if layout.last else self.chunk * blocks
        rest = known - done if final else (known - done - self.look_ahead) // self.chunk * self.chunk
        return max(0, min(most, rest))

    def _advance(self, state: FlowState, rows: list[int], counts: list[int]) -> Tensor:
        """Compute the next `counts` tokens of `rows` -> mel [rows, 2 max(counts), M] float32, padded."""
        layout = self._layout(state.capacity)
        if layout is None:
            mel = self._again(state, rows, counts)
        else:
            mel = self._block(state, torch.tensor(rows).to(state.done), torch.tensor(counts).to(state.done), layout)
        state.done[rows] += torch.tensor(counts).to(state.done)
        return mel

    def _block(self, state: FlowState, rows: Tensor, counts: Tensor, layout: Layout) -> Tensor:
        """Some blocks of each of `rows`, from what is kept."""
        assert state.encoder is not None
        flow, batch, T, F = self.flow, len(state.done), int(counts.max()), FRAMES_PER_TOKEN * int(counts.max())
        done = state.done[rows]
        chunk = FRAMES_PER_TOKEN * self.chunk
        rates = FRAMES_PER_TOKEN * done, FRAMES_PER_TOKEN * counts, F, layout.times(FRAMES_PER_TOKEN), chunk

        token = done[:, None] + torch.arange(T + self.look_ahead, device=rows.device)
        real = (token < state.known[rows, None])[:, :, None]
        x = flow.embed(state.tokens[rows[:, None], token.clamp(max=state.capacity - 1)])
        masks = stream_masks(rows, batch, done, counts, T, layout, self.chunk), stream_masks(rows, batch, *rates)
        mu = flow.encoder_proj(flow.encoder.stream(x, real, *masks, state.encoder))

        frame = rates[0][:, None] + torch.arange(F, device=rows.device)
        cond = state.cond[rows[:, None], frame.clamp(max=state.cond.shape[1] - 1)]
        noise = torch.cat([fixed_noise(F, start) for start in rates[0].tolist()])
        memory = [step._map(lambda t: t.flatten(0, 1)) for step in state.steps]  # views: rows of both branches
        branches = branch_masks(flow.decoder.branches, rows, batch, *rates)
        *_, mel = flow.decoder.states(mu, cond, state.spks[rows], noise, branches, self.n_timesteps, memory)
        return mel

    def _again(self, state: FlowState, rows: list[int], counts: list[int]) -> Tensor:
        """The same frames from the whole sequence, row by row."""
        mels = []
        for row, count in zip(rows, counts, strict=True):
            known, done = int(state.known[row]), int(state.done[row])
            mel = self._whole(state, row, done + count, known)[FRAMES_PER_TOKEN * done :]
            mels.append(mel)
        return torch.nn.utils.rnn.pad_sequence(mels, batch_first=True)

    def _whole(self, state: FlowState, row: int, end: int, known: int) -> Tensor:
        """Mel [2 end, M] of the first `end` tokens of a row, of which `known` are known."""
        flow, frames = self.flow, FRAMES_PER_TOKEN * end
        tokens = state.tokens[row, None]
        ahead = tokens[:, end : end + self.look_ahead] if end < known else None
        mu = flow.encode(tokens[:, :end], streaming=True, lookahead=ahead)
        cond, spks = state.cond[row, None, :frames], state.spks[row, None]
        mel = flow.solve(mu, cond, spks, streaming=True, noise=fixed_noise(frames), n_timesteps=self.n_timesteps)
        return mel[0].mT


def branch_masks(
    branches: int, rows: Tensor, batch: int, starts: Tensor, counts: Tensor, size: int, layout: Layout, chunk: int
) -> Masks:
    """`stream_masks` for the guidance branches: of row r, rows `branches` r and after."""
    all_rows = (branches * rows[:, None] + torch.arange(branches, device=rows.device)).flatten()
    starts, counts = (t.repeat_interleave(branches) for t in (starts, counts))
    return stream_masks(all_rows, branches * batch, starts, counts, size, layout, chunk)
