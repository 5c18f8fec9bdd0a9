"""What streaming costs the vocoder: a window against computing the whole past again, and against one pass.

    python -m cosy.bench.vocoder

A second of audio should cost the same wherever it is in a stream, so the first and the last quarter are timed too.
The weights are random: the work does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from cosy.audio.constants import FRAME_RATE_HZ, HOP_SAMPLES
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
    for piece in mel.split(chunk, 2):
        yield len(stream.push(state, piece)[0])
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


def seconds_by_quarter(method: Method, vocoder: Vocoder, mel: Tensor, chunk: int, look_ahead: int) -> list[float]:
    """Seconds of work for each quarter of the audio.  A piece counts where its samples begin."""
    total, made, spent = HOP_SAMPLES * mel.shape[2], 0, [0.0] * 4
    begin = perf_counter()
    for samples in method(vocoder, mel, chunk, look_ahead):
        if mel.is_cuda:
            torch.cuda.synchronize()
        end = perf_counter()
        spent[min(3, 4 * made // total)] += end - begin
        begin, made = end, made + samples
    assert made == total
    return spent


@torch.inference_mode()
def measure(
    config: VocoderConfig, audio_s: float, chunk: int, look_ahead: int, repeats: int, device: str
) -> dict[str, dict[str, float]]:
    """Method -> seconds of work per second of audio: in all, in the first and in the last quarter (medians)."""
    vocoder = Vocoder(config).fold().to(device)
    mel = torch.randn(1, config.in_channels, round(audio_s * FRAME_RATE_HZ), device=device)
    one_pass(vocoder, mel[:, :, :chunk])  # warm
    runs: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for _ in range(repeats):  # the methods by turns: what else the machine does meets all alike
        for name, method in METHODS.items():
            runs[name].append(seconds_by_quarter(method, vocoder, mel, chunk, look_ahead))
    return {name: _summary(spent, audio_s) for name, spent in runs.items()}


def _summary(runs: list[list[float]], audio_s: float) -> dict[str, float]:
    return {
        "all": median(sum(spent) for spent in runs) / audio_s,
        "first_quarter": median(spent[0] for spent in runs) / (audio_s / 4),
        "last_quarter": median(spent[3] for spent in runs) / (audio_s / 4),
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """A line per method; "one pass" has no quarters."""
    least = figures["one pass"]["all"]
    lines = ["method       s per s of audio   first quarter   last quarter   against one pass"]
    for name, row in figures.items():
        quarters = f"{row['first_quarter']:15.4f}{row['last_quarter']:15.4f}" if name != "one pass" else " " * 30
        lines.append(f"{name:<11}{row['all']:18.4f} {quarters}{row['all'] / least:18.2f}x")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m cosy.bench.vocoder", description=__doc__.splitlines()[0])  # type: ignore[union-attr]
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
