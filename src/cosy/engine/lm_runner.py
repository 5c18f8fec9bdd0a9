"""The language model on many utterances at once: rows of one cache, each with its own plan and its own chance.

Rows that speak advance together, a token each; a row that has more than one unit to read does so alone, in pieces of
any size.  What a voice's utterances begin with is read once and copied from then on.  The tokens of a row do not
depend on its neighbours, up to rounding in the arithmetic.

Source: CosyVoice 2, section 2.3; continuous batching as in Orca (Yu et al. 2022).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cosy.models.qwen2 import KVCache
from cosy.models.sampling import ras_sample
from cosy.models.speech_lm import SpeechLM
from cosy.models.utterance import MORE_TEXT, Ask, MoreText, Plan, Said, Told
from cosy.types import FinishReason, Sampling

STEP_POSITIONS = 256  # by which the cache grows
NOBODY = -1  # in place of a token that was not chosen


@dataclass(eq=False)
class Utterance:
    """A plan on its way.  It asks for `MORE_TEXT`, has units to read, or has ended with a reason."""

    plan: Plan
    sampling: Sampling
    generator: torch.Generator
    shared: tuple[int, ...] = ()  # the units it has in common with others of its voice
    asked: Said = MORE_TEXT
    unread: Sequence[int] = ()
    slot: int = NOBODY  # row of the cache, once it reads
    read: int = 0  # units so far
    reason: FinishReason | None = None

    def __post_init__(self) -> None:
        self.tell(None)

    @property
    def wants_text(self) -> bool:
        return self.reason is None and isinstance(self.asked, MoreText)

    def tell(self, answer: Told) -> None:
        """Send the plan what it asked for, and take what it asks next."""
        try:
            self.asked = self.plan.send(answer)
        except StopIteration as end:
            self.reason, self.unread = end.value, ()
            return
        self.unread = self.asked.feed if isinstance(self.asked, Ask) else ()


@dataclass
class Prefixes:
    """Cache rows after what utterances share; the least recently used go first."""

    most_bytes: int
    kept: OrderedDict[tuple[int, ...], KVCache] = field(default_factory=OrderedDict)

    def get(self, units: tuple[int, ...]) -> KVCache | None:
        if units in self.kept:
            self.kept.move_to_end(units)
        return self.kept.get(units)

    def put(self, units: tuple[int, ...], row: KVCache) -> None:
        self.kept[units] = row
        while len(self.kept) > 1 and self.bytes > self.most_bytes:
            self.kept.popitem(last=False)

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.kept.values())


class LMRunner:
    """Utterances in the rows of one cache; the rows taken are its first.  To be used under `inference_mode`."""

    def __init__(self, model: SpeechLM, rows: int, prefix_bytes: int = 1 << 28) -> None:
        self.model, self.rows = model, rows
        with torch.inference_mode():
            self.state = model.init_state(rows, STEP_POSITIONS)
        self.seated: list[Utterance] = []  # by slot
        self.prefixes = Prefixes(prefix_bytes)

    @property
    def free(self) -> int:
        """Rows that can be taken."""
        return self.rows - len(self.seated)

    @property
    def bytes(self) -> int:
        return self.state.bytes + self.prefixes.bytes

    def open(self, utterance: Utterance) -> None:
        """Give an utterance a row."""
        assert self.free, "no row is free"
        utterance.slot, utterance.read = len(self.seated), 0
        self.seated.append(utterance)
        self.state.length[utterance.slot] = 0

    def close(self, utterance: Utterance) -> None:
        """Free the row; without effect if it has none.  The last row moves into the gap."""
        gap, utterance.slot = utterance.slot, NOBODY
        if gap == NOBODY:
            return
        mover = self.seated.pop()
        if mover is utterance:
            return
        used = int(self.state.length[len(self.seated)])
        copy_row(self.state.rows(len(self.seated), len(self.seated) + 1), self.state.rows(gap, gap + 1), used)
        self.seated[gap], mover.slot = mover, gap

    def prefill(self, utterance: Utterance, most: int) -> int:
        """Read up to `most` units, but never past what is asked for; returns the token if that was all, or NOBODY."""
        self._begin(utterance)
        shared = len(utterance.shared) - utterance.read
        take = min(most, shared) if shared > 0 else most
        feed, utterance.unread = utterance.unread[:take], utterance.unread[take:]
        self._make_room(utterance.read + len(feed))
        row = self.state.rows(utterance.slot, utterance.slot + 1)
        log_probs = self.model.step(self.model.embed(feed), row)
        utterance.read += len(feed)
        if len(feed) == shared:
            self.prefixes.put(utterance.shared, snapshot(row, utterance.read))
        if utterance.unread:
            return NOBODY
        return self._choose(log_probs, [utterance])[0]

    def _begin(self, utterance: Utterance) -> None:
        """At its start: skip what has been read for others before."""
        if utterance.read or not utterance.shared:
            return
        units = utterance.shared
        if tuple(utterance.unread[: len(units)]) != units or len(utterance.unread) == len(units):
            utterance.shared = ()  # it goes another way after all
            return
        kept = self.prefixes.get(units)
        if kept is not None:
            self._make_room(len(units))
            copy_row(kept, self.state.rows(utterance.slot, utterance.slot + 1), len(units))
            utterance.read, utterance.unread = len(units), utterance.unread[len(units) :]

    def step(self, utterances: Sequence[Utterance]) -> list[int]:
        """Each reads its one unit and chooses a token; the plans are told.  Returns the tokens."""
        assert all(len(u.unread) == 1 for u in utterances), "rows in step read one unit each"
        rows = 1 + max(u.slot for u in utterances)
        self._make_room(1 + max(u.read for u in utterances))
        by_slot = {u.slot: u for u in utterances}
        units = [by_slot.get(slot, utterances[0]).unread[0] for slot in range(rows)]
        embeddings = self.model.embed(units).transpose(0, 1)  # (1, B, D) -> (B, 1, D)
        lengths = None
        if len(by_slot) < rows:
            lengths = torch.tensor([slot in by_slot for slot in range(rows)], device=self.state.length.device).long()
        log_probs = self.model.step(embeddings, self.state.rows(0, rows), lengths)
        if lengths is not None:
            log_probs = log_probs[[u.slot for u in utterances]]
        else:
            utterances = [by_slot[slot] for slot in range(rows)]
        for utterance in utterances:
            utterance.read, utterance.unread = utterance.read + 1, ()
        tokens = dict(zip(utterances, self._choose(log_probs, utterances), strict=True))
        return [tokens[u] for u in by_slot.values()]

    def _choose(self, log_probs: Tensor, utterances: Sequence[Utterance]) -> list[int]:
        """A token for each row of `log_probs` (B, C); the plans are told."""
        asks = [u.asked for u in utterances if isinstance(u.asked, Ask)]
        assert len(asks) == len(utterances), "a row that waits for text cannot choose"
        eos = self.model.eos_id
        bans = [[eos + i in ask.banned for i in range(self.model.classes - eos)] for ask in asks]
        log_probs[:, eos:].masked_fill_(torch.tensor(bans, device=log_probs.device), -torch.inf)
        tokens = [NOBODY if ask.forced is None else ask.forced for ask in asks]
        for sampling in {u.sampling for u in utterances}:
            rows = [i for i, u in enumerate(utterances) if u.sampling == sampling and asks[i].forced is None]
            for row, token in zip(rows, self._sample(log_probs, rows, sampling, utterances, asks), strict=True):
                tokens[row] = token
        for utterance, token in zip(utterances, tokens, strict=True):
            utterance.tell(token)
        return tokens

    @staticmethod
    def _sample(
        log_probs: Tensor, rows: list[int], sampling: Sampling, utterances: Sequence[Utterance], asks: Sequence[Ask]
    ) -> list[int]:
        if not rows:
            return []
        window = sampling.window
        recent = []
        for row in rows:
            history = asks[row].history
            last = list(history[max(0, len(history) - window) :])
            recent.append([NOBODY] * (window - len(last)) + last)
        scores = log_probs if len(rows) == len(log_probs) else log_probs[rows]
        past = torch.tensor(recent, dtype=torch.long, device=scores.device)
        return ras_sample(scores, past, sampling, [utterances[row].generator for row in rows]).tolist()

    def _make_room(self, positions: int) -> None:
        if positions > self.state.capacity:
            steps = -(-max(positions, 3 * self.state.capacity // 2) // STEP_POSITIONS)
            self.state = self.state.grown(min(steps * STEP_POSITIONS, self.model.known.positions))


def copy_row(source: KVCache, target: KVCache, positions: int) -> None:
    """Copy the first positions of one row into another."""
    for mine, theirs in zip([*target.k, *target.v], [*source.k, *source.v], strict=True):
        mine[:, :, :positions] = theirs[:, :, :positions]
    target.length.fill_(positions)


def snapshot(row: KVCache, positions: int) -> KVCache:
    """A copy of one row, no larger than it must be."""
    length = row.length.clone()
    return KVCache([k[:, :, :positions].clone() for k in row.k], [v[:, :, :positions].clone() for v in row.v], length)
