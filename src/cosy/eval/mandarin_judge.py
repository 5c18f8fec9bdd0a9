"""An offline ear for Mandarin: a small network that hears toned syllables, with its weights.

Pocketsphinx knows English only, so this judge was trained for the purpose, on speech of espeak-ng
in voices that no speech model of this project learns from (`recipes/mandarin_judge.py`).  Two
thirds of what it learned are syllables in random order, and it sees about half a second to either
side, so it cannot guess a syllable from the sentence.  It is still a relative of the models it
judges, whose Mandarin teacher is espeak-ng too: `CIRCULARITY` says what that means.

The network is trained with connectionist temporal classification (Graves et al. 2006) over whole
syllables.  The probability of a syllable is a product, so that rare ones share what they have in
common with others: p(not blank) p(initial) p(final) p(tone).

Letters: B batch, F frames of 20 ms, T steps of 40 ms, S toned syllables.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from cosy.audio.features import WHISPER_BANDS, hann, log_mel_16k
from cosy.errors import MismatchError, MissingFileError
from cosy.eval.recognise import RATE_HZ, prepare
from cosy.eval.syllables import BASES, FINALS, INITIALS, PARTS, TONES
from cosy.types import Samples

WEIGHTS = Path(__file__).parent / "assets" / "mandarin_judge.safetensors"
CIRCULARITY = (
    "the judge learned Mandarin from espeak-ng, in other voices than the models did: a low error says that the "
    "syllables are those of espeak-ng, not that a listener would like them"
)

FRAME_SAMPLES = RATE_HZ // 50
STEP_S = 2 * FRAME_SAMPLES / RATE_HZ
FEATURES = 2 * WHISPER_BANDS + 2
_PITCH_SAMPLES = 1024  # two and a half periods of the lowest voice
_LAGS = torch.arange(RATE_HZ // 500, RATE_HZ // 40 + 1)  # periods of 500 to 40 Hz
_OCTAVE_COST = 0.06  # correlation that a period twice as long must gain, or every harmonic would do
_VOICED = 0.45  # least correlation of a voiced frame
_PITCH_SCALE, _PITCH_LIMIT = 6.0, 0.7  # per octave; octaves from the middle of the voice

SYLLABLES = tuple(base + tone for base in BASES for tone in TONES)
BLANK = 0  # class 1 + i is SYLLABLES[i]
CLASS_OF = {syllable: 1 + i for i, syllable in enumerate(SYLLABLES)}


def features(wave: Tensor) -> Tensor:
    """What the network sees of a wave (L,) at 16 kHz: (F, 258).

    Two frames of the log-mel side by side, for the sounds; for the tones, how far the pitch is from the
    middle of this voice, and how voiced the frame is.  Raises AudioError if L <= 200.
    """
    mel = log_mel_16k(wave)[0].T
    frames = len(mel) // 2
    f0_hz, voicing = (each[:frames] for each in pitch(wave))
    octaves = f0_hz.log2()
    voiced = voicing > _VOICED
    middle = octaves[voiced].median() if voiced.any() else octaves.median()
    height = torch.where(voiced, octaves - middle, 0.0).clamp(-_PITCH_LIMIT, _PITCH_LIMIT) * _PITCH_SCALE
    return torch.cat([mel[: 2 * frames].reshape(frames, -1), height[:, None], voicing[:, None]], dim=-1)


def pitch(wave: Tensor) -> tuple[Tensor, Tensor]:
    """F0 in Hz (F,) and the correlation at its period (F,) in 0..1, of a wave (L,) at 16 kHz.

    Autocorrelation of windowed frames over that of the window, with a bias to short periods and
    parabolic interpolation (Boersma 1993).  F0 of an unvoiced frame means nothing.
    """
    margin = _PITCH_SAMPLES // 2
    window = hann(_PITCH_SAMPLES)
    frames = F.pad(wave, (margin, margin)).unfold(0, _PITCH_SAMPLES, FRAME_SAMPLES)
    frames = (frames - frames.mean(-1, keepdim=True)) * window
    correlation = _autocorrelation(frames) / _autocorrelation(window).clamp_min(1e-3)
    allowed = correlation[:, _LAGS] - _OCTAVE_COST * (_LAGS / _LAGS[0]).log2()
    lag = _LAGS[allowed.argmax(-1)]
    before, peak, after = (correlation.gather(1, (lag + d)[:, None])[:, 0] for d in (-1, 0, 1))
    shift = 0.5 * (before - after) / (before - 2 * peak + after).clamp_max(-1e-6)
    return RATE_HZ / (lag + shift.clamp(-1, 1)), peak.clamp(0, 1)


def _autocorrelation(x: Tensor) -> Tensor:
    """Of x (..., n), 1 at lag 0."""
    n = x.shape[-1]
    raw = torch.fft.irfft(torch.fft.rfft(x, 2 * n).abs().square())[..., :n]
    relative: Tensor = raw / raw[..., :1].clamp_min(1e-9)
    return relative


@dataclass(frozen=True)
class JudgeConfig:
    """Width of the network and of its blocks' inner layer; blocks before and after the step of 2."""

    width: int = 192
    inner: int = 576
    early: int = 2
    late: int = 3
    kernel: int = 9


class Block(nn.Module):
    """Depthwise convolution over time and two layers over channels (ConvNeXt, Liu et al. 2022), with a residual."""

    def __init__(self, width: int, inner: int, kernel: int) -> None:
        super().__init__()
        self.time = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, time, width], of the same shape out."""
        y: Tensor = self.time(x.transpose(1, 2)).transpose(1, 2)
        y = self.down(F.gelu(self.up(self.norm(y))))
        return x + y


class SyllableNetwork(nn.Module):
    """Features to log-probabilities of blank and of every toned syllable."""

    of_syllable: Tensor  # [S, 3]: its initial, final and tone

    def __init__(self, config: JudgeConfig | None = None) -> None:
        super().__init__()
        config = config or JudgeConfig()
        self.front = nn.Linear(FEATURES, config.width)
        self.front_norm = nn.LayerNorm(config.width)
        self.early = nn.Sequential(*(Block(config.width, config.inner, config.kernel) for _ in range(config.early)))
        self.halve = nn.Conv1d(config.width, config.width, 2, stride=2)
        self.late = nn.Sequential(*(Block(config.width, config.inner, config.kernel) for _ in range(config.late)))
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 1 + len(INITIALS) + len(FINALS) + len(TONES))
        parts = [
            [INITIALS.index(PARTS[s[:-1]][0]), FINALS.index(PARTS[s[:-1]][1]), TONES.index(s[-1])] for s in SYLLABLES
        ]
        self.register_buffer("of_syllable", torch.tensor(parts), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, F, 258] -> [B, T, 1 + S] with T = F // 2."""
        x = self.early(self.front_norm(self.front(x)))
        x = self.late(self.halve(x.transpose(1, 2)).transpose(1, 2))
        blank, *heads = self.head(self.norm(x)).float().split([1, len(INITIALS), len(FINALS), len(TONES)], dim=-1)
        initial, final, tone = (head.log_softmax(-1)[..., self.of_syllable[:, i]] for i, head in enumerate(heads))
        syllable = F.logsigmoid(-blank) + initial + final + tone
        return torch.cat([F.logsigmoid(blank), syllable], dim=-1)


class MandarinJudge:
    """Hears Mandarin.  One instance serves any number of waves; a hearing does not depend on earlier ones."""

    def __init__(self, network: SyllableNetwork) -> None:
        self.network = network.eval()

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> MandarinJudge:
        """The shipped judge, or other weights of its shape.  Raises MissingFileError, MismatchError."""
        if not path.is_file():
            raise MissingFileError(f"{path} is absent: the weights of the Mandarin judge; make them with the recipe")
        network = SyllableNetwork()
        try:
            network.load_state_dict(load_file(path))  # float16 on disk, copied into float32
        except RuntimeError as error:
            raise MismatchError(f"{path} does not hold the weights of the Mandarin judge: {error}") from error
        return cls(network)

    @torch.inference_mode()
    def hear(self, wave: Samples, rate_hz: int) -> list[str]:
        """The toned syllables ("ni3", "lü4") heard in mono samples (n,); none in silence.

        Greedy decoding: the best class of every step, repeats joined, blanks dropped.
        """
        if not np.any(wave):
            return []
        scores = self.network(features(torch.from_numpy(prepare(wave, rate_hz)))[None])[0]
        best = scores.argmax(-1).unique_consecutive().tolist()
        return [SYLLABLES[index - 1] for index in best if index != BLANK]


@cache
def _shipped() -> MandarinJudge:
    return MandarinJudge.load()


def hear(wave: Samples, rate_hz: int) -> list[str]:
    """What the shipped judge hears; see `MandarinJudge.hear`."""
    return _shipped().hear(wave, rate_hz)
