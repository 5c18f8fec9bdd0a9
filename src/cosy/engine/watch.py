"""Has the language model lost its way?  Told from the tokens alone, while they come.

A loop: the last tokens repeat with one period over and over.  Silence: nothing but silent tokens for seconds.  An
early stop: far fewer tokens than the text needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cosy.types import FinishReason


@dataclass(frozen=True)
class Alarms:
    """When to call it lost.  Counts are speech tokens, 25 a second."""

    silent: frozenset[int] = frozenset()  # tokens of silence, which depend on the tokenizer; none: no alarm
    silent_run: int = 100
    longest_period: int = 50
    repeats: int = 4  # times that a period must come again
    shortest_loop: int = 75  # tokens that repeat, whatever the period
    fewest_per_text_token: float = 2.5  # below it an end is early; the model cannot end before 2.0
    words: int = 4  # text tokens below which an end is never early


@dataclass
class Watch:
    """One utterance under observation."""

    alarms: Alarms
    tokens: list[int] = field(default_factory=list)
    _silent: int = 0
    _runs: list[int] = field(default_factory=list)  # by period - 1: how many tokens have equalled the one before it

    def hear(self, token: int) -> FinishReason | None:
        """Take a token; a reason to stop here, or None."""
        alarms, tokens = self.alarms, self.tokens
        known, runs = len(tokens), self._runs
        if known and len(runs) < alarms.longest_period:
            runs.append(0)
        looped = False
        for i in range(len(runs)):
            if tokens[known - i - 1] == token:
                runs[i] += 1
                looped = looped or runs[i] >= max(alarms.shortest_loop, alarms.repeats * (i + 1))
            else:
                runs[i] = 0
        tokens.append(token)
        self._silent = self._silent + 1 if token in alarms.silent else 0
        if self._silent >= alarms.silent_run:
            return FinishReason.SILENCE
        return FinishReason.REPETITION if looped else None

    def verdict(self, reason: FinishReason, text_tokens: int) -> FinishReason:
        """The reason to report for an utterance that has ended of itself."""
        enough = self.alarms.fewest_per_text_token * text_tokens
        early = text_tokens >= self.alarms.words and len(self.tokens) < enough
        return FinishReason.EARLY_STOP if reason is FinishReason.STOP and early else reason


SUSPECT = (FinishReason.LENGTH, FinishReason.EARLY_STOP, FinishReason.REPETITION, FinishReason.SILENCE)
