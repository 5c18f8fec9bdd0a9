"""Is it the same voice?  Speaker vectors of several networks, and what their cosines say of N voices.

    resemblyzer   GE2E network (Wan et al. 2018) of the PyPI package; runs offline
    campplus      the model directory's own speaker encoder: circular, for the model is conditioned on it
    wavlm         a WavLM x-vector network in the format of transformers, from a local directory

Of the package `resemblyzer` only the weights are used: its Python part would bring librosa and webrtcvad for one mel
spectrogram and a pause detector.  Here pauses are cut at both ends only.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cosy.audio.features import hann, slaney_filters, speaker_features
from cosy.audio.silence import dbfs, trim_silence
from cosy.dependencies import optional
from cosy.errors import AudioError, MissingDependencyError, ParameterError
from cosy.eval.figures import Mean, Share
from cosy.eval.recognise import RATE_HZ, to_rate
from cosy.types import Samples

if TYPE_CHECKING:
    from cosy.checkpoint.load import LoadedModel

Vector = npt.NDArray[np.float32]
Matrix = npt.NDArray[np.float64]

RESEMBLYZER = "pip install --no-deps resemblyzer"
TRANSFORMERS = "pip install transformers"


class Embeds(Protocol):
    """Hears who speaks."""

    def __call__(self, wave: Samples, rate_hz: int) -> Vector:
        """Speaker vector (n,) of mono samples, of length 1.  Raises AudioError for silence."""
        ...


@dataclass(frozen=True)
class Judge:
    """A way to embed, under its name, and what a reader of its figures must know."""

    name: str
    embeds: Embeds
    note: str = ""


def open_judge(name: str, directory: Path | None, model: LoadedModel) -> Judge:
    """A similarity model by its name; `directory` holds its weights if it brings none, `model` is the one under test.

    Raises ParameterError for an unknown name or a missing directory, MissingDependencyError, naming the remedy, where
    a package is absent.
    """
    if name not in _JUDGES:
        raise ParameterError(f"unknown similarity model {name!r}; choose one of {', '.join(_JUDGES)}")
    return _JUDGES[name](model, directory)


# --- the networks -----------------------------------------------------------------------------------------------


class Resemblyzer:
    """Vectors of 256 values, none negative.  Hence voices that have nothing in common are near 0.5, not 0."""

    HOP, WINDOW, BANDS = 160, 400, 40
    FRAMES, STEP = 160, 77  # of a part, and between parts: 1.6 s, 1.3 a second
    COVERED = 0.75  # of the last part, or it is left out
    LOUDNESS_DBFS = -30.0  # quieter speech is raised to it

    def __init__(self) -> None:
        weights = torch.load(_package_file("resemblyzer", "pretrained.pt"), map_location="cpu", weights_only=True)
        self._lstm, self._linear = nn.LSTM(self.BANDS, 256, 3, batch_first=True), nn.Linear(256, 256)
        for prefix, module in (("lstm.", self._lstm), ("linear.", self._linear)):
            state = {k.removeprefix(prefix): v for k, v in weights["model_state"].items() if k.startswith(prefix)}
            module.load_state_dict(state)

    @torch.inference_mode()
    def __call__(self, wave: Samples, rate_hz: int) -> Vector:
        speech, _, _ = trim_silence(to_rate(wave, rate_hz), RATE_HZ)
        speech = speech * np.float32(10 ** (max(0.0, self.LOUDNESS_DBFS - dbfs(speech)) / 20))
        parts = self._parts(self._mel(torch.from_numpy(speech)))
        _, (hidden, _) = self._lstm(parts)
        vectors = nn.functional.normalize(self._linear(hidden[-1]).relu(), dim=-1)
        return _unit(vectors.mean(0))

    def _mel(self, wave: Tensor) -> Tensor:
        """(n,) at 16 kHz -> power mel (frames, 40); no logarithm is taken."""
        spectrum = torch.stft(
            wave, self.WINDOW, self.HOP, window=hann(self.WINDOW), pad_mode="constant", return_complex=True
        )
        return (slaney_filters(RATE_HZ, self.WINDOW, self.BANDS) @ spectrum.abs().square()).mT

    def _parts(self, mel: Tensor) -> Tensor:
        """(frames, 40) -> (parts, 160, 40), the last one filled with zeros."""
        starts = [0]
        while len(mel) - (starts[-1] + self.STEP) >= self.COVERED * self.FRAMES:
            starts.append(starts[-1] + self.STEP)
        mel = nn.functional.pad(mel, (0, 0, 0, max(0, starts[-1] + self.FRAMES - len(mel))))
        return torch.stack([mel[start : start + self.FRAMES] for start in starts])


class OwnEncoder:
    """The speaker encoder of a model directory, 192 values."""

    def __init__(self, model: LoadedModel) -> None:
        self._encoder = model.speaker_encoder

    def __call__(self, wave: Samples, rate_hz: int) -> Vector:
        speech, _, _ = trim_silence(to_rate(wave, rate_hz), RATE_HZ)
        return _unit(self._encoder(speaker_features(torch.from_numpy(speech))))


class WavLM:
    """A WavLM network with an x-vector head, as `transformers` stores it."""

    def __init__(self, directory: Path) -> None:
        try:
            library: Any = optional("transformers", "eval")
        except MissingDependencyError as error:
            raise MissingDependencyError(f"'wavlm' needs the package transformers: {TRANSFORMERS}") from error
        self._extract = library.AutoFeatureExtractor.from_pretrained(directory, local_files_only=True)
        self._model = library.AutoModelForAudioXVector.from_pretrained(directory, local_files_only=True).eval()

    @torch.inference_mode()
    def __call__(self, wave: Samples, rate_hz: int) -> Vector:
        speech, _, _ = trim_silence(to_rate(wave, rate_hz), RATE_HZ)
        inputs = self._extract(speech, sampling_rate=RATE_HZ, return_tensors="pt")
        return _unit(self._model(**inputs).embeddings[0])


def _resemblyzer(model: LoadedModel, directory: Path | None) -> Judge:
    return Judge("resemblyzer", Resemblyzer(), "voices that have nothing in common are near 0.5 to 0.6")


def _campplus(model: LoadedModel, directory: Path | None) -> Judge:
    return Judge("campplus", OwnEncoder(model), "the model's own speaker encoder: it is conditioned on it, so circular")


def _wavlm(model: LoadedModel, directory: Path | None) -> Judge:
    if directory is None or not directory.is_dir():
        raise ParameterError(f"wavlm needs the directory of its model, got {directory}: --similarity wavlm=DIR")
    return Judge("wavlm", WavLM(directory), f"weights: {directory.name}")


_JUDGES: dict[str, Callable[[LoadedModel, Path | None], Judge]] = {
    "resemblyzer": _resemblyzer,
    "campplus": _campplus,
    "wavlm": _wavlm,
}
JUDGES = tuple(_JUDGES)


def _package_file(package: str, name: str) -> Path:
    """A data file of a package that is not imported."""
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / name if found is not None and found.origin is not None else None
    if path is None or not path.is_file():
        raise MissingDependencyError(f"{package!r} is not installed; its weights tell voices apart: {RESEMBLYZER}")
    return path


def _unit(vector: Tensor) -> Vector:
    values = vector.reshape(-1).float()
    norm = float(values.norm())
    if not norm > 0.0:
        raise AudioError("the recording gives no speaker vector: it holds no speech; record it again")
    unit: Vector = (values / norm).numpy()
    return unit


# --- what the cosines say ---------------------------------------------------------------------------------------


def cosines(rows: Sequence[Vector], columns: Sequence[Vector]) -> Matrix:
    """(R, n) and (C, n) vectors of length 1, or of zeros for what could not be heard -> cosines (R, C)."""
    product: Matrix = np.asarray(rows, dtype=np.float64) @ np.asarray(columns, dtype=np.float64).T
    return product


@dataclass(frozen=True)
class Identification:
    """How well R recordings tell which of C voices they are of."""

    voices: int
    matched: Mean  # cosine to the own voice
    unmatched: Mean  # cosine to all others
    right: Share  # recordings that are nearest to their own voice; chance is one in `voices`
    above: Share  # recordings that are nearer to their own voice than to the others on average; chance is a half
    closer: Share  # pairs of a recording and another voice in which the own voice is nearer; chance is a half
    equal_error_rate: float  # where as many matched pairs fall below a threshold as unmatched ones reach it
    threshold: float

    def as_data(self) -> dict[str, Any]:
        return {
            "voices": self.voices,
            "matched": self.matched.as_data(),
            "unmatched": self.unmatched.as_data(),
            "right": self.right.as_data(),
            "above": self.above.as_data(),
            "closer": self.closer.as_data(),
            "equal_error_rate": self.equal_error_rate,
            "threshold": self.threshold,
        }


def identify(scores: Matrix, owners: Sequence[int]) -> Identification:
    """Of scores (R, C), where column owners[r] is the voice of row r.  A tie is no hit.

    Raises ValueError for fewer than two voices, or no recording.
    """
    rows, voices = scores.shape
    if rows == 0 or voices < 2:
        raise ValueError(f"identification needs a recording and two voices, got {rows} and {voices}")
    own = np.zeros(scores.shape, dtype=bool)
    own[np.arange(rows), list(owners)] = True
    matched, unmatched = scores[own], scores[~own].reshape(rows, voices - 1)
    nearer = matched[:, None] > unmatched
    rate, threshold = equal_error_rate(matched, unmatched.ravel())
    means = [Mean.over(list(values)) for values in (matched, unmatched.ravel())]
    assert means[0] is not None
    assert means[1] is not None
    return Identification(
        voices,
        means[0],
        means[1],
        Share(int(nearer.all(axis=1).sum()), rows),
        Share(int((matched > unmatched.mean(axis=1)).sum()), rows),
        Share(int(nearer.sum()), nearer.size),
        rate,
        threshold,
    )


def equal_error_rate(matched: Matrix, unmatched: Matrix) -> tuple[float, float]:
    """Rate and threshold at which misses and false alarms are most nearly equal; the mean of both there."""
    thresholds = np.unique(np.concatenate([matched, unmatched]))
    misses = np.searchsorted(np.sort(matched), thresholds, side="left") / len(matched)
    alarms = 1.0 - np.searchsorted(np.sort(unmatched), thresholds, side="left") / len(unmatched)
    best = int(np.argmin(np.abs(misses - alarms)))
    return float((misses[best] + alarms[best]) / 2), float(thresholds[best])
