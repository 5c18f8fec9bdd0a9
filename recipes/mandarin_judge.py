"""The judge of Mandarin, `cosy.eval.mandarin_judge`, in 50 minutes of one CPU core.

    python recipes/mandarin_judge.py FOLDER

It learns from espeak-ng in variants that no speech model of this project learns from (`cosy.train.data.plan` names
theirs), most of the time syllables in random order, through random rooms, filters, noise and smoothing.  Nothing is
kept: every batch is spoken when it is needed.  An uninterrupted run can be repeated from its seed; FOLDER keeps a
checkpoint and the finished weights.  Needs `pip install "cosy[train]"`.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soxr
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from cosy.errors import TextError
from cosy.eval.mandarin import held_out_sentences
from cosy.eval.mandarin_judge import BLANK, CLASS_OF, STEP_S, JudgeConfig, SyllableNetwork, features
from cosy.eval.recognise import RATE_HZ
from cosy.eval.syllables import BASES, TONES, Expected, sandhi, written
from cosy.train.assemble import averaged
from cosy.train.data.espeak import EspeakVoice, speak
from cosy.train.data.mandarin import draw
from cosy.train.data.synth import pieces
from cosy.train.trainer import Schedule, Trainer

LOW_VOICES = """Andy Denis Diogo Gene Gene2 Henrique Hugo Mario Mike Nguyen Reed RicishayMax adam boris david ed edward
    edward2 grandpa gustave iven2 iven3 iven4 john kaukovalta klatt4 klatt5 klatt6 max michel miguel mike2 norbert pablo
    paul robert sandro travis victor""".split()
HIGH_VOICES = "Alicia grandma linda shelby steph steph3 zac".split()
HIGH_SHARE = 0.4
SALAD_SHARE = 0.65
SENTENCES = 3000  # drawn once
MAX_S = 5.0
FFT, ROOM = 108_000, RATE_HZ // 2  # holds MAX_S, the silence around it and the room
OCTAVES = torch.linspace(0, RATE_HZ / 2, FFT // 2 + 1).clamp_min(60.0).div(1000.0).log2()  # above 1 kHz
STEPS = 10_000


def salad(rng: np.random.Generator) -> list[Expected]:
    """3 to 16 syllables, every base as likely; neutral tones are rarer and never come first."""
    said: list[Expected] = []
    for place in range(rng.integers(3, 17)):
        tone = "5" if said and rng.random() < 0.12 else TONES[rng.integers(4)]
        mark = "," if place and rng.random() < 0.08 else ""
        said.append(Expected(BASES[rng.integers(len(BASES))], tone, mark))
    return [*said[:-1], said[-1]._replace(marks=".?!"[rng.choice(3, p=(0.7, 0.2, 0.1))])]


def sentences(seed: int) -> Iterator[list[Expected]]:
    """Training sentences in Mandarin only and without rare syllables."""
    for text in draw(seed, [sentence.text for sentence in held_out_sentences()]):
        read = " ".join(said for _, said in pieces(text, "zh")).replace("v", "ü")
        try:
            yield written(read)
        except TextError:
            continue


def voice(rng: np.random.Generator) -> EspeakVoice:
    """A random one, but none of the lowest pitches with the widest ranges: they crash espeak-ng 1.52."""
    names = HIGH_VOICES if rng.random() < HIGH_SHARE else LOW_VOICES
    pitch, pitch_range, rate = (int(rng.integers(low, high)) for low, high in ((20, 96), (25, 81), (160, 300)))
    return EspeakVoice(names[rng.integers(len(names))], pitch, pitch_range, rate)


def recorded(wave: np.ndarray, rng: np.random.Generator) -> Tensor:
    """The wave (n,) through a random filter, often a room, and noise."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    spectrum = torch.fft.rfft(torch.from_numpy(wave), FFT)
    gain_db = float(rng.uniform(-3, 3)) * OCTAVES
    for _ in range(3):
        ripple, phase = rng.uniform(0.5, 2.5), rng.uniform(0, 2 * np.pi)
        gain_db = gain_db + float(rng.normal(0, 2.5)) * torch.cos(ripple * OCTAVES + phase)
    if rng.random() < 0.3:  # a narrow channel
        gain_db = gain_db - 24 * torch.relu(OCTAVES - np.log2(rng.uniform(3.0, 7.0)))
    spectrum = spectrum * 10 ** (gain_db / 20)
    if rng.random() < 0.4:
        room = torch.randn(ROOM, generator=generator) * torch.linspace(0, -1.5 / rng.uniform(0.1, 0.5), ROOM).exp2()
        room *= float(rng.uniform(0.05, 0.6)) / room.norm()
        room[0] = 1.0
        spectrum = spectrum * torch.fft.rfft(room, FFT)
    colour = 10 ** (float(rng.uniform(-6, 0)) * OCTAVES / 20)
    noise = colour * torch.randn(len(OCTAVES), dtype=torch.complex64, generator=generator)
    loudness = float(wave.std() * 10 ** (-rng.uniform(8, 60) / 20)) * (FFT / colour.square().mean()) ** 0.5
    heard: Tensor = torch.fft.irfft(spectrum + loudness * noise, FFT)[: len(wave)]
    return heard


def smeared(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Features (F, n) as a vocoder or a small model might have made them: blurred, grainy, with holes."""
    x = x.clone()
    if rng.random() < 0.5:
        share = float(rng.uniform(0, 0.3))
        x[1:-1] = (1 - share) * x[1:-1] + share / 2 * (x[:-2] + x[2:])
    if rng.random() < 0.5:
        share = float(rng.uniform(0, 0.3))
        x[:, 1:-1] = (1 - share) * x[:, 1:-1] + share / 2 * (x[:, :-2] + x[:, 2:])
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x += float(rng.uniform(0, 0.08)) * torch.randn(x.shape, generator=generator)
    mean = x.mean(0)
    for _ in range(2):
        start, width = int(rng.integers(x.shape[1])), int(rng.integers(0, 24))
        x[:, start : start + width] = mean[start : start + width]
    if rng.random() < 0.5:
        start, width = int(rng.integers(x.shape[0])), int(rng.integers(0, 4))
        x[start : start + width] = mean
    return x


class Example(NamedTuple):
    """One utterance: features (F, 258), the classes said (n,), and for every step the class it belongs to (T,)."""

    features: Tensor
    classes: Tensor
    owners: Tensor


class JudgeTask:
    """Batches of what random voices say, heard badly; see `trainer.Task`."""

    def __init__(self, config: JudgeConfig | None = None, batch: int = 8, sentence_count: int = SENTENCES) -> None:
        self.network, self.size = SyllableNetwork(config), batch
        self.sentences = list(islice(sentences(17), sentence_count))

    def _example(self, rng: np.random.Generator) -> Example:
        known = self.sentences
        while True:
            said = salad(rng) if rng.random() < SALAD_SHARE else known[rng.integers(len(known))]
            utterance = speak(voice(rng), "zh", [(s.base, s.usual.replace("ü", "v") + s.marks) for s in said])
            speed = rng.uniform(0.85, 1.2)  # of playing: another pitch, other formants, another pace
            wave = soxr.resample(utterance.audio, utterance.rate_hz * speed, RATE_HZ, quality="QQ")
            if len(wave) < MAX_S * RATE_HZ:
                break
        lead, tail = rng.integers(RATE_HZ // 20, RATE_HZ // 2, 2)
        x = smeared(features(recorded(np.pad(wave, (lead, tail)), rng)), rng)
        classes = torch.tensor([CLASS_OF[s.usual] for s in sandhi(said)])
        spans = [[(lead / RATE_HZ + s / speed) / STEP_S for s in (w.start_s, w.end_s)] for w in utterance.words]
        return Example(x, classes, _owners(classes, spans, len(x) // 2))

    def batch(self, rng: np.random.Generator) -> list[Example]:
        return [self._example(rng) for _ in range(self.size)]

    def loss(self, batch: list[Example], progress: float) -> tuple[Tensor, dict[str, float]]:
        """Connectionist temporal classification; at first also which syllable every step belongs to.

        The latter starts the network off: without alignments it would say nothing but blank for long.
        """
        scores = self.network(pad_sequence([e.features for e in batch], batch_first=True))
        steps, counts = torch.tensor([[len(e.owners), len(e.classes)] for e in batch]).T
        classes = torch.cat([e.classes for e in batch])
        heard = F.ctc_loss(scores.transpose(0, 1), classes, steps, counts, BLANK, zero_infinity=True)
        owners = pad_sequence([e.owners for e in batch], batch_first=True, padding_value=BLANK)
        placed = F.cross_entropy(scores[owners != BLANK][:, 1:], owners[owners != BLANK] - 1)
        return heard + 0.5 * (1 - progress) * placed, {"ctc": heard.item(), "placed": placed.item()}


def _owners(classes: Tensor, spans: list[list[float]], steps: int) -> Tensor:
    """The class of the syllable at each of `steps`, BLANK between them or if spans (start, end) are not known."""
    owners = torch.full((steps,), BLANK)
    for which, (start, end) in zip(classes if spans else (), spans, strict=True):
        owners[round(start) : round(end)] = which
    return owners


def main(folder: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    schedule = Schedule(1.5e-3, minutes=math.inf, steps=STEPS, warmup_steps=200)
    for row in Trainer(JudgeTask(), schedule, Path(folder)).run():
        logging.info(json.dumps({k: round(v, 4) for k, v in row.items()}))
    weights = {key: value.half() for key, value in averaged(Path(folder)).items() if value.is_floating_point()}
    save_file(weights, Path(folder) / "mandarin_judge.safetensors")


if __name__ == "__main__":
    main(*sys.argv[1:])
