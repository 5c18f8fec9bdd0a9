"""The two front-end networks as ONNX files: writing ours, and running any file with the official interface.

    speech_tokenizer_v2.onnx   feats float32 (B, M, T), feats_length int32 (B,) -> indices int32 (B, ceil(T / 4))
    campplus.onnx              input float32 (B, T, F) -> output float32 (B, 192)

Inputs and outputs are addressed by position, because exports by others name them differently.

Shape letters: B batch rows, M mel bins, F filter banks, T feature frames (100 per second), t tokens.
"""

from __future__ import annotations

import copy
import importlib.util
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cosy.errors import AudioError, MismatchError, MissingDependencyError, MissingFileError
from cosy.models.speaker_encoder import MIN_FRAMES, SpeakerEncoder
from cosy.models.speech_tokenizer import SpeechTokenizer

OPSET = 17
EXAMPLE_FRAMES = 250  # length of the clip that is traced; the file takes any other
REMEDY = "fetch it with `cosy model pull`"


class _TokenizerInterface(nn.Module):
    """The official signature: codes alone, int32."""

    def __init__(self, model: SpeechTokenizer) -> None:
        super().__init__()
        self.model = model

    def forward(self, feats: Tensor, feats_length: Tensor) -> Tensor:
        codes: Tensor = self.model(feats, feats_length)[0]
        return codes.int()


def export_speech_tokenizer(model: SpeechTokenizer, path: str | os.PathLike[str]) -> None:
    """Write the tokenizer, as float32 with free batch and time axes.

    Codes beyond a row's end are 0.  The model itself, its device and its mode are left alone.
    Raises MissingDependencyError without the `onnx` package.
    """
    feats = torch.zeros(1, model.config.n_mels, EXAMPLE_FRAMES)
    lengths = torch.tensor([EXAMPLE_FRAMES], dtype=torch.int32)
    axes = {"feats": {0: "batch", 2: "frames"}, "feats_length": {0: "batch"}, "indices": {0: "batch", 1: "tokens"}}
    _export(_TokenizerInterface(model), (feats, lengths), path, ["feats", "feats_length"], ["indices"], axes)


def export_speaker_encoder(model: SpeakerEncoder, path: str | os.PathLike[str]) -> None:
    """Write the speaker encoder, as float32 with free batch and time axes.

    Batch norms that follow a convolution are folded into it.  The model itself, its device and its
    mode are left alone.  Raises MissingDependencyError without the `onnx` package.
    """
    features = torch.zeros(1, EXAMPLE_FRAMES, model.config.feat_dim)
    axes = {"input": {0: "batch", 1: "frames"}, "output": {0: "batch"}}
    _export(model, (features,), path, ["input"], ["output"], axes)


def _export(
    model: nn.Module,
    example: tuple[Tensor, ...],
    path: str | os.PathLike[str],
    inputs: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
) -> None:
    if importlib.util.find_spec("onnx") is None:
        raise MissingDependencyError("exporting needs the package onnx: pip install 'cosy[train]'")
    model = copy.deepcopy(model).cpu().float().eval()
    path = Path(path)
    partial = path.with_name(path.name + ".part")  # so that an interrupted export leaves no cut-short file
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that traces is deprecated, yet the only one that folds batch norms.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            model,
            example,
            str(partial),
            dynamo=False,
            opset_version=OPSET,
            do_constant_folding=True,
            input_names=inputs,
            output_names=outputs,
            dynamic_axes=axes,
        )
    partial.replace(path)


@dataclass(frozen=True)
class _Port:
    """What an input must be: one of the types, and the rank."""

    types: tuple[str, ...]
    rank: int
    channels: int | None = None  # the axis whose size the file may fix

    def fits(self, port: Any) -> bool:
        return port.type in self.types and len(port.shape) == self.rank


FEATURES = ("tensor(float)",)
LENGTHS = ("tensor(int32)", "tensor(int64)")
NUMPY_TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(int64)": np.int64}


class _Session:
    """An onnxruntime session on the CPU, opened at first use; may be called from several threads."""

    ports: Sequence[_Port]

    def __init__(self, path: str | os.PathLike[str], *, threads: int = 1) -> None:
        self.path = Path(path)
        self.threads = threads
        self._lock = Lock()
        self._session: Any = None

    def _run(self, *arrays: npt.NDArray[Any]) -> npt.NDArray[Any]:
        session = self._opened()
        feed = {}
        for port, expected, array in zip(session.get_inputs(), self.ports, arrays, strict=True):
            self._check_channels(port, expected, array)
            feed[port.name] = array.astype(NUMPY_TYPES[port.type], copy=False)
        return np.asarray(session.run([session.get_outputs()[0].name], feed)[0])

    def _opened(self) -> Any:
        with self._lock:
            if self._session is None:
                self._session = self._open()
            return self._session

    def _open(self) -> Any:
        import onnxruntime  # slow to import, and only needed to prepare new voices

        if not self.path.is_file():
            raise MissingFileError(f"{self.path} does not exist: {REMEDY}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        try:
            session = onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no other base class
            raise MismatchError(
                f"{self.path} ({self.path.stat().st_size} bytes) is not an ONNX model, or it is cut short: {REMEDY}"
            ) from error
        self._check_inputs(session.get_inputs())
        return session

    def _check_inputs(self, found: Sequence[Any]) -> None:
        if len(found) == len(self.ports) and all(e.fits(f) for e, f in zip(self.ports, found, strict=True)):
            return
        expected = ", ".join(f"{port.types[0]} of rank {port.rank}" for port in self.ports)
        got = ", ".join(f"{port.name} {port.type} {port.shape}" for port in found)
        raise MismatchError(f"{self.path} takes {got}; expected {expected}: it is another model, {REMEDY}")

    def _check_channels(self, port: Any, expected: _Port, array: npt.NDArray[Any]) -> None:
        if expected.channels is None:
            return
        size = port.shape[expected.channels]
        if isinstance(size, int) and size != array.shape[expected.channels]:
            raise MismatchError(
                f"{self.path} takes {size} feature bins, got {array.shape[expected.channels]}: "
                f"it is another model, {REMEDY}"
            )


class OnnxSpeechTokenizer(_Session):
    """Log-mel of one clip to speech tokens, by an ONNX file.

    `threads` are those onnxruntime uses within one call.  The first call raises MissingFileError if
    there is no file and MismatchError if it is not a speech tokenizer.
    """

    ports = (_Port(FEATURES, rank=3, channels=1), _Port(LENGTHS, rank=1))

    def __call__(self, mel: Tensor) -> Tensor:
        """mel float (1, M, T) -> codes int64 (ceil(T / 4),)."""
        assert mel.shape[:-2] == (1,), f"one clip (1, M, T) is wanted, got {tuple(mel.shape)}"
        indices = self._run(_array(mel), np.array([mel.shape[-1]]))
        return torch.from_numpy(indices.reshape(-1).astype(np.int64))


class OnnxSpeakerEncoder(_Session):
    """Mean-normalised filter banks of one clip to its voice vector, by an ONNX file.

    `threads` are those onnxruntime uses within one call.  The first call raises MissingFileError if
    there is no file and MismatchError if it is not a speaker encoder.
    """

    ports = (_Port(FEATURES, rank=3, channels=2),)

    def __call__(self, features: Tensor) -> Tensor:
        """features float (T, F) -> vector float32 (192,), not length-normalised.

        Raises AudioError for fewer than 3 frames of 10 ms.
        """
        assert features.ndim == 2, f"one clip (T, F) is wanted, got {tuple(features.shape)}"
        if len(features) < MIN_FRAMES:
            raise AudioError(f"the speaker encoder needs at least {MIN_FRAMES} frames (30 ms), got {len(features)}")
        return torch.from_numpy(self._run(_array(features)[None]).reshape(-1).astype(np.float32))


def _array(x: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(x.detach().float().cpu().numpy())
