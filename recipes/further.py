"""The bundled checkpoint, trained further: flow, vocoder and F0 predictor, on what its own tokenizer makes of speech.

python recipes/further.py FOLDER STAGE... [--device cuda]

The stages, in order: data, encode, embed, start, f0, vocoder, listener, flow, remake, f0_made, references, assemble;
those that are not below are of `bundled.py`.  Language model, vocabulary, tokenizer and speaker encoder stay.
"""

from __future__ import annotations

import shutil

import torch
from bundled import VOICES, Recipe, main, sound_jobs
from safetensors.torch import load_file
from torch import Tensor, nn

from cosy.api import BUNDLED_MODEL
from cosy.checkpoint.load import LoadedModel, load_model
from cosy.train.assemble import write_networks
from cosy.train.speaker import embed
from cosy.train.tokenizer import encode

JOBS = {**VOICES, "sounds": sound_jobs}  # what flow and vocoder learn from


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

    jobs = JOBS

    def encode(self) -> None:
        encode(self.corpus(*self.jobs), Tokens(load_model(BUNDLED_MODEL, parts=())))

    def embed(self) -> None:
        embed(self.corpus(*self.jobs), Vectors(load_model(BUNDLED_MODEL, parts=())))

    def start(self) -> None:
        """The shipped weights, where the trainings look for a beginning."""
        flow, hift = (load_file(BUNDLED_MODEL / f"{part}.safetensors") for part in ("flow", "hift"))
        predictor = "f0_predictor."
        beginnings = {
            "flow": {f"flow.{key}": value for key, value in flow.items()},
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
        write_networks(self._acoustics(), target)
        self._presets(target)


if __name__ == "__main__":
    main(Further)
