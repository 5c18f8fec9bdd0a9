"""Level and silence of recordings: what prompt preparation checks and cuts."""

from __future__ import annotations

import numpy as np

from cosy.errors import AudioError
from cosy.types import Samples

FRAME_S = 0.02  # window of the level curve
HOP_S = 0.005
RANGE_DB = 40.0  # speech lies within this range below the loud parts
NOISE_DB = 6.0  # and this much above a steady background ...
SURE_DB = 25.0  # ... though what is this close to the loud parts is speech in any case
FLOOR_DBFS = -60.0  # nothing under it is speech, however quiet the recording
QUIET_PERCENTILE, LOUD_PERCENTILE = 5.0, 95.0
FULL_SCALE = 0.999  # 16-bit and lossy files rarely reach 1 exactly


def trim_silence(wave: Samples, rate_hz: int, margin_s: float = 0.05) -> tuple[Samples, int, int]:
    """Cut silence at both ends of wave (n,), leaving `margin_s` of it where there was as much.

    Returns (wave[start:end], start, end), positions in samples.  Speech is what rises above the background
    and lies within 40 dB of the loud parts, in windows of 20 ms; a constant offset is no sound.
    Raises AudioError if nothing exceeds -60 dBFS.
    """
    frame, hop = round(FRAME_S * rate_hz), max(1, round(HOP_S * rate_hz))
    levels = _levels(wave - wave.mean() if len(wave) else wave, frame, hop)
    if levels.max() <= FLOOR_DBFS:
        raise AudioError(f"the recording holds only silence (under {FLOOR_DBFS:.0f} dBFS); record it again, louder")
    (speech,) = np.nonzero(levels > _threshold(levels))
    margin = round(margin_s * rate_hz)
    start = max(0, int(speech[0]) * hop - margin)
    end = min(len(wave), int(speech[-1]) * hop + frame + margin)
    return wave[start:end], start, end


def dbfs(wave: Samples) -> float:
    """Root-mean-square level in dB, where a constant 1 is 0 dB; -inf for digital silence or no samples."""
    power = float(np.mean(np.square(wave, dtype=np.float64))) if len(wave) else 0.0
    return 10.0 * float(np.log10(power)) if power > 0.0 else float("-inf")


def peak(wave: Samples) -> float:
    """Largest magnitude; 0 for no samples."""
    return float(np.abs(wave).max(initial=0.0))


def clipped_share(wave: Samples) -> float:
    """Share of samples (0..1) in runs of two or more at full scale: a lone peak is no clipping."""
    full = np.concatenate([[False], np.abs(wave) >= FULL_SCALE, [False]])
    return float(np.mean(full[1:-1] & (full[:-2] | full[2:]))) if len(wave) else 0.0


def _threshold(levels: Samples) -> float:
    """Level in dBFS that speech exceeds, for a level curve that exceeds FLOOR_DBFS somewhere."""
    audible = levels[levels > FLOOR_DBFS]
    quiet, loud = np.percentile(audible, (QUIET_PERCENTILE, LOUD_PERCENTILE))
    return max(FLOOR_DBFS, float(loud) - RANGE_DB, float(min(quiet + NOISE_DB, loud - SURE_DB)))


def _levels(wave: Samples, frame: int, hop: int) -> Samples:
    """Level in dBFS of every window of `frame` samples; the last ones reach over the end into zeros."""
    power = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    starts = np.arange(0, max(len(wave), 1), hop)
    ends = np.minimum(starts + frame, len(wave))
    mean = np.maximum(power[ends] - power[starts], 0.0) / frame
    levels: Samples = (10.0 * np.log10(mean + 1e-12)).astype(np.float32)
    return levels
