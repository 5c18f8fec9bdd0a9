"""The official way of computing, on our networks, to compare with.

One stream; the language model speaks token by token; every chunk solves the flow for the whole prefix again, prompt
included (hops of 25 tokens that double up to 100, the last call with full attention); the vocoder's pieces are
cross-faded.  Source: CosyVoice 2, sections 2.3 to 2.6.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter, process_time

import torch
from torch import Tensor

from cosy.bench.figures import Arrival, Hearing
from cosy.bench.listen import Clock
from cosy.bench.subject import Subject, plain_model
from cosy.checkpoint.load import LoadedModel
from cosy.models.sampling import RasSampler, Sampler
from cosy.models.speech_lm import SpeechTokens, generate
from cosy.timing import Stopwatch
from cosy.token2wav import in_pieces, seeded_noise
from cosy.token2wav_official import OfficialStream
from cosy.voices.conditions import conditions

WARM_UP_TOKENS = 5


@dataclass
class Official:
    """Speaks the subject's text as CosyVoice 2 does; see the head of this file."""

    subject: Subject
    model: LoadedModel  # float32

    @torch.inference_mode()
    def hear(self, number: int, counts: Sequence[int], clock: Clock = perf_counter) -> Hearing:
        """The request of that number, each of its segments as many speech tokens long as `counts` says.

        Time runs, as for an engine, from the text to the last sample on the host; the voice has been prepared.
        """
        subject, model, hearing, cpu_s = self.subject, self.model, Hearing(clock()), process_time()
        seed = subject.choice.seed + number
        given = conditions(subject.voice, subject.frontend.tokenizer)
        prompt = given.flow.to(model.device)
        sampler = RasSampler(model.config.llm.sampling, torch.Generator().manual_seed(seed))
        start, stopwatch = 0, Stopwatch()
        for segment, count in zip(subject.segments(), counts, strict=False):
            exactly = Exactly(count, sampler, model.llm.eos_id)
            tokens = generate(model.llm, segment.ids, given.prompt_text, given.prompt_speech, sampler=exactly)
            noise = seeded_noise(seed, model.hift.m_source.harmonics, start)
            stream = OfficialStream(model.flow, model.hift, prompt, noise, clock=stopwatch)
            start += self._utter(hearing, stopwatch.timed("lm", tokens), stream, stopwatch, clock)
        hearing.ended_s, hearing.cpu_s = clock(), process_time() - cpu_s
        return hearing

    @staticmethod
    def _utter(
        hearing: Hearing, tokens: SpeechTokens, stream: OfficialStream, stopwatch: Stopwatch, clock: Clock
    ) -> int:
        """Note the audio of one segment; returns its samples."""
        samples = 0
        for piece in in_pieces(tokens, stream):
            wave = piece.samples.float().cpu().numpy()  # waits for the device
            work = stopwatch.take()
            acoustics = sum(seconds for stage, seconds in work.items() if stage != "lm")
            hearing.arrivals.append(Arrival(clock(), len(wave), {"lm": work.get("lm", 0.0), "acoustics": acoustics}))
            samples += len(wave)
        hearing.tokens.append(len(stream.tokens))
        return samples


class Exactly:
    """A sampler whose utterance ends after so many tokens, neither before nor later."""

    def __init__(self, count: int, sampler: Sampler, eos: int) -> None:
        self.count, self.sampler, self.eos = count, sampler, eos

    def __call__(self, log_probs: Tensor, history: Sequence[int]) -> int:
        if len(history) >= self.count:
            return self.eos
        log_probs[self.eos] = -torch.inf
        return self.sampler(log_probs, history)


def official(subject: Subject) -> Official:
    """Loads the networks in float32, unless they are in that already; a short utterance warms them up."""
    spoken = Official(subject, plain_model(subject))
    spoken.hear(0, [WARM_UP_TOKENS])
    return spoken
