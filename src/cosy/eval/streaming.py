"""What streaming costs in sound: the same sentence and seed, whole and in chunks.

The two differ by what a chunk cannot see of the future.  SNR and mel distance say by how much, word errors whether it
matters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch

from cosy.audio.constants import SAMPLE_RATE_HZ
from cosy.audio.features import mel_spectrogram
from cosy.audio.resample import resample
from cosy.eval.recognisers import Ear
from cosy.eval.takes import Sound
from cosy.types import Samples


class SpeaksBothWays(Protocol):
    """The system under test; the same seed is the same speech."""

    def whole(self, text: str, seed: int) -> Sound:
        """All at once."""
        ...

    def streamed(self, text: str, seed: int) -> Sound:
        """The joined chunks of a stream."""
        ...


@dataclass(frozen=True)
class Difference:
    """Of one sentence."""

    text: str
    seconds: float
    signal: float  # energy of the whole one over the shorter length
    noise: float  # energy of the difference
    mel_l1: float  # mean absolute difference of log-mel (natural logarithm)
    samples_more: int  # of the stream
    errors_whole: int = 0
    errors_streamed: int = 0
    units: int = 0  # expected; 0 if nobody listened

    @property
    def snr_db(self) -> float:
        return _decibel(self.signal, self.noise)


def difference(text: str, whole: Sound, streamed: Sound) -> Difference:
    """Compare two recordings of one rate.  Raises ValueError for two rates."""
    (a, rate_hz), (b, other_hz) = whole, streamed
    if rate_hz != other_hz:
        raise ValueError(f"the recordings must share one rate, got {rate_hz} and {other_hz} Hz")
    n = min(len(a), len(b))
    noise = float(np.sum(np.square(a[:n] - b[:n], dtype=np.float64)))
    signal = float(np.sum(np.square(a[:n], dtype=np.float64)))
    return Difference(text, len(a) / rate_hz, signal, noise, _mel_l1(a[:n], b[:n], rate_hz), len(b) - len(a))


def compare(
    system: SpeaksBothWays, sentences: Sequence[str], language: str, ear: Ear | None = None, seed: int = 0
) -> list[Difference]:
    """Every sentence both ways, sentence i with `seed + i`; with an ear, its errors, too."""
    found = []
    for i, text in enumerate(sentences):
        sounds = system.whole(text, seed + i), system.streamed(text, seed + i)
        told = asdict(difference(text, *sounds))
        if ear is not None:
            errors = [ear.errors(ear.hears(*sound, language), text, language) for sound in sounds]
            told |= {"errors_whole": errors[0][0], "errors_streamed": errors[1][0], "units": errors[0][1]}
        found.append(Difference(**told))
    return found


@dataclass(frozen=True)
class Streaming:
    """Over all sentences."""

    differences: Sequence[Difference]

    @property
    def snr_db(self) -> float:
        """Of all samples together; infinite if there is no difference."""
        return _decibel(sum(d.signal for d in self.differences), sum(d.noise for d in self.differences))

    @property
    def mel_l1(self) -> float:
        """Weighed by length."""
        return sum(d.mel_l1 * d.seconds for d in self.differences) / sum(d.seconds for d in self.differences)

    @property
    def error_rates(self) -> tuple[float, float] | None:
        """Mean of utterance rates, whole and streamed; None if nobody listened."""
        heard = [d for d in self.differences if d.units]
        if not heard:
            return None
        rates = [[d.errors_whole / d.units for d in heard], [d.errors_streamed / d.units for d in heard]]
        return float(np.mean(rates[0])), float(np.mean(rates[1]))

    def as_data(self) -> dict[str, Any]:
        rates = self.error_rates
        return {
            "sentences": len(self.differences),
            "snr_db": _finite(self.snr_db),
            "lowest_snr_db": _finite(min(d.snr_db for d in self.differences)),
            "mel_l1": self.mel_l1,
            "error_rate_whole": rates and rates[0],
            "error_rate_streamed": rates and rates[1],
            "differences": [{**asdict(d), "snr_db": _finite(d.snr_db)} for d in self.differences],
        }

    def markdown(self) -> str:
        lowest, longer = min(d.snr_db for d in self.differences), sum(d.samples_more != 0 for d in self.differences)
        rows = [
            ("sentences", f"{len(self.differences)}"),
            ("audio", f"{sum(d.seconds for d in self.differences):.0f} s"),
            ("SNR of the stream against the whole", f"{self.snr_db:.1f} dB, lowest {lowest:.1f} dB"),
            ("mel L1 (natural logarithm)", f"{self.mel_l1:.4f}"),
            ("of another length", f"{longer}"),
        ]
        if self.error_rates is not None:
            whole, streamed = self.error_rates
            rows.append(("error rate, whole / streamed", f"{100 * whole:.1f} / {100 * streamed:.1f} %"))
        return (
            "\n".join(["| streaming against offline | |", "| --- | ---: |", *(f"| {a} | {b} |" for a, b in rows)])
            + "\n"
        )


def _mel_l1(a: Samples, b: Samples, rate_hz: int) -> float:
    mels = [mel_spectrogram(resample(torch.from_numpy(wave), rate_hz, SAMPLE_RATE_HZ)[None]) for wave in (a, b)]
    return float((mels[0] - mels[1]).abs().mean())


def _decibel(signal: float, noise: float) -> float:
    return math.inf if noise == 0.0 else 10.0 * math.log10(max(signal, 1e-12) / noise)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
