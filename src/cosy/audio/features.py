"""The three spectral front ends, in torch: 24 kHz mel, Whisper log-mel, Kaldi filter bank.

All are short sums over frames, so they run batched on any device and gradients flow through the mel
(the vocoder's loss needs them).  Windows and filter banks are computed in float64, rounded to float32
and cached under all their parameters.

Letters: B batch, L samples, F frames, N points of the Fourier transform, M bands.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from cosy.audio.constants import (
    FRONT_END_RATE_HZ,
    HOP_SAMPLES,
    MEL_BANDS,
    MEL_FLOOR,
    N_FFT,
    SAMPLE_RATE_HZ,
)
from cosy.errors import AudioError

CPU = torch.device("cpu")

WHISPER_BANDS = 128
FRONT_END_FRAME = FRONT_END_RATE_HZ * 25 // 1000  # 400 samples, both 16 kHz front ends
FRONT_END_HOP = FRONT_END_RATE_HZ * 10 // 1000  # 160 samples

KALDI_BANDS = 80
KALDI_FFT = 512
KALDI_FMIN_HZ = 20.0
KALDI_PREEMPHASIS = 0.97
KALDI_FLOOR = torch.finfo(torch.float32).eps


def mel_spectrogram(wave: Tensor, fmax: float | None = 8000.0) -> Tensor:
    """Log-mel (B, 80, floor(L/480)) of wave (B, L) at 24 kHz, nominally within [-1, 1].

    The target of the flow, the input of the vocoder and the prompt feature; with fmax None (12 kHz) the
    spectrum of the vocoder's mel loss.  Natural logarithm of the magnitude, not less than ln(1e-5).
    Frame t is centred at sample 480 t + 240.  Differentiable.

    Source: CosyVoice 2 acoustic feature.  Raises AudioError if L <= 720.
    """
    margin = (N_FFT - HOP_SAMPLES) // 2
    _require(wave, margin + 1, SAMPLE_RATE_HZ)
    spectrum = _spectrum(F.pad(wave.float(), (margin, margin), mode="reflect"), N_FFT, HOP_SAMPLES)
    magnitude = (_power(spectrum) + 1e-9).sqrt()
    filters = slaney_filters(SAMPLE_RATE_HZ, N_FFT, MEL_BANDS, 0.0, fmax, device=wave.device)
    return _bands(magnitude, filters).clamp_min(MEL_FLOOR).log()


def log_mel_16k(wave: Tensor) -> Tensor:
    """Log-mel (1, 128, floor(L/160)) of wave (L,) or (1, L) at 16 kHz: the speech tokenizer's input.

    Cut at eight decades under the loudest value of the whole tensor, so it cannot be computed
    incrementally, and a batch (B, L) shares one loudest value: pass one recording at a time.

    Source: Robust Speech Recognition via Large-Scale Weak Supervision, section 2.2 (without its padding
    to 30 s).  Raises AudioError if L <= 200.
    """
    wave = wave[None] if wave.ndim == 1 else wave
    margin = FRONT_END_FRAME // 2
    _require(wave, margin + 1, FRONT_END_RATE_HZ)
    padded = F.pad(wave.float(), (margin, margin), mode="reflect")
    power = _power(_spectrum(padded, FRONT_END_FRAME, FRONT_END_HOP)[..., :-1])
    filters = slaney_filters(FRONT_END_RATE_HZ, FRONT_END_FRAME, WHISPER_BANDS, device=wave.device)
    mel = _bands(power, filters).clamp_min(1e-10).log10()
    return (torch.maximum(mel, mel.max() - 8.0) + 4.0) / 4.0


def kaldi_fbank(wave: Tensor) -> Tensor:
    """Log filter-bank energies (F, 80) of wave (L,) or (1, L) at 16 kHz in [-1, 1]; F = 1 + floor((L-400)/160).

    Kaldi's conventions: complete frames only, the mean removed and pre-emphasis inside each frame, Povey
    window, no dither.  The samples are not scaled to 16-bit integers.

    Raises AudioError if L < 400.
    """
    wave = wave.float().reshape(-1)
    _require(wave, FRONT_END_FRAME, FRONT_END_RATE_HZ)
    frames = wave.unfold(-1, FRONT_END_FRAME, FRONT_END_HOP)  # (F, 400)
    frames = frames - frames.mean(-1, keepdim=True)
    previous = torch.cat([frames[:, :1], frames[:, :-1]], dim=-1)  # the first sample precedes itself
    frames = (frames - KALDI_PREEMPHASIS * previous) * povey(FRONT_END_FRAME, wave.device)
    power = _power(torch.fft.rfft(frames, KALDI_FFT)).mT  # (F, 257) -> (257, F)
    return _bands(power, kaldi_filters(wave.device)).clamp_min(KALDI_FLOOR).log().mT


def speaker_features(wave: Tensor) -> Tensor:
    """`kaldi_fbank` (F, 80) with the mean over time of every band removed: the speaker encoder's input."""
    fbank = kaldi_fbank(wave)
    return fbank - fbank.mean(0, keepdim=True)


@lru_cache(maxsize=32)
def slaney_filters(
    rate_hz: int,
    n_fft: int,
    bands: int,
    fmin_hz: float = 0.0,
    fmax_hz: float | None = None,
    device: torch.device = CPU,
) -> Tensor:
    """Triangular filters (bands, n_fft/2 + 1) of equal area, equally spaced on Slaney's mel scale.

    fmax_hz None means rate_hz / 2.  The tensor is cached: do not write to it.
    Source: Slaney, Auditory Toolbox (linear below 1 kHz, logarithmic above).
    """
    with torch.inference_mode(False):  # a cached inference tensor could not be used in training later
        low, high = (_hz_to_slaney(f) for f in (fmin_hz, rate_hz / 2 if fmax_hz is None else fmax_hz))
        p = _slaney_to_hz(torch.linspace(low, high, bands + 2, dtype=torch.float64))[:, None]  # corners, Hz
        f = torch.arange(n_fft // 2 + 1, dtype=torch.float64) * rate_hz / n_fft  # bins, Hz
        rising = (f - p[:-2]) / (p[1:-1] - p[:-2])
        falling = (p[2:] - f) / (p[2:] - p[1:-1])
        filters = torch.minimum(rising, falling).clamp_min(0.0) * 2.0 / (p[2:] - p[:-2])
        return filters.float().to(device)


def _hz_to_slaney(f: float) -> float:
    return 3.0 * f / 200.0 if f < 1000.0 else 15.0 + 27.0 * math.log(f / 1000.0) / math.log(6.4)


def _slaney_to_hz(mel: Tensor) -> Tensor:
    return torch.where(mel < 15.0, 200.0 * mel / 3.0, 1000.0 * ((mel - 15.0) * math.log(6.4) / 27.0).exp())


@lru_cache(maxsize=8)
def kaldi_filters(device: torch.device = CPU) -> Tensor:
    """Kaldi's filter bank (80, 257): triangles in mel = 1127 ln(1 + f/700), 20 to 8000 Hz, not normalised.

    The Nyquist bin weighs nothing.  The tensor is cached: do not write to it.
    """
    with torch.inference_mode(False):
        low, high = (1127.0 * math.log1p(f / 700.0) for f in (KALDI_FMIN_HZ, FRONT_END_RATE_HZ / 2))
        width = (high - low) / (KALDI_BANDS + 1)
        hz = torch.arange(KALDI_FFT // 2, dtype=torch.float64) * FRONT_END_RATE_HZ / KALDI_FFT
        mel = 1127.0 * torch.log1p(hz / 700.0)
        left = low + width * torch.arange(KALDI_BANDS, dtype=torch.float64)[:, None]
        filters = torch.minimum((mel - left) / width, (left + 2.0 * width - mel) / width).clamp_min(0.0)
        return F.pad(filters, (0, 1)).float().to(device)


@lru_cache(maxsize=16)
def hann(length: int, device: torch.device = CPU) -> Tensor:
    """Periodic Hann window (length,).  The tensor is cached: do not write to it."""
    with torch.inference_mode(False):
        return torch.hann_window(length, dtype=torch.float64).float().to(device)


@lru_cache(maxsize=16)
def povey(length: int, device: torch.device = CPU) -> Tensor:
    """Kaldi's window (length,): the symmetric Hann window to the power 0.85.  Cached: do not write to it."""
    with torch.inference_mode(False):
        return (torch.hann_window(length, periodic=False, dtype=torch.float64) ** 0.85).float().to(device)


def _spectrum(padded: Tensor, n_fft: int, hop: int) -> Tensor:
    """Hann-windowed Fourier transform, (B, samples) -> (B, n_fft/2 + 1, frames), complex."""
    return torch.stft(padded, n_fft, hop, window=hann(n_fft, padded.device), center=False, return_complex=True)


def _power(spectrum: Tensor) -> Tensor:
    return spectrum.real.square() + spectrum.imag.square()


def _bands(spectrum: Tensor, filters: Tensor) -> Tensor:
    """Sum bins (..., N/2 + 1, F) into bands (..., M, F), in float32 whatever the surrounding autocast says."""
    with torch.autocast(spectrum.device.type, enabled=False):
        return filters @ spectrum


def _require(wave: Tensor, samples: int, rate_hz: int) -> None:
    if wave.shape[-1] < samples:
        raise AudioError(
            f"audio of {wave.shape[-1]} samples at {rate_hz} Hz is too short to analyse: "
            f"pass at least {samples} samples ({1000 * samples / rate_hz:.1f} ms)"
        )
