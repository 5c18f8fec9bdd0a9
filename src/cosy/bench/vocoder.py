"""What streaming costs the vocoder: a window against computing the whole past again, and against one pass.

    python -m cosy.bench.vocoder

A second of audio should cost the same wherever it is in a stream, so the first and the last quarter are timed too.
The weights are random: the work does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from time import perf_counter
from typing import NamedTuple

import torch
from torch import Tensor

from cosy.audio.constants import FRAME_RATE_HZ, HOP_SAMPLES, SAMPLE_RATE_HZ
from cosy.config import VocoderConfig
from cosy.models.source import harmonic_noise
from cosy.models.vocoder import Vocoder
from cosy.models.vocoder_stream import CONTEXT, EXACT, VocoderStream

BUNDLED = VocoderConfig(base_channels=64, f0_cond_channels=128)
OFFICIAL = VocoderConfig()

Method = Callable[[Vocoder, Tensor, int, int], Iterator[int]]
"""(network, mel (1, 80, T), frames a piece, look-ahead in frames) -> numbers of samples, as pieces are made."""


def window(vocoder: Vocoder, mel: Tensor, chunk: int, look_ahead: int) -> Iterator[int]:
    """`VocoderStream`: the new frames and their context."""
    stream = VocoderStream(vocoder, look_ahead)
    state = stream.init_state(1)
    for begin in range(0, mel.shape[2], chunk):
        yield len(stream.push(state, mel[:, :, begin : begin + chunk])[0])
    yield len(stream.finish(state)[0])


def whole_past(vocoder: Vocoder, mel: Tensor, chunk: int, look_ahead: int) -> Iterator[int]:
    """All frames so far, for every piece."""
    frames, done = mel.shape[2], 0
    for known in [*range(chunk, frames, chunk), frames]:
        end = frames if known == frames else max(0, known - look_ahead)
        yield len(one_pass(vocoder, mel[:, :, :known])[HOP_SAMPLES * done : HOP_SAMPLES * end])
        done = end


def at_once(vocoder: Vocoder, mel: Tensor, chunk: int, look_ahead: int) -> Iterator[int]:
    """One pass at the end: the least work."""
    yield len(one_pass(vocoder, mel))


def one_pass(vocoder: Vocoder, mel: Tensor) -> Tensor:
    wave: Tensor = vocoder(mel, harmonic_noise(0, 0, mel.shape[2] * HOP_SAMPLES))[0]
    return wave[0]


METHODS: dict[str, Method] = {"window": window, "whole past": whole_past, "one pass": at_once}


class Piece(NamedTuple):
    """Some audio and the work it took."""

    begin_s: float
    audio_s: float
    work_s: float


def timed(pieces: Iterator[int], synchronize: Callable[[], None]) -> list[Piece]:
    """The pieces that samples come in, each with its time."""
    found: list[Piece] = []
    made, begin = 0, perf_counter()
    for samples in pieces:
        synchronize()
        end = perf_counter()
        found.append(Piece(made / SAMPLE_RATE_HZ, samples / SAMPLE_RATE_HZ, end - begin))
        begin, made = end, made + samples
    return found


def rate(pieces: Sequence[Piece]) -> float:
    """Seconds of work per second of audio."""
    return sum(piece.work_s for piece in pieces) / sum(piece.audio_s for piece in pieces)


@torch.inference_mode()
def measure(
    config: VocoderConfig, audio_s: float, chunk: int, look_ahead: int, repeats: int, device: str
) -> dict[str, dict[str, float]]:
    """Method -> seconds of work per second of audio: in all, in the first and in the last quarter (medians)."""
    vocoder = Vocoder(config).fold().to(device)
    mel = torch.randn(1, config.in_channels, round(audio_s * FRAME_RATE_HZ), device=device)
    synchronize = torch.cuda.synchronize if mel.is_cuda else lambda: None
    one_pass(vocoder, mel[:, :, :chunk])  # warm
    runs: dict[str, list[list[Piece]]] = {name: [] for name in METHODS}
    for _ in range(repeats):  # the methods by turns: what else the machine does meets all alike
        for name, method in METHODS.items():
            runs[name].append(timed(method(vocoder, mel, chunk, look_ahead), synchronize))
    return {name: _summary(pieces, audio_s) for name, pieces in runs.items()}


def _summary(runs: list[list[Piece]], audio_s: float) -> dict[str, float]:
    rows = {"all": median(rate(run) for run in runs)}
    if len(runs[0]) > 1:
        early, late = audio_s / 4, 3 * audio_s / 4
        rows["first_quarter"] = median(rate([piece for piece in run if piece.begin_s < early]) for run in runs)
        rows["last_quarter"] = median(
            rate([piece for piece in run if piece.begin_s + piece.audio_s > late]) for run in runs
        )
    return rows


def table(figures: dict[str, dict[str, float]]) -> str:
    """A line per method; "one pass" has no quarters."""
    least = figures["one pass"]["all"]
    lines = ["method       s per s of audio   first quarter   last quarter   against one pass"]
    for name, row in figures.items():
        quarters = f"{row['first_quarter']:15.4f}{row['last_quarter']:15.4f}" if "last_quarter" in row else " " * 30
        lines.append(f"{name:<11}{row['all']:18.4f} {quarters}{row['all'] / least:18.2f}x")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m cosy.bench.vocoder", description="Time of the vocoder in a stream."
    )
    parser.add_argument("--official", action="store_true", help="the official size instead of the bundled one")
    parser.add_argument("--seconds", type=float, default=12.0, help="of audio (default: %(default)s)")
    parser.add_argument("--chunk", type=int, default=50, help="mel frames a piece (default: %(default)s)")
    parser.add_argument("--look-ahead", type=int, default=EXACT, help="mel frames (default: %(default)s, exact)")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the median counts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: %(default)s)")
    options = parser.parse_args()

    config = OFFICIAL if options.official else BUNDLED
    figures = measure(config, options.seconds, options.chunk, options.look_ahead, options.repeats, options.device)
    context = CONTEXT + min(CONTEXT, options.look_ahead)
    facts = {
        "bench": "vocoder",
        "base_channels": config.base_channels,
        "audio_s": options.seconds,
        "chunk_frames": options.chunk,
        "look_ahead_frames": options.look_ahead,
        "window_overhead_by_counting": (options.chunk + context) / options.chunk,
        "device": torch.cuda.get_device_name() if options.device != "cpu" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    print(table(figures))
    print(json.dumps({**facts, "seconds_per_audio_second": figures}))


if __name__ == "__main__":
    main()
