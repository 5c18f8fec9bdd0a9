"""The bundled checkpoint, version 2: English and Mandarin, many voices, from free speech engines.

python recipes/bundled.py FOLDER STAGE... [--device cuda]

The stages, in order: data, tokenizer, encode, speaker, embed, vocabulary, f0, vocoder, reading, listener, voice_ear,
syllable_ear, flow, lm, references, assemble; `unseen` makes voices to be cloned.  A stage that was cut goes on where
it was; weights below FOLDER/start are where a network begins.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
import torch

from cosy.audio.constants import FRAMES_PER_TOKEN, SAMPLE_RATE_HZ
from cosy.checkpoint.load import load_model
from cosy.checkpoint.speakers import Speaker, write_speakers
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
from cosy.eval.held_out import held_out
from cosy.models.f0_predictor import F0Predictor
from cosy.models.flow import Flow
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_lm import SpeechLM
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.models.vocoder import Vocoder
from cosy.text.pronunciation import PRONUNCIATIONS_FILE
from cosy.text.tokenizer import TextTokenizer, add_characters, add_pronunciations, train_bpe
from cosy.train import lm_reading
from cosy.train.assemble import assemble, averaged, sharpen, start_from
from cosy.train.data import mandarin
from cosy.train.data.corpus import Corpus
from cosy.train.data.dictionary import write_dictionary
from cosy.train.data.espeak import EspeakVoice
from cosy.train.data.pinyin import spellings
from cosy.train.data.plan import STYLED, english_voice, espeak_voice, in_language, texts
from cosy.train.data.speakers import STYLES, Voice
from cosy.train.data.synth import LM_ONLY, Job, Line, breath, laughter, synthesise
from cosy.train.flow_by_ear import FlowByEarTask, folded
from cosy.train.flow_solved import SolvedFlowTask
from cosy.train.listener import Listener, ListenerTask
from cosy.train.lm import Mix
from cosy.train.lm_reading import ReadingLMTask
from cosy.train.speaker import SpeakerTask, embed
from cosy.train.syllable_ear import SyllableEar, SyllableEarTask
from cosy.train.tokenizer import TokenizerTask, encode
from cosy.train.trainer import Schedule, Task, Trainer
from cosy.train.vocoder import F0Task, VocoderTask
from cosy.train.voice_ear import VoiceEar, VoiceEarTask
from cosy.types import Samples
from cosy.voices.prepare import prepare_voice

N = TypeVar("N", bound=torch.nn.Module)

TOKENIZER = SpeechTokenizerConfig(n_state=192, n_head=3, n_layer=3)
SPEAKER = SpeakerEncoderConfig(front_channels=8, init_channels=32, growth_rate=8)
TEXT_TOKENS, HANZI, PHONE_RUNS = 1000, 3000, 600
LONGEST = 80  # text tokens of a segment: beyond 30 words one in six stopped early
MODEL = ModelConfig(
    llm=SpeechLMConfig(
        backbone=Qwen2Config(
            vocab_size=4992,
            hidden_size=192,
            intermediate_size=576,
            num_hidden_layers=9,
            num_attention_heads=3,
            num_key_value_heads=1,
            max_position_embeddings=4096,
        )
    ),
    flow=FlowConfig(
        input_size=192,
        encoder=FlowEncoderConfig(
            input_size=192, output_size=192, attention_heads=3, linear_units=576, num_blocks=5, up_blocks=3,
            dropout_rate=0.0, positional_dropout_rate=0.0, attention_dropout_rate=0.0,
        ),
        estimator=EstimatorConfig(channels=96, attention_head_dim=32, num_heads=3, n_blocks=1, num_mid_blocks=10),
        inference_cfg_rate=0.0,
        temperature=0.0,
        n_timesteps=1,
    ),
    hift=VocoderConfig(base_channels=128, f0_cond_channels=128),
)  # fmt: skip

CHUNK_TOKENS = MODEL.flow.encoder.static_chunk_size
FIRST_TOKENS = 20  # in the first piece of a preset's stream: it plays until the next is made, and is there soon
TEMPERATURE = 0.27  # of the language model's head, see `assemble.sharpen`

REFERENCE = {
    "en": "The garden behind the house was quiet, and a warm wind moved slowly.",
    "zh": "屋子后面的花园很安静，一阵暖风慢慢地吹过来。",
}
MANDARIN = Voice("cmn", EspeakVoice("f2", 45, 60, 200))  # the voice whose Mandarin the language model learns
PRESETS = {  # the first is the default
    "anna": Voice("", "slt"),
    "alex": Voice("", "rms"),
    "benjamin": Voice("", "awb"),
    "charles": Voice("", "kal16"),
    "david": Voice("", EspeakVoice("m5", 74, 60, 165)),
    "bella": Voice("", "slt", pitch=0.94, formants=0.88, intonation=0.95),
    "claire": Voice("", "rms", pitch=1.7, formants=1.17),
    "diana": MANDARIN,  # and so is her reference
}

ENGLISH_VOICES, BILINGUAL_VOICES, MANDARIN_VOICES = 160, 72, 29
NEUTRAL_LM = {"en": 12000, "zh": 16000}  # utterances
STYLED_LM = {"en": 200, "zh": 200}  # utterances of each style
WEIGHTS = {"cmn": 12.0, "slt": 3.0, "rms": 2.0, "awb": 2.0, "kal16": 2.0}  # whom most will hear is learnt best
PLAIN = {"slt": 300, "rms": 240, "awb": 120, "kal16": 80}  # utterances of the unchanged teachers


def _texts(language: str, seed: int, **options: Any) -> Iterator[str]:
    return texts(language, seed, held_out()[language], **options)


def _styled(drawn: Iterator[str], count: int, language: str, rng: random.Random) -> tuple[Line, ...]:
    styles = list(STYLES)[1:]
    return tuple(
        Line(text, language, rng.choice(styles) if rng.random() < STYLED else "")
        for text in itertools.islice(drawn, count)
    )


def english_jobs() -> list[Job]:
    rng = random.Random(1)
    drawn = _texts("en", 11)
    jobs = []
    for teacher, count in PLAIN.items():
        for part in range(count // 20):
            jobs.append(Job(f"{teacher}-{part:02d}", Voice(teacher, teacher), _styled(drawn, 20, "en", rng)))
    for number in range(ENGLISH_VOICES):
        voice = english_voice(f"en-{number:03d}", rng)
        jobs.append(Job(voice.name, voice, _styled(drawn, 18, "en", rng)))
    return jobs


def mandarin_jobs() -> list[Job]:
    rng = random.Random(2)
    chinese = _texts("zh", 21)
    english = _texts("en", 22)
    jobs = [Job(f"cmn-{part:02d}", MANDARIN, _styled(chinese, 20, "zh", rng)) for part in range(15)]
    for number in range(BILINGUAL_VOICES):
        teacher = espeak_voice(rng)
        voice = Voice(f"both-{number:03d}", teacher)
        jobs.append(Job(f"{voice.name}-zh", voice, _styled(chinese, 12, "zh", rng)))
        jobs.append(Job(f"{voice.name}-en", in_language(voice, "en"), _styled(english, 12, "en", rng)))
    for number in range(MANDARIN_VOICES):
        voice = Voice(
            f"zh-{number:03d}", espeak_voice(rng), rng.uniform(0.95, 1.3), rng.uniform(0.88, 1.14),
            rng.uniform(0.8, 1.2), rng.uniform(0.95, 1.05),
        )  # fmt: skip
        jobs.append(Job(voice.name, voice, _styled(chinese, 16, "zh", rng)))
    for part in range(30):
        jobs.append(Job(f"cmn-more-{part:02d}", MANDARIN, _styled(chinese, 20, "zh", rng)))
    for part in range(6):
        jobs.append(Job(f"cmn-en-{part:02d}", in_language(MANDARIN, "en"), _styled(english, 20, "en", rng)))
    return jobs


def unseen_jobs() -> list[Job]:
    """Twenty voices drawn like those of the training, from another seed; three long utterances each."""
    rng = random.Random(99)
    english = (t for t in _texts("en", 98) if 16 <= len(t.split()) <= 22)
    chinese = (t for t in _texts("zh", 97) if len(t) > 24)
    jobs = []
    for number in range(20):
        teacher = espeak_voice(rng)
        name, language = f"unseen-{number:02d}", "en" if number < 15 else "zh"
        voice = english_voice(name, rng) if number < 10 else in_language(Voice(name, teacher), language)
        drawn = english if language == "en" else chinese
        jobs.append(Job(name, voice, tuple(Line(t, language) for t in itertools.islice(drawn, 3))))
    return jobs


def sound_jobs() -> list[Job]:
    """Laughter and breath of the teachers, to be joined to sentences."""
    jobs = [Job("sounds-cmn", MANDARIN, (*(laughter("zh", n) for n in (2, 3, 4, 5)), breath("zh")))]
    english = (*(laughter("en", n) for n in (2, 3, 4, 5)), breath("en"))
    return jobs + [Job(f"sounds-{teacher}", Voice(teacher, teacher), english) for teacher in PLAIN]


def _lm_jobs(voice: Voice, language: str, drawn: Iterator[str]) -> list[Job]:
    styles = [style for style in STYLES for _ in range(STYLED_LM[language] if style else NEUTRAL_LM[language])]
    random.Random(3).shuffle(styles)
    lines = [Line(text, language, style) for text, style in zip(drawn, styles, strict=False)]
    return [
        Job(f"{language}-{number:03d}", voice, tuple(lines[start : start + 150]), LM_ONLY)
        for number, start in enumerate(range(0, len(lines), 150))
    ]


def lm_zh_jobs() -> list[Job]:
    return _lm_jobs(MANDARIN, "zh", _texts("zh", 31))


def lm_en_jobs() -> list[Job]:
    return _lm_jobs(Voice("slt", "slt"), "en", _texts("en", 32, salad_words=16000, salad_share=0.5))


VOICES = {"english": english_jobs, "mandarin": mandarin_jobs}
SENTENCES = {"lm_zh": lm_zh_jobs, "lm_en": lm_en_jobs}
JOBS = {**VOICES, **SENTENCES, "sounds": sound_jobs}


class Recipe:
    """The stages; everything lives below `folder`."""

    jobs: Mapping[str, Callable[[], list[Job]]] = JOBS

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.folder, self.device = folder, device

    def corpus(self, *names: str) -> Corpus:
        return Corpus(*(self.folder / name for name in names))

    def data(self) -> None:
        """Let the teachers speak, and prepare what the networks read."""
        for name, jobs in self.jobs.items():
            for job, tokens in synthesise(self.folder / name, jobs(), workers=2):
                logging.info("%s/%s %.1f s", name, job.name, tokens / 25)

    def _train(self, name: str, task: Task, schedule: Schedule) -> None:
        start = self.folder / "start" / f"{name}.pt"
        if start.exists():
            left = start_from(task.network, torch.load(start, weights_only=True))
            logging.info("%s starts from %s, except %s", name, start, ", ".join(left) or "nothing")
        task.network.to(self.device)
        for row in Trainer(task, schedule, self.folder / "runs" / name).run():
            logging.info("%s %s", name, json.dumps({k: round(v, 4) for k, v in row.items()}))

    def _network(self, network: N, name: str, prefix: str = "") -> N:
        """The network with the averaged weights of a run."""
        network.load_state_dict(averaged(self.folder / "runs" / name, prefix))
        return network.eval()

    def tokenizer(self) -> None:
        task = TokenizerTask(TOKENIZER, self.corpus(*VOICES))
        self._train("tokenizer", task, _schedule(1.5e-3, 2000, warmup_steps=100, ema=0.995))

    def speaker(self) -> None:
        task = SpeakerTask(SPEAKER, self.corpus(*VOICES))
        self._train("speaker", task, _schedule(2e-3, 600, warmup_steps=100, ema=0.99))

    def encode(self) -> None:
        """Speech tokens of every corpus."""
        encode(self.corpus(*JOBS), self._network(SpeechTokenizer(TOKENIZER), "tokenizer", "tokenizer."))

    def embed(self) -> None:
        """Speaker vectors of what the flow learns."""
        embed(self.corpus(*VOICES, "sounds"), self._network(SpeakerEncoder(SPEAKER), "speaker", "encoder."))

    def vocabulary(self) -> None:
        """The text tokenizer: the commonest hanzi, 一 and 不 as they are said, English words as phones."""
        texts = [entry.text for entry in self.corpus("lm_en").entries]
        base = self.folder / "start" / "vocabulary"
        if not base.exists():
            base = self.folder / "english_vocabulary"
            train_bpe(texts, TEXT_TOKENS, base)
        hanzi = mandarin.hanzi(HANZI)
        said = spellings(hanzi)
        homophones = "".join(way.rising + way.falling for way in said.values())
        characters = [*hanzi, *"，。？！、；：“”《》（）…—", *homophones]
        add_characters(base, characters, self.folder / "letters", LONGEST, said)
        dictionary = self.folder / PRONUNCIATIONS_FILE
        write_dictionary(dictionary, _beside("pronunciations_notice.txt"))
        add_pronunciations(self.folder / "letters", dictionary, texts, PHONE_RUNS, self.folder / "vocabulary")

    def f0(self) -> None:
        task = F0Task(MODEL.hift, self.corpus(*VOICES))
        self._train("f0", task, _schedule(1.5e-3, 12000, ema=0.998, clip_norm=100.0, precision="float32"))

    def vocoder(self) -> None:
        task = VocoderTask(MODEL.hift, self.corpus(*VOICES), self._f0_predictor(), speaker_weights=WEIGHTS)
        self._train("vocoder", task, _vocoder_schedule(1e-3, 8500))

    def _f0_predictor(self) -> F0Predictor:
        """That which has heard the flow, once it is there."""
        predictor = F0Predictor(MODEL.hift.f0_in_channels, MODEL.hift.f0_cond_channels, MODEL.hift.f0_num_class)
        heard = (self.folder / "runs" / "flow" / "last.pt").exists()
        return self._network(predictor, "flow", "f0_predictor.") if heard else self._network(predictor, "f0")

    def listener(self) -> None:
        task = ListenerTask(self.corpus(*VOICES))
        self._train("listener", task, _schedule(2e-3, 14000, warmup_steps=50, ema=0.99))

    def voice_ear(self) -> None:
        task = VoiceEarTask(self.corpus(*VOICES, "sounds"))
        self._train("voice_ear", task, _schedule(2e-3, 2000, warmup_steps=30, ema=0.99, precision="float32"))

    def syllable_ear(self) -> None:
        task = SyllableEarTask(self.corpus("mandarin"))
        self._train("syllable_ear", task, _schedule(2e-3, 2000, warmup_steps=50, ema=0.995, precision="float32"))

    def _syllable_ear(self) -> SyllableEar:
        return self._network(SyllableEar(), "syllable_ear").to(self.device)

    def reading(self) -> None:
        """The flow's encoder alone, for it is the encoder that reads; the flow begins with it."""
        self._train(
            "reading",
            self._by_ear(FlowByEarTask, reading_only=True),
            _schedule(1.5e-3, 3000, warmup_steps=50, ema=0.995),
        )

    def flow(self) -> None:
        ears = self._f0_predictor(), self._network(Listener(), "listener")
        voice_ear = self._network(VoiceEar(len(self.corpus(*VOICES, "sounds").by_speaker)), "voice_ear")
        ears = (ear.to(self.device) for ear in ears)
        options = {"teach_f0": True, "cond_rate": 0.85, "cond_share": 0.6}
        task = self._by_ear(SolvedFlowTask, *ears, self._syllable_ear(), voice_ear=voice_ear.to(self.device), **options)
        start_from(task.network, averaged(self.folder / "runs" / "reading"))
        self._train("flow", task, _schedule(1.4e-3, 9000, warmup_steps=150, ema=0.998))

    def _by_ear(self, kind: type[FlowByEarTask], *ears: Any, **options: Any) -> FlowByEarTask:
        weights: dict[str, Any] = {"language_weights": {"zh": 3.0}, "speaker_weights": WEIGHTS}
        return kind(MODEL.flow, self.corpus(*VOICES, "sounds"), *ears, batch=8, max_tokens=150, **weights, **options)

    def _flow(self) -> Flow:
        return folded(self.folder / "runs" / "flow", MODEL.flow)

    def references(self) -> None:
        """What the preset voices are made from: one recording of each."""
        jobs = []
        for name, voice in PRESETS.items():
            language = "zh" if voice is MANDARIN else "en"
            jobs.append(Job(name, replace(voice, name=name), (Line(REFERENCE[language], language),)))
        list(synthesise(self.folder / "references", jobs, workers=1))

    def unseen(self) -> None:
        """Prompts of voices that no network is trained on, as lists of `cosy eval`."""
        folder = self.folder / "unseen"
        list(synthesise(folder / "corpus", unseen_jobs(), workers=1))
        corpus = Corpus(folder / "corpus")
        for language in ("en", "zh"):
            lines = []
            for speaker, indices in corpus.by_speaker.items():
                prompt, target = sorted(indices, key=lambda i: -corpus.entries[i].tokens)[:2]
                if corpus.entries[prompt].language == language:
                    soundfile.write(folder / f"{speaker}.wav", _wave(corpus, prompt), SAMPLE_RATE_HZ)
                    text = corpus.entries[prompt].text
                    lines.append(f"{speaker}|{text}|{speaker}.wav|{corpus.entries[target].text}\n")
            (folder / f"{language}.lst").write_text("".join(lines), encoding="utf-8")

    def lm(self) -> None:
        corpora = self.corpus(*SENTENCES), self.corpus(*VOICES), self.corpus("sounds")
        task = ReadingLMTask(MODEL.llm, self._vocabulary(), *corpora, mix=Mix(same_speaker=0.2))
        self._train("lm", task, _schedule(2e-3, 5600, warmup_steps=150, ema=0.998))

    def _vocabulary(self) -> TextTokenizer:
        return TextTokenizer(self.folder / "vocabulary")

    def _llm(self) -> SpeechLM:
        llm = lm_reading.folded(self.folder / "runs" / "lm", MODEL.llm, self._vocabulary())
        sharpen(llm, TEMPERATURE)
        return llm

    def _hift(self) -> Vocoder:
        """The vocoder with the last F0 predictor."""
        hift = self._network(Vocoder(MODEL.hift), "vocoder")
        hift.f0_predictor.load_state_dict(self._f0_predictor().state_dict())
        return hift

    def assemble(self) -> None:
        """Write the model directory `model`."""
        assemble(
            self.folder / "model",
            MODEL,
            {"llm": self._llm(), "flow": self._flow(), "hift": self._hift()},
            self._network(SpeechTokenizer(TOKENIZER), "tokenizer", "tokenizer."),
            self._network(SpeakerEncoder(SPEAKER), "speaker", "encoder."),
            self.folder / "vocabulary",
            {},
            _beside("bundled_card.md"),
        )
        self._presets(self.folder / "model")

    def _presets(self, directory: Path) -> None:
        """Make every preset from its reference, as a user's recording would be, and keep the reference beside it.

        Without the transcript, so that it is the flow alone that hears the voice: a small language model reads better
        when it need not go on from someone else's sentence.
        """
        model = load_model(directory, parts=("speech_tokenizer", "speaker_encoder"))
        references = self.corpus("references")
        speakers = {}
        (directory / "references").mkdir(exist_ok=True)
        for index, entry in enumerate(references.entries):
            wave = _wave(references, index)
            soundfile.write(directory / "references" / f"{entry.speaker}.flac", wave, SAMPLE_RATE_HZ)
            voice = prepare_voice((wave, SAMPLE_RATE_HZ), entry.text, model, name=entry.speaker)
            kept = len(voice.prompt_tokens)
            kept -= (kept + FIRST_TOKENS) % CHUNK_TOKENS  # chunks are counted from the prompt's beginning
            tokens, mel = voice.prompt_tokens[None, :kept].int(), voice.prompt_mel[None, : FRAMES_PER_TOKEN * kept]
            speakers[entry.speaker] = Speaker(voice.embedding[None], None, tokens, mel)
        write_speakers({name: speakers[name] for name in PRESETS}, directory / "spk2info.safetensors")


def _beside(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _wave(corpus: Corpus, index: int) -> Samples:
    wave: Samples = corpus.slice("wave", index).astype(np.float32) / np.float32(32768)
    return wave


def _schedule(learning_rate: float, steps: int, **options: Any) -> Schedule:
    """By steps, so that a run does not depend on how busy the machine is."""
    return Schedule(learning_rate, minutes=math.inf, steps=steps, **options)


def _vocoder_schedule(learning_rate: float, steps: int) -> Schedule:
    return _schedule(learning_rate, steps, warmup_steps=50, ema=0.998, clip_norm=20.0, precision="float32")


def main(kind: type[Recipe] = Recipe) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("stages", nargs="+")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    recipe = kind(arguments.folder, arguments.device)
    for stage in arguments.stages:
        run: Callable[[], None] = getattr(recipe, stage)
        run()


if __name__ == "__main__":
    main()
