"""The bundled checkpoint: two English voices from free speech engines, trained on two CPU cores in about two hours.

    python recipes/first_voice.py FOLDER STAGE...

Stages, in order: corpora, tokenizer, encode, speaker, embed, vocabulary, f0, vocoder, flow, lm, assemble.
A stage that trains resumes from its last checkpoint.  vocoder, flow and lm do not depend on each other:
run them side by side, one thread each.  Needs `pip install "cosy[train]"` and the programs festival (with
festvox-us-slt-hts) and flite.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from cosy.checkpoint.layout import Part as NetworkName
from cosy.checkpoint.speakers import Speaker
from cosy.config import (
    EstimatorConfig,
    FlowConfig,
    FlowEncoderConfig,
    ModelConfig,
    Qwen2Config,
    SpeakerEncoderConfig,
    SpeechLMConfig,
    SpeechTokenizerConfig,
    VocoderConfig,
)
from cosy.eval.sentences import EVERYDAY, slot_sentences
from cosy.models.flow import Flow
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_lm import SpeechLM
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.models.vocoder import Vocoder
from cosy.text.tokenizer import TextTokenizer, train_bpe
from cosy.train.assemble import assemble, averaged, sharpen
from cosy.train.data.corpus import Corpus, build
from cosy.train.data.english import draw, frequent_words, normal_form
from cosy.train.data.teachers import Utterance, synthesise
from cosy.train.flow import FlowTask
from cosy.train.lm import LMTask
from cosy.train.speaker import SpeakerTask, embed
from cosy.train.tokenizer import TokenizerTask, encode
from cosy.train.trainer import Schedule, Task, Trainer
from cosy.train.vocoder import F0Task, VocoderTask

ALL, LM_ONLY, WAVE_ONLY = ("wave", "mel", "whisper", "f0", "phone"), ("whisper",), ("wave",)


class Part(NamedTuple):
    """A stretch of the sentences that a seed draws, spoken by a teacher."""

    teacher: str
    seed: int
    start: int
    count: int
    speed: float = 1.0  # of playing: another pitch and other formants, so another speaker
    arrays: tuple[str, ...] = ALL


CORPORA = {
    "slt_low": Part("slt", 1, 0, 800, 0.88),
    "slt_high": Part("slt", 1, 800, 600, 1.12),
    "slt": Part("slt", 1, 1400, 3062),
    "slt_lm": Part("slt", 1, 5600, 10_400, arrays=LM_ONLY),
    "rms": Part("rms", 2, 0, 3063),
    "rms_high": Part("rms", 2, 3600, 700, 1.14),
    "rms_low": Part("rms", 2, 4300, 500, 0.9),
    "awb": Part("awb", 3, 0, 200, arrays=WAVE_ONLY),
    "kal16": Part("kal16", 4, 0, 200, arrays=WAVE_ONLY),
}
VOICES = {"slt": 0.4, "rms": 0.3, "slt_low": 0.08, "slt_high": 0.07, "rms_low": 0.07, "rms_high": 0.08}  # shares
PRESETS = {"anna": "slt", "alex": "rms"}
TEMPERATURE = 0.85  # of the language model's head, see `assemble.sharpen`

TOKENIZER = SpeechTokenizerConfig(n_state=192, n_head=3, n_layer=3)
SPEAKER = SpeakerEncoderConfig(front_channels=8, init_channels=32, growth_rate=8)
MODEL = ModelConfig(
    llm=SpeechLMConfig(
        backbone=Qwen2Config(
            vocab_size=1024,
            hidden_size=192,
            intermediate_size=576,
            num_hidden_layers=6,
            num_attention_heads=3,
            num_key_value_heads=1,
            max_position_embeddings=4096,
        )
    ),
    flow=FlowConfig(
        input_size=192,
        encoder=FlowEncoderConfig(
            input_size=192, output_size=192, attention_heads=3, linear_units=576, num_blocks=3, up_blocks=2,
            dropout_rate=0.05, positional_dropout_rate=0.05, attention_dropout_rate=0.05,
        ),
        estimator=EstimatorConfig(channels=96, attention_head_dim=32, num_heads=3, n_blocks=1, num_mid_blocks=3),
    ),
    hift=VocoderConfig(base_channels=64, f0_cond_channels=128),
)  # fmt: skip
TEXT_TOKENS = 1000


class Recipe:
    """The stages; everything lives below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def corpus(self, name: str) -> Corpus:
        return Corpus(self.folder / name)

    def corpora(self) -> None:
        """Let the teachers speak, and prepare what the networks read."""
        held_out = {normal_form(s) for s in (*slot_sentences(400), *EVERYDAY)}
        words = frequent_words(2500)
        for name, part in CORPORA.items():
            texts = itertools.islice(draw(part.seed, words, held_out), part.start, part.start + part.count)
            tokens = build(self.folder / name, _spoken(part.teacher, texts), part.speed, part.arrays)
            logging.info("%s: %.2f hours", name, tokens / 25 / 3600)

    def _train(self, name: str, task: Task, schedule: Schedule) -> None:
        for row in Trainer(task, schedule, self.folder / "runs" / name).run():
            logging.info("%s %s", name, json.dumps({k: round(v, 4) for k, v in row.items()}))

    def tokenizer(self) -> None:
        task = TokenizerTask(TOKENIZER, [self.corpus(n) for n in ("slt", "rms", "slt_low")])
        self._train("tokenizer", task, _schedule(1.5e-3, 2050, warmup_steps=50, ema=0.995))

    def encode(self) -> None:
        """Speech tokens of every corpus."""
        network = self._speech_tokenizer()
        for name in (n for n, part in CORPORA.items() if "whisper" in part.arrays):
            encode(self.corpus(name), self.folder / name, network)

    def _speech_tokenizer(self) -> SpeechTokenizer:
        network = SpeechTokenizer(TOKENIZER)
        network.load_state_dict(averaged(self.folder / "runs" / "tokenizer", "tokenizer."))
        return network.eval()

    def speaker(self) -> None:
        task = SpeakerTask(SPEAKER, [self.corpus(n) for n in ("slt", "rms", "awb", "kal16")])
        self._train("speaker", task, _schedule(2e-3, 380, warmup_steps=50, ema=0.99))

    def embed(self) -> None:
        """Speaker vectors of the voices the flow learns."""
        for name in VOICES:
            embed(self.corpus(name), self.folder / name, self._speaker_encoder(), utterances=40)

    def _speaker_encoder(self) -> SpeakerEncoder:
        network = SpeakerEncoder(SPEAKER)
        network.load_state_dict(averaged(self.folder / "runs" / "speaker", "encoder."))
        return network.eval()

    def vocabulary(self) -> None:
        """The text tokenizer, from the language model's text."""
        texts = [e.text for n in ("slt", "slt_lm") for e in self.corpus(n).entries]
        train_bpe(texts, TEXT_TOKENS, self.folder / "vocabulary")

    def _voices(self) -> tuple[list[Corpus], list[float]]:
        return [self.corpus(n) for n in VOICES], list(VOICES.values())

    def f0(self) -> None:
        task = F0Task(MODEL.hift, *self._voices())
        self._train("f0", task, _schedule(2e-3, 3650, ema=0.998, clip_norm=100.0, bfloat16=False))

    def vocoder(self) -> None:
        predictor = F0Task(MODEL.hift, *self._voices()).network
        predictor.load_state_dict(averaged(self.folder / "runs" / "f0"))
        task = VocoderTask(MODEL.hift, *self._voices(), predictor)
        self._train("vocoder", task, _schedule(2e-3, 7200, ema=0.998, clip_norm=20.0, bfloat16=False))

    def flow(self) -> None:
        task = FlowTask(MODEL.flow, *self._voices())
        self._train("flow", task, _schedule(1.5e-3, 4550, warmup_steps=200, ema=0.998))

    def lm(self) -> None:
        task = LMTask(MODEL.llm, TextTokenizer(self.folder / "vocabulary"), [self.corpus(n) for n in ("slt", "slt_lm")])
        self._train("lm", task, _schedule(2e-3, 7000, warmup_steps=200, ema=0.998))

    def assemble(self) -> None:
        """Write the model directory `model`."""
        runs = self.folder / "runs"
        llm, flow, hift = SpeechLM(MODEL.llm), Flow(MODEL.flow), Vocoder(MODEL.hift)
        for network, name in ((llm, "lm"), (flow, "flow"), (hift, "vocoder")):
            network.load_state_dict(averaged(runs / name))
        sharpen(llm, TEMPERATURE)
        networks: dict[NetworkName, torch.nn.Module] = {"llm": llm, "flow": flow, "hift": hift}
        speakers = {preset: Speaker(self._mean_vector(voice)) for preset, voice in PRESETS.items()}
        card = (Path(__file__).parent / "first_voice_card.md").read_text(encoding="utf-8")
        assemble(
            self.folder / "model",
            MODEL,
            networks,
            self._speech_tokenizer(),
            self._speaker_encoder(),
            self.folder / "vocabulary",
            speakers,
            card,
        )

    def _mean_vector(self, voice: str) -> torch.Tensor:
        vectors = np.load(self.folder / voice / "speakers.npy")
        return torch.from_numpy(vectors.mean(axis=0, keepdims=True))


def _spoken(teacher: str, texts: Iterable[str], batch: int = 100) -> Iterator[Utterance]:
    texts = iter(texts)
    while group := list(itertools.islice(texts, batch)):
        yield from synthesise(teacher, group)


def _schedule(learning_rate: float, steps: int, **options: Any) -> Schedule:
    """By steps, so that a run does not depend on how busy the machine is."""
    return Schedule(learning_rate, minutes=math.inf, steps=steps, **options)


def main(folder: str, *stages: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = Recipe(Path(folder))
    for stage in stages:
        run: Callable[[], None] = getattr(recipe, stage)
        run()


if __name__ == "__main__":
    main(*sys.argv[1:])
