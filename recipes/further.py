"""The bundled checkpoint, trained further, on what its own tokenizer makes of speech.

python recipes/further.py FOLDER STAGE... [--device cuda]

The stages, in order: data, encode, embed, start, then any of f0 and vocoder; reading, listener, voice_ear, syllable_ear
and flow; lm; at last references and assemble.  Those that are not below are of `bundled.py`.  Networks that were not
trained stay as they are shipped; vocabulary, tokenizer and speaker encoder always do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

import torch
from bundled import MODEL, TEMPERATURE, VOICES, Recipe, main
from safetensors.torch import load_file
from torch import Tensor, nn

from cosy.api import BUNDLED_MODEL
from cosy.checkpoint.layout import BACKBONE_DIRECTORY, Part, write_config
from cosy.checkpoint.load import LoadedModel, load_model
from cosy.models.f0_predictor import F0Predictor
from cosy.models.flow import Flow
from cosy.models.vocoder import Vocoder
from cosy.text.tokenizer import TextTokenizer
from cosy.train.assemble import write_networks
from cosy.train.speaker import embed
from cosy.train.tokenizer import encode


class Tokens(nn.Module):
    """The shipped tokenizer, called as one in training is."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, mel: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self.model.speech_tokenizer(mel)[None], lengths


class Vectors(nn.Module):
    """The shipped speaker encoder, called as one in training is."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        return self.model.speaker_encoder(features[0])[None]


class Further(Recipe):
    """`Recipe` from the shipped weights."""

    def encode(self) -> None:
        encode(self.corpus(*self.jobs), Tokens(load_model(BUNDLED_MODEL, parts=())))

    def embed(self) -> None:
        embed(self.corpus(*VOICES, "sounds"), Vectors(load_model(BUNDLED_MODEL, parts=())))

    def start(self) -> None:
        """The shipped weights, where the trainings look for a beginning."""
        llm, flow, hift = (load_file(BUNDLED_MODEL / f"{part}.safetensors") for part in ("llm", "flow", "hift"))
        predictor = "f0_predictor."
        for name in ("llm_decoder.weight", "llm_decoder.bias"):
            llm[name] = llm[name] * TEMPERATURE  # as it was before it was made sure
        beginnings = {
            "lm": {f"lm.{key}": value for key, value in llm.items()},
            "reading": {f"flow.{key}": value for key, value in flow.items()},
            "vocoder": hift,
            "f0": {key.removeprefix(predictor): value for key, value in hift.items() if key.startswith(predictor)},
        }
        (self.folder / "start").mkdir(parents=True, exist_ok=True)
        for name, state in beginnings.items():
            torch.save({key: value.float() for key, value in state.items()}, self.folder / "start" / f"{name}.pt")

    def assemble(self) -> None:
        """The shipped directory with the new networks and presets."""
        target = self.folder / "model"
        shutil.copytree(BUNDLED_MODEL, target, dirs_exist_ok=True)
        made: dict[Part, Callable[[], nn.Module]] = {"llm": self._llm, "flow": self._flow, "hift": self._hift}
        runs: dict[Part, tuple[str, ...]] = {"llm": ("lm",), "flow": ("flow",), "hift": ("vocoder", "f0", "flow")}
        trained = {part: make() for part, make in made.items() if any(map(self._ran, runs[part]))}
        write_networks(trained, target)
        write_config(MODEL, target)
        self._presets(target)

    def _flow(self) -> Flow:
        return super()._flow() if self._ran("flow") else load_model(BUNDLED_MODEL, parts=("flow",)).flow

    def _hift(self) -> Vocoder:
        if self._ran("vocoder"):
            return super()._hift()
        hift = self._shipped_hift()
        hift.f0_predictor = self._f0_predictor()
        return hift

    def _f0_predictor(self) -> F0Predictor:
        found = self._ran("f0") or self._ran("flow")
        return super()._f0_predictor() if found else self._shipped_hift().f0_predictor

    def _ran(self, stage: str) -> bool:
        return (self.folder / "runs" / stage).exists()

    def _shipped_hift(self) -> Vocoder:
        """As it was trained; `load_model` would fold its weights."""
        hift = Vocoder(MODEL.hift)
        hift.load_state_dict(load_file(BUNDLED_MODEL / "hift.safetensors"))
        return hift.eval()

    def _vocabulary(self) -> TextTokenizer:
        return TextTokenizer(BUNDLED_MODEL / BACKBONE_DIRECTORY)


if __name__ == "__main__":
    main(Further)
