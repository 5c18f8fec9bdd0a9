"""What makes a recording a poor voice without making it useless, in words that say what to do about it.

Level, clipping, too long a recording and a transcript that does not fit the length of the speech (the language
model expects two to twenty speech tokens per text token) are judged where the voice is prepared; here is the rest.
"""

from __future__ import annotations

import numpy as np

from cosy.audio.silence import trim_silence
from cosy.types import Samples

SHORT_S = 5.0  # of speech; less leaves much of the voice to chance
PAUSE_S = 1.5
SILENT_SHARE = 0.4
BACKGROUND_DB = 20.0  # that speech should stand above its background
FRAME_S = 0.02
PAUSE_DB = 35.0  # a frame this far under the loud ones is a pause
FLOOR = 1e-10  # -100 dBFS
QUIET_PERCENTILE, LOUD_PERCENTILE = 5.0, 90.0


def check_voice(wave: Samples, rate_hz: int) -> tuple[str, ...]:
    """Warnings about mono samples (n,) in [-1, 1].  Raises AudioError if they are nothing but silence."""
    speech, _, _ = trim_silence(wave, rate_hz)
    levels = _levels(speech, rate_hz)
    found = (
        _short(len(speech) / rate_hz),
        _silent(1.0 - len(speech) / len(wave)),
        _pauses(levels),
        _background(_levels(wave, rate_hz)),
    )
    return tuple(warning for warning in found if warning)


def _short(seconds: float) -> str:
    if seconds >= SHORT_S:
        return ""
    return f"there are only {seconds:.1f} s of speech; 5 to 15 s make a steadier voice: record two or three sentences"


def _silent(share: float) -> str:
    if share <= SILENT_SHARE:
        return ""
    return f"{100 * share:.0f} % of the recording is silence before and after the speech; cut it, or speak longer"


def _pauses(levels: Samples) -> str:
    """`levels` of the speech alone."""
    pause_s = _longest_run(levels < np.percentile(levels, LOUD_PERCENTILE) - PAUSE_DB) * FRAME_S
    if pause_s <= PAUSE_S:
        return ""
    return f"there is a pause of {pause_s:.1f} s in the speech; cut it out, for the voice will pause like that too"


def _background(levels: Samples) -> str:
    """`levels` of the whole recording, its silence too."""
    quiet, loud = np.percentile(levels, (QUIET_PERCENTILE, LOUD_PERCENTILE))
    if loud - quiet >= BACKGROUND_DB:
        return ""
    return (
        f"the speech stands only {loud - quiet:.0f} dB above its background; record it in a quiet room, "
        "without music or echo, closer to the microphone"
    )


def _levels(wave: Samples, rate_hz: int) -> Samples:
    """Level in dBFS of each whole frame of 20 ms, (n // frame,); there is at least one."""
    frame = max(1, min(len(wave), round(FRAME_S * rate_hz)))
    frames = wave[: len(wave) // frame * frame].reshape(-1, frame)
    levels: Samples = 10.0 * np.log10(np.mean(np.square(frames, dtype=np.float64), axis=1) + FLOOR)
    return levels


def _longest_run(flags: np.ndarray) -> int:
    """Length of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max(initial=0))
