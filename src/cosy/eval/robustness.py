"""How often does it go wrong?  Many trial sentences with the official sampler, and what became of each.

    early stop   far fewer speech tokens than the text needs, by the engine's watch; or less than half the expected time
    repetition   tokens that go round in a loop, by the same watch; or more than twice the expected time
    silence      nothing but silent tokens for 4 s
    length       the language model was stopped by the limit and not by its end token
    failure      an exception

The expected time comes from the run itself: 0.4 s and the letters at the run's median pace, which the report names, so
that a voice may be quick or slow.  A run in which most went wrong would have a wrong pace: look at it.

Rows keep what was spoken, not the verdicts: they are made when the report is.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from cosy.audio.constants import TOKEN_RATE_HZ
from cosy.engine.watch import Alarms, Watch
from cosy.errors import CheckpointError, MissingDependencyError
from cosy.eval.figures import Share
from cosy.eval.journal import Journal, Row
from cosy.eval.trials import Sentence
from cosy.text.unicode import HAN
from cosy.types import FinishReason

if TYPE_CHECKING:
    from cosy.api import Cosy
    from cosy.voices.voice import Voice

LEAD_S = 0.4  # of every utterance, whatever its length
TOO_SHORT, TOO_LONG = 0.5, 2.0  # of the expected time
LETTERS_PER_HANZI = 3
PACED_LETTERS = 20  # from here on a trial tells the pace
WRONG = ("early_stop", "repetition", "silence", "length", "failure")
BANDS = ((1, 3), (4, 10), (11, 30), (31, 60))  # words
GOAL = 0.01

REASONS = {
    FinishReason.EARLY_STOP: "early_stop",
    FinishReason.REPETITION: "repetition",
    FinishReason.SILENCE: "silence",
    FinishReason.LENGTH: "length",
}


@dataclass(frozen=True)
class Spoken:
    """One segment of a trial."""

    text: str  # as the model read it, numbers written out
    text_tokens: int
    tokens: tuple[int, ...]  # speech, 25 a second
    reason: FinishReason  # STOP or LENGTH


Speaks = Callable[[str, int], Iterable[Spoken]]
"""Text and seed -> its segments."""


@dataclass(frozen=True)
class Trial:
    """What became of one sentence; `failure` is the exception's text."""

    index: int
    words: int
    text: str
    segments: tuple[Spoken, ...]
    failure: str = ""

    @property
    def seconds(self) -> float:
        return sum(len(segment.tokens) for segment in self.segments) / TOKEN_RATE_HZ

    @property
    def letters(self) -> int:
        return sum(letters(segment.text) for segment in self.segments)

    @classmethod
    def of(cls, row: Row) -> Trial:
        """From a journal's row."""
        segments = tuple(
            Spoken(s["text"], s["text_tokens"], tuple(s["tokens"]), FinishReason(s["reason"])) for s in row["segments"]
        )
        return cls(**{**row, "segments": segments})


def letters(text: str) -> int:
    """Letters and digits; a hanzi, which is a syllable, counts three."""
    return sum(char.isalnum() for char in text) + (LETTERS_PER_HANZI - 1) * len(HAN.findall(text))


def run(sentences: Sequence[Sentence], speaks: Speaks, journal: Journal, seed: int = 0) -> Iterator[Trial]:
    """Every sentence's trial, those of the journal first; sentence i is spoken with `seed + i`."""
    yield from map(Trial.of, journal.rows)
    for index in range(len(journal.rows), len(sentences)):
        trial = _try(index, sentences[index], speaks, seed + index)
        journal.append(asdict(trial))
        yield trial


def _try(index: int, sentence: Sentence, speaks: Speaks, seed: int) -> Trial:
    text, words = sentence
    segments: list[Spoken] = []
    try:
        segments.extend(speaks(text, seed))
    except (CheckpointError, MissingDependencyError):  # nothing could be spoken, whatever the sentence
        raise
    except Exception as error:  # whatever it is, it is counted
        return Trial(index, words, text, tuple(segments), f"{type(error).__name__}: {error}")
    return Trial(index, words, text, tuple(segments))


# --- verdicts ---------------------------------------------------------------------------------------------------


def pace(trials: Iterable[Trial]) -> float:
    """Letters a second, the median over trials that are long enough and did not fail; nan if there are none."""
    paced = [t.letters / t.seconds for t in trials if t.letters >= PACED_LETTERS and t.seconds and not t.failure]
    return median(paced) if paced else float("nan")


def verdict(trial: Trial, letters_per_s: float, alarms: Alarms) -> str:
    """One of WRONG, or empty for a sentence that was spoken from its beginning to its end."""
    if trial.failure:
        return "failure"
    for segment in trial.segments:
        reason = _watched(segment, alarms)
        if reason in REASONS:
            return REASONS[reason]
    expected_s = LEAD_S + trial.letters / letters_per_s
    if trial.seconds < TOO_SHORT * expected_s:
        return "early_stop"
    return "repetition" if trial.seconds > TOO_LONG * expected_s else ""


def _watched(segment: Spoken, alarms: Alarms) -> FinishReason:
    watch = Watch(alarms)
    for token in segment.tokens:
        alarm = watch.hear(token)
        if alarm is not None:
            return alarm
    return watch.verdict(segment.reason, segment.text_tokens)


@dataclass(frozen=True)
class Robustness:
    """Shares of trials that went wrong, by kind and by length."""

    trials: int
    letters_per_s: float
    audio_s: float
    shares: dict[str, Share]  # by kind, and "any"
    bands: dict[str, Share]  # by words: any
    wrong: list[dict[str, Any]]  # index, kind, seconds, text, failure

    @classmethod
    def over(cls, trials: Sequence[Trial], alarms: Alarms) -> Robustness:
        """Raises ValueError without trials."""
        speed = pace(trials)
        verdicts = [verdict(trial, speed, alarms) for trial in trials]
        counts, n = Counter(verdicts), len(trials)
        shares = {"any": Share(n - counts[""], n)} | {kind: Share(counts[kind], n) for kind in WRONG}
        bands = {}
        for low, high in BANDS:
            inside = [bool(v) for t, v in zip(trials, verdicts, strict=True) if low <= t.words <= high]
            if inside:
                bands[f"{low} to {high}"] = Share(sum(inside), len(inside))
        wrong = [
            {"index": t.index, "kind": v, "seconds": t.seconds, "text": t.text, "failure": t.failure}
            for t, v in zip(trials, verdicts, strict=True)
            if v
        ]
        return cls(n, speed, sum(t.seconds for t in trials), shares, bands, wrong)

    def as_data(self) -> dict[str, Any]:
        return {
            "trials": self.trials,
            "letters_per_s": self.letters_per_s if math.isfinite(self.letters_per_s) else None,
            "audio_s": self.audio_s,
            "shares": {name: share.as_data() for name, share in self.shares.items()},
            "by_words": {name: share.as_data() for name, share in self.bands.items()},
            "wrong": self.wrong,
        }

    def markdown(self) -> str:
        """Two tables and the list of what went wrong."""
        lines = [
            f"{self.trials} sentences, {self.audio_s:.0f} s of speech, {self.letters_per_s:.1f} letters a second "
            f"(the median pace, from which expected times come). Goal: any under {100 * GOAL:.0f} %.",
            "",
            "| what went wrong | share | at most (95 %) | count |",
            "| --- | ---: | ---: | ---: |",
            *(_line(name.replace("_", " "), share) for name, share in self.shares.items()),
            "",
            "| words | anything wrong | at most (95 %) | count |",
            "| --- | ---: | ---: | ---: |",
            *(_line(name, share) for name, share in self.bands.items()),
        ]
        if self.wrong:
            lines += ["", *(f"- {w['index']}, {w['kind']}, {w['seconds']:.1f} s: {_shown(w)}" for w in self.wrong)]
        return "\n".join(lines) + "\n"


def _line(name: str, share: Share) -> str:
    return f"| {name} | {share} | {100 * share.at_most:.1f} % | {share.count} of {share.of} |"


def _shown(wrong: dict[str, Any]) -> str:
    return f"{wrong['text']} ({wrong['failure']})" if wrong["failure"] else str(wrong["text"])


# --- speakers ---------------------------------------------------------------------------------------------------


def whole_chain(cosy: Cosy, voice: Voice) -> Speaks:
    """Text to audio; the audio itself is not looked at."""

    def speaks(text: str, seed: int) -> Iterator[Spoken]:
        for chunk in cosy.stream(text, voice, seed=seed, whole_segments=True):
            if chunk.finish_reason is not None:
                details = chunk.details
                yield Spoken(chunk.text, details["text_tokens"], details["tokens"], chunk.finish_reason)

    return speaks


def language_model_alone(cosy: Cosy, voice: Voice) -> Speaks:
    """Text to speech tokens, the same as the whole chain's; failures of the flow and the vocoder stay unseen."""
    import torch

    from cosy.models.sampling import RasSampler
    from cosy.models.speech_lm import collect, generate
    from cosy.voices.conditions import conditions

    model = cosy.model
    given = conditions(voice, model.text_tokenizer)

    @torch.inference_mode()
    def speaks(text: str, seed: int) -> list[Spoken]:
        sampler = RasSampler(model.config.llm.sampling, torch.Generator().manual_seed(seed))
        spoken = []
        for segment in cosy.synthesizer.frontend.segments(text):
            told = generate(model.llm, segment.ids, given.prompt_text, given.prompt_speech, sampler=sampler)
            tokens, reason = collect(told)
            spoken.append(Spoken(segment.text, segment.tokens, tuple(tokens), reason))
        return spoken

    return speaks
