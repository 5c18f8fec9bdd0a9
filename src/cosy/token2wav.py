"""From speech tokens to audio, so that how a stream is cut cannot be heard.

The flow runs under chunk masks to the end, a mel frame is used once its block is complete, and samples are handed
out once no later frame can change them.  Phases and noise belong to positions in the utterance.  So the pieces of
a stream join to exactly what one pass over the whole utterance gives (up to rounding of the arithmetic).

The vocoder works on a window.  The flow by default computes the past again at every cut: simple, and the measure of
the faster way (`models.flow_stream`), which an `ExactStream` can be given.  The behaviour of CosyVoice 2 itself is
in `token2wav_official`.

Letters: P prompt tokens, T mel frames, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from cosy.audio.constants import HOP_SAMPLES
from cosy.models.flow import Flow
from cosy.models.flow_stream import FlowState, FlowStream, Recompute
from cosy.models.vocoder import Vocoder, harmonic_noise
from cosy.models.vocoder_stream import VocoderStream
from cosy.streaming_plan import LOOK_AHEAD, MOST_HOP, cuts
from cosy.timing import Stopwatch
from cosy.voices.conditions import FlowPrompt

FinalChunk = Literal["streaming", "official"]
"""Attention of the last flow call: chunk masks like all calls before it, or the whole utterance at once."""

Noise = Callable[[int, int], Tensor]
"""(first sample of the utterance, number of samples) -> standard normal noise (1, samples, harmonics)."""

SILENT_TOKENS = frozenset({1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323})  # silence and breath, CosyVoice 3


class AudioStream(Protocol):
    """One utterance on its way from tokens to samples."""

    def cuts(self) -> Iterator[int]:
        """Numbers of tokens after which a piece of audio is worth making, without the look-ahead."""
        ...

    def push(self, tokens: Sequence[int]) -> Tensor:
        """Take further tokens; the samples (n,) that are final now, possibly none."""
        ...

    def finish(self, tokens: Sequence[int] = ()) -> Tensor:
        """Take the last tokens; the remaining samples (n,)."""
        ...


def seeded_noise(seed: int, harmonics: int, start_sample: int = 0) -> Noise:
    """Noise that a seed and the position in the request determine; the utterance begins at `start_sample`."""
    return lambda first, samples: harmonic_noise(seed, start_sample + first, samples, harmonics)


class Piece(NamedTuple):
    """Some audio of an utterance."""

    samples: Tensor  # (n,)
    final: bool


def in_pieces(tokens: Iterable[int], stream: AudioStream, at_once: bool = False) -> Iterator[Piece]:
    """Audio of a token stream, each piece as soon as its tokens are there; `at_once`: all of it at the end."""
    piece: list[int] = []
    plan = stream.cuts()
    needed = next(plan) + LOOK_AHEAD
    for known, token in enumerate(tokens, 1):
        piece.append(token)
        if known == needed and not at_once:
            yield Piece(stream.push(piece), final=False)
            piece, needed = [], next(plan) + LOOK_AHEAD
    yield Piece(stream.finish(piece), final=True)


class ExactStream:
    """The default way from tokens to samples; `finish` alone is the one-shot computation."""

    def __init__(
        self,
        flow: Flow,
        vocoder: Vocoder,
        prompt: FlowPrompt,
        noise: Noise,
        *,
        speed: float = 1.0,
        final_chunk: FinalChunk = "streaming",
        clock: Stopwatch | None = None,
        stream: FlowStream | None = None,
        voice: FlowState | None = None,
    ) -> None:
        """`stream`, `voice`: see `MelStream`."""
        self.mels = MelStream(flow, prompt, final_chunk, stream, voice)
        self.waves = WaveStream(vocoder, noise, speed)
        self.clock = clock or Stopwatch()

    def cuts(self) -> Iterator[int]:
        return cuts(self.mels.prompt.tokens.shape[1])

    def push(self, tokens: Sequence[int]) -> Tensor:
        with self.clock.stage("flow"):
            mel = self.mels.push(tokens)
        with self.clock.stage("vocoder"):
            return self.waves.push(mel)

    def finish(self, tokens: Sequence[int] = ()) -> Tensor:
        with self.clock.stage("flow"):
            mel = self.mels.finish(tokens)
        with self.clock.stage("vocoder"):
            return self.waves.push(mel, final=True)


class MelStream:
    """Tokens to mel frames (1, 80, T), each handed out once, when its block of the flow is complete."""

    def __init__(
        self,
        flow: Flow,
        prompt: FlowPrompt,
        final_chunk: FinalChunk = "streaming",
        stream: FlowStream | None = None,
        voice: FlowState | None = None,
    ) -> None:
        """`stream`: how the flow keeps the past, None: it computes it again at each cut.

        `voice`: what `stream.open` made of the prompt; it stays as it is, so one is enough for all requests of a voice.
        """
        self.flow, self.prompt, self.final_chunk = flow, prompt, final_chunk
        self.stream = stream or FlowStream(flow, Recompute())
        room = prompt.tokens.shape[1] + MOST_HOP
        self.state = self.stream.start([voice], room) if voice else self.stream.open(*prompt, room)
        self.tokens: list[int] = []
        self.frames = 0  # handed out

    def push(self, tokens: Sequence[int]) -> Tensor:
        self._take(tokens)
        return self._fresh(self.stream.push(self.state, [tokens])[0][None])

    def finish(self, tokens: Sequence[int] = ()) -> Tensor:
        self._take(tokens)
        if not self.tokens:
            return torch.zeros(1, self.flow.config.output_size, 0, device=self.prompt.mel.device)
        if self.final_chunk == "official":
            return self._fresh(solve(self.flow, self.tokens, self.prompt, streaming=False)[:, :, self.frames :])
        return self._fresh(self.stream.finish(self.state, [tokens])[0][None])

    def _take(self, tokens: Sequence[int]) -> None:
        self.tokens += tokens
        needed = self.prompt.tokens.shape[1] + len(self.tokens)
        if needed > self.state.capacity:
            self.state = self.stream.start([self.state], 2 * needed)

    def _fresh(self, mel: Tensor) -> Tensor:
        self.frames += mel.shape[2]
        return mel


def solve(flow: Flow, tokens: Sequence[int], prompt: FlowPrompt, *, streaming: bool, final: bool = True) -> Tensor:
    """Mel (1, 80, T) of tokens after a prompt; unless `final`, the last three tokens only tell what follows."""
    device = prompt.tokens.device
    generated = torch.tensor([list(tokens)], dtype=torch.int64, device=device)
    return flow.inference(generated, prompt.tokens, prompt.mel, prompt.embedding, streaming=streaming, finalize=final)


class WaveStream:
    """Mel frames to samples, for any way the frames are cut, at the same cost for each."""

    def __init__(self, vocoder: Vocoder, noise: Noise, speed: float = 1.0) -> None:
        self.stream = VocoderStream(vocoder, noise=lambda seed, first, samples, harmonics: noise(first, samples))
        self.state = self.stream.init_state(1)
        self.state.start(0, speed=speed)

    def push(self, mel: Tensor, final: bool = False) -> Tensor:
        """Take mel frames (1, 80, any number); the samples (n,) that no later frame can change, at the end all."""
        return self.stream.push(self.state, mel, final)[0]


def vocode(vocoder: Vocoder, mel: Tensor, noise: Noise) -> Tensor:
    """Mel (1, 80, T) of an utterance from its start -> samples (480 T,)."""
    wave: Tensor = vocoder(mel, noise(0, mel.shape[2] * HOP_SAMPLES))[0]
    return wave[0]


def without_long_silences(
    tokens: Iterable[int], silent: frozenset[int] = SILENT_TOKENS, most: int = 5
) -> Iterator[int]:
    """Drop silent tokens beyond `most` in a row, as CosyVoice 3 does between language model and flow."""
    run = 0
    for token in tokens:
        run = run + 1 if token in silent else 0
        if run <= most:
            yield token
