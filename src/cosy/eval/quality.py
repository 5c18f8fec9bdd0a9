"""How speech sounds, without a listener: DNSMOS and the F0 correlation to a reference.

DNSMOS does not detect nonsense (reversed speech scores like speech), so it never stands alone.
The networks are those of the package `speechmos`; its Python part is not used, since it would
bring librosa and pandas for one mel spectrogram.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cosy.dependencies import optional
from cosy.errors import MissingDependencyError
from cosy.eval.recognise import PEAK, to_rate
from cosy.types import Samples

RATE_HZ = 16_000  # of both networks
WINDOW_SAMPLES = round(9.01 * RATE_HZ)
HOP_SAMPLES = RATE_HZ  # windows start a second apart

_FFT_SAMPLES, _MEL_HOP_SAMPLES, _MEL_BANDS = 321, 160, 120
F0_PERIOD_MS = 5.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Mos:
    """Predicted mean opinion scores, 1 to 5: `overall` after ITU-T P.835, `p808` after ITU-T P.808."""

    overall: float
    p808: float


def dnsmos(wave: Samples, rate_hz: int) -> Mos:
    """DNSMOS (Reddy et al. 2022) of mono samples (n,), mean over windows of 9.01 s; a shorter wave is repeated.

    The wave is brought to peak 0.7 first.  Raises MissingDependencyError without the `eval` extra,
    ValueError for silence.
    """
    wave = to_rate(wave, rate_hz)
    peak = float(np.abs(wave).max(initial=0.0))
    if peak == 0.0:
        raise ValueError("silence has no quality: the wave is all zeros")
    wave = np.tile(wave * (PEAK / peak), -(-WINDOW_SAMPLES // len(wave)))
    starts = range(0, len(wave) - WINDOW_SAMPLES + 1, HOP_SAMPLES)
    scores = [_window_scores(wave[start : start + WINDOW_SAMPLES].astype(np.float32)) for start in starts]
    overall, p808 = np.mean(scores, axis=0)
    return Mos(float(overall), float(p808))


def _window_scores(window: Samples) -> tuple[float, float]:
    overall_net, p808_net = _networks()
    raw = overall_net.run(None, {"input_1": window[None]})[0][0][2]  # of signal, background, overall
    overall = (-0.06766283 * raw + 1.11546468) * raw + 0.04602535  # the published calibration
    features = _log_mel(window[:-_MEL_HOP_SAMPLES]).astype(np.float32)
    p808 = p808_net.run(None, {"input_1": features[None]})[0][0][0]
    return float(overall), float(p808)


@cache
def _networks() -> tuple[Any, Any]:
    found = importlib.util.find_spec("speechmos")
    if found is None or found.origin is None:
        raise MissingDependencyError("'speechmos' is not installed; it judges speech: pip install 'cosy[eval]'")
    folder = Path(found.origin).parent / "dnsmos_models"
    runtime: Any = optional("onnxruntime", "eval")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    names = ("sig_bak_ovr.onnx", "model_v8.onnx")
    overall, p808 = (
        runtime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"]) for name in names
    )
    return overall, p808


def _log_mel(wave: Samples) -> Floats:
    """(n,) at 16 kHz -> (frames, 120): power mel in dB under its maximum, cut at -80, scaled to [-1, 1]."""
    padded = np.pad(wave.astype(np.float64), _FFT_SAMPLES // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT_SAMPLES)[::_MEL_HOP_SAMPLES]
    window = np.hanning(_FFT_SAMPLES + 1)[:-1]  # periodic
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    mel = np.maximum(power @ _mel_filters().T, 1e-10)
    decibel = 10.0 * np.log10(mel)
    scaled: Floats = (np.maximum(decibel - decibel.max(), -80.0) + 40.0) / 40.0
    return scaled


@cache
def _mel_filters() -> Floats:
    """(120, bins): triangles of unit area on Slaney's mel scale, linear below 1 kHz and logarithmic above."""
    linear_hz, step = 200.0 / 3.0, np.log(6.4) / 27.0
    top = 15.0 + np.log(RATE_HZ / 2 / 1000.0) / step
    mels = np.linspace(0.0, top, _MEL_BANDS + 2)
    corners = np.where(mels < 15.0, mels * linear_hz, 1000.0 * np.exp(step * (mels - 15.0)))
    bins = np.fft.rfftfreq(_FFT_SAMPLES, 1.0 / RATE_HZ)
    rise = (bins - corners[:-2, None]) / np.diff(corners)[:-1, None]
    fall = (corners[2:, None] - bins) / np.diff(corners)[1:, None]
    filters: Floats = np.maximum(0.0, np.minimum(rise, fall)) * (2.0 / (corners[2:] - corners[:-2]))[:, None]
    return filters


def f0(wave: Samples, rate_hz: int) -> Floats:
    """Fundamental frequency in Hz every 5 ms, 0 where unvoiced: WORLD's DIO refined by StoneMask.

    Raises MissingDependencyError without the `eval` extra.
    """
    world: Any = optional("pyworld", "eval")
    samples = np.ascontiguousarray(to_rate(wave, rate_hz), dtype=np.float64)
    rough, times = world.dio(samples, RATE_HZ, frame_period=F0_PERIOD_MS)
    return np.asarray(world.stonemask(samples, rough, times, RATE_HZ), dtype=np.float64)


def f0_correlation(pairs: Iterable[tuple[Floats, Floats]]) -> float:
    """Pearson correlation of pooled F0 tracks `(got, reference)` over frames voiced in both; nan below two frames.

    Each pair is cut to the shorter track: both tell the same sentence at the same pace.
    """
    voiced: list[Floats] = []
    for got, reference in pairs:
        frames = min(len(got), len(reference))
        both = np.stack([got[:frames], reference[:frames]])
        voiced.append(both[:, (both > 0).all(axis=0)])
    track = np.concatenate(voiced, axis=1) if voiced else np.empty((2, 0))
    if track.shape[1] < 2 or (np.ptp(track, axis=1) == 0).any():
        return float("nan")
    return float(np.corrcoef(track[0], track[1])[0, 1])
