"""The bundled checkpoint, trained further: flow, vocoder and F0 predictor, on what its own tokenizer makes of speech.

python recipes/further.py FOLDER STAGE... [--device cuda]

The stages, in order: data, encode, embed, start, f0, vocoder, listener, flow, remake, f0_made, references, assemble;
those that are not below are of `bundled.py`.  Language model, vocabulary, tokenizer and speaker encoder stay.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import torch
from bundled import MODEL, VOICES, Recipe, main, sound_jobs
from safetensors.torch import load_file
from torch import Tensor, nn

import cosy
from cosy.checkpoint.convert import write_weights
from cosy.checkpoint.layout import Part
from cosy.checkpoint.load import LoadedModel, load_model
from cosy.models.flow import Flow
from cosy.models.vocoder import Vocoder
from cosy.train.data.synth import synthesise
from cosy.train.speaker import embed
from cosy.train.tokenizer import encode

SHIPPED = Path(cosy.__file__).parent / "assets" / "model"
JOBS = {**VOICES, "sounds": sound_jobs}


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

    def data(self) -> None:
        """Let the teachers speak what flow and vocoder learn from."""
        for name, jobs in JOBS.items():
            for job, tokens in synthesise(self.folder / name, jobs(), workers=2):
                logging.info("%s/%s %.1f s", name, job.name, tokens / 25)

    def encode(self) -> None:
        encode(self.corpus(*JOBS), Tokens(load_model(SHIPPED, parts=())))

    def embed(self) -> None:
        embed(self.corpus(*JOBS), Vectors(load_model(SHIPPED, parts=())))

    def start(self) -> None:
        """The shipped weights, where the trainings look for a beginning."""
        flow, hift = (load_file(SHIPPED / f"{part}.safetensors") for part in ("flow", "hift"))
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
        shutil.copytree(SHIPPED, target, dirs_exist_ok=True)
        hift = self._network(Vocoder(MODEL.hift), "vocoder")
        hift.f0_predictor.load_state_dict(self._f0_predictor().state_dict())
        parts: dict[Part, nn.Module] = {"flow": self._network(Flow(MODEL.flow), "flow", "flow."), "hift": hift}
        for part, network in parts.items():
            dtype = load_file(target / f"{part}.safetensors").popitem()[1].dtype
            write_weights(part, network.state_dict(), target / f"{part}.safetensors", dtype)
        self._presets(target)


if __name__ == "__main__":
    main(Further)
