from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from cosy.audio.constants import FRONT_END_RATE_HZ, SAMPLE_RATE_HZ, SPEAKER_DIM, TOKEN_RATE_HZ
from cosy.audio.features import speaker_features
from cosy.audio.resample import resample
from cosy.errors import MismatchError
from cosy.models.discriminators import Discriminators
from cosy.models.f0_predictor import F0Predictor
from cosy.models.lm_loss import SPEECH, build_sequences
from cosy.models.speaker_encoder import SpeakerEncoder
from cosy.models.speech_tokenizer import SpeechTokenizer
from cosy.text.sandhi import Spelling
from cosy.text.tokenizer import TextTokenizer, add_characters, add_pronunciations
from cosy.train.data.corpus import Corpus, Entry, build
from cosy.train.flow import FlowTask
from cosy.train.journal import Sound
from cosy.train.lm import LONG_S, PLAIN, LMTask, Mix, Utterance, align, guidance, spoken_text
from cosy.train.speaker import SPEEDS, SpeakerTask, embed
from cosy.train.tokenizer import TokenizerTask, encode
from cosy.train.trainer import Schedule, Task, Trainer
from cosy.train.transcripts import TranscriptTask, imbalance
from cosy.train.vocoder import AdversarialVocoderTask, F0Task, VocoderTask, _not_voiced, _unvoiced
from tests.model_dir import SMALL, SMALL_SPEAKER_ENCODER, SMALL_TOKENIZER
from tests.train.speakers import VECTORS, VOICES, write_speakers
from tests.train.tones import sayings

FLOW = replace(
    SMALL.flow,
    encoder=replace(
        SMALL.flow.encoder, dropout_rate=0.0, positional_dropout_rate=0.0, attention_dropout_rate=0.0, up_blocks=1
    ),
)
NAMES = ("tokenizer", "speaker", "f0", "vocoder", "flow", "lm")


@pytest.fixture
def task(request: pytest.FixtureRequest, corpus: Corpus, text_tokenizer: TextTokenizer) -> Task:
    return make(request.param, corpus, text_tokenizer)


def make(name: str, corpus: Corpus, text_tokenizer: TextTokenizer) -> Task:
    """A small task of every kind."""
    if name == "tokenizer":
        return TokenizerTask(SMALL_TOKENIZER, corpus, batch=4, tokens=25)
    if name == "speaker":
        return SpeakerTask(SMALL_SPEAKER_ENCODER, corpus, batch=8, tokens=25)
    if name == "f0":
        return F0Task(SMALL.hift, corpus, batch=4, tokens=16)
    if name == "vocoder":
        return VocoderTask(SMALL.hift, corpus, predictor(), batch=2, tokens=6)
    if name == "flow":
        return FlowTask(FLOW, corpus, batch=3, max_tokens=40)
    return lm(corpus, text_tokenizer)


def lm(corpus: Corpus, text_tokenizer: TextTokenizer, **changes: Any) -> LMTask:
    return LMTask(SMALL.llm, text_tokenizer, corpus, corpus, **{"positions": 240, "guide_layer": 1, **changes})


def predictor() -> F0Predictor:
    return F0Predictor(SMALL.hift.f0_in_channels, SMALL.hift.f0_cond_channels, SMALL.hift.f0_num_class)


def numbers(value: object) -> Iterator[np.ndarray]:
    """Every array of a batch, whatever holds it."""
    if isinstance(value, (Tensor, np.ndarray)):
        yield np.asarray(value)
    elif isinstance(value, dict):
        for key in sorted(value):
            yield from numbers(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from numbers(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from numbers(getattr(value, field.name))


def train(task: Task, steps: int, rate: float) -> list[dict[str, float]]:
    """Steps on one batch, at the start of the schedule."""
    task.network.train()
    batch = task.batch(np.random.default_rng(0))
    optimizer = torch.optim.Adam([p for p in task.network.parameters() if p.requires_grad], rate)
    rows = []
    for _ in range(steps):
        loss, figures = task.loss(batch, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rows.append({"loss": loss.item(), **figures})
    return rows


def every_task(*settings: tuple[int, float, float]) -> Any:
    return pytest.mark.parametrize(
        ("task", "steps", "rate", "share"), [(n, *s) for n, s in zip(NAMES, settings, strict=True)], indirect=["task"]
    )


@every_task((12, 3e-3, 0.8), (20, 2e-3, 0.8), (20, 5e-3, 0.95), (6, 5e-3, 0.98), (8, 5e-3, 0.9), (8, 5e-3, 0.9))
def test_a_handful_of_steps_lowers_the_loss(task: Task, steps: int, rate: float, share: float) -> None:
    losses = [row["loss"] for row in train(task, steps, rate)]
    assert np.isfinite(losses).all()
    assert losses[-1] < share * losses[0], losses


@pytest.mark.parametrize("task", NAMES, indirect=True)
def test_a_batch_is_a_pure_function_of_the_generator(task: Task) -> None:
    first, same, other = (list(numbers(task.batch(np.random.default_rng(seed)))) for seed in (3, 3, 4))
    assert first
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=False))


@pytest.mark.parametrize("task", NAMES, indirect=True)
def test_a_batch_leaves_the_global_generator_alone(task: Task) -> None:
    before = torch.get_rng_state()
    task.batch(np.random.default_rng(3))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("task", ["tokenizer", "speaker", "flow", "lm"], indirect=True)
def test_a_task_that_is_trained_in_bfloat16_has_a_finite_float32_loss_there(task: Task) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = task.loss(task.batch(np.random.default_rng(0)), 0.5)
    loss.backward()
    assert loss.dtype == torch.float32
    gradients = [p.grad for p in task.network.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in gradients)


# ---- the speech tokenizer


def test_a_window_of_the_tokenizer_task_keeps_its_arrays_together(corpus: Corpus) -> None:
    task = TokenizerTask(SMALL_TOKENIZER, corpus, batch=4, tokens=25)
    batch = task.batch(np.random.default_rng(1))
    assert batch["mel"].shape == (4, 128, 100)
    assert batch["phone"].shape == batch["voiced"].shape == batch["pitch"].shape == (4, 50)
    assert batch["cepstra"].shape == (4, 50, 20)
    voiced_share = batch["voiced"][batch["phone"] > 0].mean()
    assert voiced_share > 0.8, "the tones are voiced wherever a phone is said"


def test_pitch_targets_are_relative_to_the_speaker(corpus: Corpus) -> None:
    task = TokenizerTask(SMALL_TOKENIZER, corpus, batch=16, tokens=25)
    assert np.exp(task.pitch.numpy()) == pytest.approx(list(VOICES.values()), rel=0.05)
    batch = task.batch(np.random.default_rng(0))
    for speaker in (0, 1):
        own = batch["speaker"] == speaker
        assert batch["pitch"][own][batch["voiced"][own] > 0].mean().abs() < 0.5
    assert batch["pitch"].abs().max() <= 4


def test_encoding_writes_what_the_tokenizer_says(tmp_path: Path) -> None:
    bare, network = write_speakers(tmp_path, 2, names=("whisper",)), SpeechTokenizer(SMALL_TOKENIZER)
    encode(bare, network)
    corpus = Corpus(tmp_path)
    for index in range(len(corpus)):
        mel = torch.from_numpy(corpus.slice("whisper", index).astype(np.float32)).T[None]
        with torch.no_grad():
            expected, _ = network(mel, torch.tensor([mel.shape[-1]]))
        assert corpus.tokens_of(index).tolist() == expected[0].tolist()


# ---- the speaker encoder


def test_a_pseudo_speaker_is_a_speaker_at_a_speed(corpus: Corpus) -> None:
    task = SpeakerTask(SMALL_SPEAKER_ENCODER, corpus, batch=40, tokens=25)
    assert task.network.centres.out_features == 2 * len(SPEEDS)
    batch = task.batch(np.random.default_rng(0))
    frames = batch["features"].shape[1]
    assert batch["features"].shape == (40, frames, 80)
    assert 4 * 16 - 2 <= frames <= 4 * 33 - 2  # complete windows of 25 ms every 10 ms, in 16 to 33 tokens
    assert set(batch["label"].tolist()) == set(range(2 * len(SPEEDS)))


def test_the_margin_grows_with_the_schedule(corpus: Corpus) -> None:
    task = SpeakerTask(SMALL_SPEAKER_ENCODER, corpus, batch=8, tokens=25)
    batch = task.batch(np.random.default_rng(0))
    losses = [task.loss(batch, progress)[0].item() for progress in (0.0, 0.25, 0.5, 1.0)]
    assert losses[0] < losses[1] < losses[2] == losses[3]


def test_whispered_speech_tells_the_encoder_nothing(tmp_path: Path) -> None:
    spoken = sayings(3)
    build(tmp_path, [*spoken[:2], replace(spoken[2], style="whisper")], names=("wave",))
    assert SpeakerTask(SMALL_SPEAKER_ENCODER, Corpus(tmp_path)).speakers == [[0, 1]]


def test_embedding_writes_a_vector_per_utterance(tmp_path: Path) -> None:
    bare, network = write_speakers(tmp_path, 2, names=("wave",)), SpeakerEncoder(SMALL_SPEAKER_ENCODER)
    embed(bare, network)
    corpus = Corpus(tmp_path)
    wave = torch.from_numpy(corpus.slice("wave", 1).astype(np.float32)) / 32767
    with torch.no_grad():
        expected = network(speaker_features(resample(wave, SAMPLE_RATE_HZ, FRONT_END_RATE_HZ))[None])[0]
    np.testing.assert_allclose(corpus.vector_of(1), expected, rtol=1e-4, atol=1e-5)
    assert corpus.vector_of(3).shape == (SPEAKER_DIM,)


# ---- the vocoder


def test_segments_match_each_other_and_short_utterances_are_padded(corpus: Corpus) -> None:
    longest = max(entry.tokens for entry in corpus.entries)
    task = VocoderTask(SMALL.hift, corpus, predictor(), batch=3, tokens=longest + 2)
    batch = task.batch(np.random.default_rng(0))
    frames = 2 * (longest + 2)
    assert batch["mel"].shape == (3, 80, frames)
    assert batch["f0"].shape == (3, frames)
    assert batch["wave"].shape == (3, 480 * frames)
    assert batch["noise"].shape == (6, 480 * frames, 9), "two takes of each"
    assert batch["wave"].abs().max() <= 1
    assert not batch["wave"][:, -1920:].any()
    assert torch.equal(batch["mel"][:, :, -1], batch["mel"][:, :, -2])


def test_a_frame_is_unvoiced_if_its_beginning_and_the_next_ones_are() -> None:
    f0 = torch.tensor([[0.0, 0.0, 0.0, 120.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]])
    assert _unvoiced(f0).tolist() == [[1, 1, 0, 0, 1, 1], [1, 1, 1, 1, 1, 1]]
    assert _not_voiced(f0).tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]
    assert _not_voiced(torch.tensor([[0.0, 90.0, 90.0, 90.0]])).tolist() == [[1, 0, 0, 0]]


def test_an_f0_predictor_is_trained_further(corpus: Corpus) -> None:
    network = predictor()
    before = network.classifier.weight.clone()
    train(F0Task(SMALL.hift, corpus, batch=2, tokens=8, network=network), 2, 1e-2)
    assert not torch.equal(network.classifier.weight, before)


def test_the_trained_f0_predictor_stays_as_it_is(corpus: Corpus) -> None:
    trained = predictor()
    task = VocoderTask(SMALL.hift, corpus, trained, batch=1, tokens=4)
    train(task, 2, 1e-2)
    for key, value in trained.state_dict().items():
        assert torch.equal(task.network.f0_predictor.state_dict()[key], value)


def test_predicted_f0_drives_the_source_late_and_half_of_the_time(corpus: Corpus) -> None:
    task = VocoderTask(SMALL.hift, corpus, predictor(), batch=1, tokens=4)
    batch = task.batch(np.random.default_rng(0))
    heads, tails = ({**batch, "coin": torch.tensor(coin)} for coin in (0.1, 0.9))
    measured = task.loss(tails, 0.9)[0]
    assert torch.equal(task.loss(heads, 0.5)[0], measured)
    assert not torch.equal(task.loss(heads, 0.9)[0], measured)


# ---- the flow


def test_flow_rows_are_stretches_of_one_speaker(corpus: Corpus) -> None:
    task = FlowTask(FLOW, corpus, batch=3, max_tokens=40)
    batch = task.batch(np.random.default_rng(0))
    rows, tokens = batch["token"].shape
    assert 20 <= tokens <= 40
    assert rows * tokens <= 3 * 40
    assert batch["feat"].shape == (rows, 2 * tokens, 80)
    for feat, vector in zip(batch["feat"].numpy(), batch["embedding"].numpy(), strict=True):
        owner = np.abs(VECTORS - vector).sum(1).argmin()
        mel = np.concatenate([corpus.slice("mel", i) for i in list(corpus.by_speaker.values())[owner]])
        assert (mel == feat[0]).all(1).any(), "the first frame is one of the vector's own speaker"


def test_the_vector_of_a_flow_row_is_that_of_neutral_speech(tmp_path: Path) -> None:
    spoken = sayings(3)
    build(tmp_path, [replace(spoken[0], style="loud"), *spoken[1:]], names=("mel",))
    np.save(tmp_path / "codes.npy", np.zeros(Corpus(tmp_path).tokens, dtype=np.int16))
    np.save(tmp_path / "speakers.npy", np.zeros((3, SPEAKER_DIM), dtype=np.float32))
    assert [list(indices) for indices in FlowTask(FLOW, Corpus(tmp_path)).neutral] == [[1, 2]]


def test_flow_tokens_stay_beside_their_frames(corpus: Corpus) -> None:
    codes = np.concatenate([corpus.tokens_of(i) for i in range(len(corpus))])
    mel = np.concatenate([corpus.slice("mel", i) for i in range(len(corpus))])
    example = FlowTask(FLOW, corpus)._example(np.random.default_rng(2), 0, 20)
    for token, frame in zip(example["token"], example["feat"][::2], strict=True):
        places = np.nonzero((mel[::2] == frame).all(1))[0]
        assert token in codes[places]


def test_the_encoder_starts_at_the_mean_of_the_mel(corpus: Corpus) -> None:
    bias = FlowTask(FLOW, corpus).network.encoder_proj.bias.detach().numpy()
    means = [corpus.slice("mel", i).astype(np.float32).mean(0) for i in range(len(corpus))]
    np.testing.assert_allclose(bias, np.mean(means, axis=0), rtol=1e-5)


def test_the_prior_falls_away_at_the_end(corpus: Corpus) -> None:
    task = FlowTask(FLOW, corpus, batch=1, max_tokens=20)
    batch = task.batch(np.random.default_rng(0))
    total, figures = task.loss(batch, 1.0)
    assert total.item() == pytest.approx(figures["flow"])
    assert task.loss(batch, 0.0)[0].item() == pytest.approx(figures["flow"] + 0.5 * figures["prior"])


def test_a_flow_may_learn_from_more_noise_than_it_will_be_given(corpus: Corpus) -> None:
    plain, loud = (FlowTask(FLOW, corpus, batch=1, max_tokens=20, noise_scale=scale) for scale in (1.0, 2.0))
    batch = plain.batch(np.random.default_rng(0))
    (_, _, one, aimed), (_, _, other, farther) = (task._losses(batch, 1.0) for task in (plain, loud))
    torch.testing.assert_close(other.noise, 2 * one.noise)
    stay = 1 - FLOW.sigma_min
    torch.testing.assert_close(farther.target + stay * other.noise, aimed.target + stay * one.noise)


def test_a_flow_may_begin_at_the_beginning_more_often(corpus: Corpus) -> None:
    task = FlowTask(FLOW, corpus, batch=40, max_tokens=20, first_rate=0.5)
    _, _, draws, _ = task._losses(task.batch(np.random.default_rng(0)), 1.0)
    assert 0.2 < (draws.t == 0).float().mean() < 0.8, "of 40 half; further off by chance once in ten thousand"
    draws = FlowTask(FLOW, corpus, batch=40, max_tokens=20)._losses(task.batch(np.random.default_rng(0)), 1.0)[2]
    assert (draws.t > 0).all()


# ---- the language model


def test_words_are_tokenised_as_in_the_whole_text(text_tokenizer: TextTokenizer) -> None:
    entry = Entry("One, two three's four.", 0, 20, ())
    found = align(entry, np.zeros(20, dtype=np.int16), text_tokenizer)
    assert found.text.tolist() == text_tokenizer.encode(entry.text)
    words = [text_tokenizer.decode(found.text[found.text_word == w].tolist()) for w in range(4)]
    assert words == ["One,", " two", " three's", " four."]


def test_speech_tokens_fall_into_the_word_at_their_centre(text_tokenizer: TextTokenizer) -> None:
    ends = (("one", 0.2), ("two", 0.41))
    found = align(Entry("one two", 0, 12, ends), np.arange(12), text_tokenizer)
    centres = (np.arange(12) + 0.5) / TOKEN_RATE_HZ
    assert found.speech_word.tolist() == np.select([centres <= 0.2, centres <= 0.41], [0, 1], -1).tolist()


def test_without_word_times_no_speech_token_is_placed(text_tokenizer: TextTokenizer) -> None:
    assert set(align(Entry("one two", 0, 9), np.arange(9), text_tokenizer).speech_word) == {-1}


def test_a_word_is_written_as_its_text_has_it(text_tokenizer: TextTokenizer, tmp_path: Path) -> None:
    sandhi = {"一": Spelling("姨", "意", "个")}
    tokenizer = add_characters(text_tokenizer.directory, "一个姨", tmp_path, sandhi=sandhi)
    ends = tuple((char, 0.1 * at) for at, char in enumerate("第一，一个", start=1))
    found = align(Entry("第一，一个", 0, 12, ends), np.arange(12), tokenizer)
    assert found.text.tolist() == tokenizer.encode("第一，一个") == tokenizer.encode_spelt("第一，姨个")


def test_some_words_stay_in_letters(text_tokenizer: TextTokenizer, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("one w ah1 n\n", encoding="utf-8")
    folder = tmp_path / "vocabulary"
    tokenizer = add_pronunciations(text_tokenizer.directory, tmp_path / "words.txt", ["one one"], 20, folder)
    entry = Entry(" ".join(["one"] * 400), 0, 12)
    letters, phones = tokenizer.encode_spelt(" one"), tokenizer.encode(" one")
    assert align(entry, np.arange(12), tokenizer).text.tolist() == tokenizer.encode(entry.text)
    found = align(entry, np.arange(12), tokenizer, np.random.default_rng(0))
    words = [found.text[found.text_word == at].tolist() for at in range(1, 400)]
    assert all(word in (letters, phones) for word in words)
    assert 20 < words.count(letters) < 60


def test_joined_utterances_number_their_words_on() -> None:
    parts = [
        Utterance(np.array([5, 6, 7]), np.array([0, 0, 1]), np.array([1, 2, 3]), np.array([0, 1, -1])),
        Utterance(np.array([8, 9]), np.array([0, 1]), np.array([4, 5]), np.array([-1, 1])),
    ]
    joined = Utterance.join(parts)
    assert joined.text.tolist() == [5, 6, 7, 8, 9]
    assert joined.text_word.tolist() == [0, 0, 1, 2, 3]
    assert joined.speech.tolist() == [1, 2, 3, 4, 5]
    assert joined.speech_word.tolist() == [0, 1, -1, -1, 3]


def test_a_batch_of_the_language_model_keeps_to_its_size(corpus: Corpus, text_tokenizer: TextTokenizer) -> None:
    task = lm(corpus, text_tokenizer)
    for seed in range(10):
        sequences = task.batch(np.random.default_rng(seed)).sequences
        assert (
            len(sequences.table) == 1 or sequences.table.numel() <= 1.3 * task.positions
        )  # bi-streaming rows are longer


def test_long_texts_are_utterances_of_one_voice_in_a_row(corpus: Corpus, text_tokenizer: TextTokenizer) -> None:
    mix = Mix(same_speaker=0.0, any_prompt=0.0, joined=1.0, sound=0.0, neutral_instruction=0.0)
    task = lm(corpus, text_tokenizer, mix=mix)
    longest = max(len(each.speech) for each in task.targets)
    for seed in range(5):
        joined = task._joined(0, np.random.default_rng(seed))
        assert LONG_S[0] <= len(joined.speech) / TOKEN_RATE_HZ <= LONG_S[1] + longest / TOKEN_RATE_HZ
        read, alone = text_tokenizer.decode(joined.text.tolist()), text_tokenizer.decode(task.targets[0].text.tolist())
        assert read.startswith(alone)
        assert read[len(alone)] == " ", "the next sentence follows after a space"
        assert joined.speech_word.max() == joined.text_word.max()


def test_corruption_changes_inputs_and_not_targets(corpus: Corpus, text_tokenizer: TextTokenizer) -> None:
    clean, noisy = (
        lm(corpus, text_tokenizer, mix=Mix(corrupt=rate)).batch(np.random.default_rng(5)).sequences
        for rate in (0.0, 0.5)
    )
    assert torch.equal(clean.target, noisy.target)
    changed = clean.row != noisy.row
    assert set(clean.table[changed].tolist()) == {2}, "speech tokens only"
    assert int(changed.sum()) == pytest.approx(0.5 * int((clean.table == 2).sum()), rel=0.3)


class Guide:
    """Two words of two and one text tokens; four speech tokens: first, second, second word, not known."""

    row = Utterance(np.array([5, 6, 7]), np.array([0, 0, 1]), np.arange(4), np.array([0, 1, 1, -1]))
    # Positions: start, three of text, task, four of speech.  The position before a speech token predicts it.
    wanted = {4: (1, 2), 5: (3,), 6: (3,)}  # noqa: RUF012

    def __init__(self) -> None:
        text, speech = torch.from_numpy(self.row.text), torch.from_numpy(self.row.speech)
        self.sequences = build_sequences([text], [speech], [False], SMALL.llm)

    def attention(self, places: dict[int, tuple[int, ...]], heads: tuple[int, ...] = (0, 1)) -> Tensor:
        """(1, 2, T, T): the given heads spread each position's mass over `places`, all else is at the start."""
        size = self.sequences.table.shape[1]
        probs = torch.zeros(1, 2, size, size)
        probs[..., 0] = 1.0
        for head in heads:
            for position, targets in places.items():
                probs[0, head, position] = 0.0
                probs[0, head, position, list(targets)] = 1.0 / len(targets)
        return probs

    def loss(self, probs: Tensor, row: Utterance | None = None) -> float:
        return guidance(probs, spoken_text(self.sequences, [row or self.row])).item()


@pytest.fixture
def guide() -> Guide:
    return Guide()


def test_attention_on_the_word_being_spoken_costs_nothing(guide: Guide) -> None:
    assert guide.loss(guide.attention(guide.wanted)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("position", [4, 5, 6])
def test_attention_elsewhere_costs(guide: Guide, position: int) -> None:
    elsewhere = {**guide.wanted, position: (0,)}
    assert guide.loss(guide.attention(elsewhere)) == pytest.approx(-np.log(1e-4) / 3, rel=1e-4)


def test_half_of_the_mass_costs_log_two(guide: Guide) -> None:
    halved = {position: (0, places[0]) for position, places in guide.wanted.items()}
    assert guide.loss(guide.attention(halved)) == pytest.approx(np.log(2), rel=1e-5)


def test_every_head_that_is_given_is_guided(guide: Guide) -> None:
    assert guide.loss(guide.attention(guide.wanted, heads=(0,))) == pytest.approx(-np.log(1e-4) / 2, rel=1e-4)


def test_where_no_word_is_known_nothing_is_guided(guide: Guide) -> None:
    unknown = replace(guide.row, speech_word=np.full(4, -1))
    assert guide.loss(guide.attention(guide.wanted), unknown) == 0.0


def test_a_word_that_was_not_read_yet_is_not_asked_for() -> None:
    text, speech = torch.arange(10), torch.arange(40)
    # Blocks of 5 text and 15 speech tokens; all speech belongs to the last word, which comes in the second block.
    row = Utterance(text.numpy(), np.arange(10), speech.numpy(), np.full(40, 9))
    sequences = build_sequences([text], [speech], [True], SMALL.llm)
    size = sequences.table.shape[1]
    last_text = int((sequences.text_index[0] == 9).nonzero())
    probs = torch.zeros(1, 4, size, size)
    probs[:, :, last_text:, last_text] = 1.0
    assert guidance(probs, spoken_text(sequences, [row])).item() == pytest.approx(0.0, abs=1e-6)


def test_training_moves_attention_to_the_word_being_spoken(corpus: Corpus, text_tokenizer: TextTokenizer) -> None:
    rows = train(lm(corpus, text_tokenizer), 25, 1e-2)
    before, after = (np.exp(-rows[i]["guide"]) for i in (0, -1))  # geometric mean of the mass
    assert after > 2 * before


# ---- every utterance once an epoch


def test_an_epoch_of_the_language_model_holds_every_target_once(corpus: Corpus, text_tokenizer: TextTokenizer) -> None:
    task = lm(corpus, text_tokenizer, epochs=True, mix=PLAIN)
    rng, seen = np.random.default_rng(0), []
    while len(seen) < len(corpus):
        sequences = task.batch(rng).sequences
        assert len(sequences.table) == 1 or sequences.table.numel() <= 1.3 * task.positions
        seen += [tuple(row[kind == SPEECH].tolist()) for row, kind in zip(sequences.row, sequences.table, strict=True)]
    assert sorted(seen) == sorted(tuple(corpus.tokens_of(i).tolist()) for i in range(len(corpus)))


def test_an_epoch_of_the_flow_holds_every_utterance_once_and_whole(corpus: Corpus) -> None:
    task = FlowTask(FLOW, corpus, batch=2, max_tokens=40, epochs=True)
    rng, seen = np.random.default_rng(0), []
    while len(seen) < len(corpus):
        batch = task.batch(rng)
        assert len(batch["token"]) == 1 or batch["token"].numel() <= 80
        seen += [tuple(row[:n].tolist()) for row, n in zip(batch["token"], batch["length"], strict=True)]
    assert sorted(seen) == sorted(tuple(corpus.tokens_of(i).tolist()) for i in range(len(corpus)))


def test_padding_does_not_count_in_the_flow(corpus: Corpus) -> None:
    task = FlowTask(FLOW, corpus, batch=2, max_tokens=60, epochs=True)
    task.network.eval()
    rng = np.random.default_rng(1)
    batch = next(b for b in iter(lambda: task.batch(rng), None) if len(b["length"].unique()) > 1)
    hidden = torch.arange(batch["feat"].shape[1])[None] >= 2 * batch["length"][:, None]
    noisy = {**batch, "feat": batch["feat"] + 7.0 * hidden[..., None]}
    assert task.loss(noisy, 0.0)[0].item() == pytest.approx(task.loss(batch, 0.0)[0].item(), rel=1e-5)


def test_an_instruction_of_the_recording_itself_is_read_first(tmp_path: Path, text_tokenizer: TextTokenizer) -> None:
    corpus = write_speakers(tmp_path, 1, names=("whisper",))
    corpus.entries = [replace(entry, instruction="one six") for entry in corpus.entries]
    task = lm(corpus, text_tokenizer)
    before = [*text_tokenizer.encode("one six"), text_tokenizer.end_of_prompt_id]
    told = task._instructed(0, np.random.default_rng(0))
    assert told.text.tolist() == [*before, *text_tokenizer.encode(corpus.entries[0].text)]
    assert task._is_instructed(0, np.random.default_rng(0))


def test_without_word_times_attention_is_not_guided(tmp_path: Path, text_tokenizer: TextTokenizer) -> None:
    corpus = write_speakers(tmp_path, 2, names=("whisper",))
    corpus.entries = [replace(entry, words=()) for entry in corpus.entries]
    task = lm(corpus, text_tokenizer)
    batch = task.batch(np.random.default_rng(0))
    assert batch.spoken is None
    assert set(task.loss(batch, 0.0)[1]) == {"ce", "accuracy"}


# ---- text instead of phones


def test_only_what_ctc_can_tell_is_used(tmp_path: Path) -> None:
    corpus = write_speakers(tmp_path, 2, names=("whisper",))
    tokens = corpus.entries[0].tokens
    texts = ["a" * (tokens + 1), "ab" * tokens, "", "one"]
    corpus.entries = [replace(e, text=text, tokens=tokens) for e, text in zip(corpus.entries, texts, strict=True)]
    assert TranscriptTask(SMALL_TOKENIZER, corpus).usable == [1, 3]
    corpus.entries = [replace(entry, text="") for entry in corpus.entries]
    with pytest.raises(MismatchError, match="none of the 4 utterances"):
        TranscriptTask(SMALL_TOKENIZER, corpus)


def test_digits_that_are_all_alike_cost() -> None:
    even = torch.tensor([[-1.0] * 8, [0.0] * 8, [1.0] * 8])
    assert imbalance(even) == 0.0
    assert imbalance(torch.ones(3, 8)).item() == pytest.approx(1.6)
    assert imbalance(0.1 * even) > 0.4


# ---- the vocoder against critics


def test_critics_and_vocoder_learn_by_their_own_losses(corpus: Corpus) -> None:
    critics = Discriminators((2, 4), 2)
    task = AdversarialVocoderTask(SMALL.hift, corpus, batch=2, tokens=6, critics=critics)
    batch = task.batch(np.random.default_rng(0))
    task.critics_loss(batch, 0.0)[0].backward()
    assert all(p.grad is None for p in task.network.parameters())
    assert all(p.grad is not None for p in critics.parameters())
    critics.requires_grad_(False)
    loss, figures = task.loss(batch, 0.0)
    loss.backward()
    assert set(figures) == {"adversarial", "feature", "mel", "tpr", "f0"}
    assert all(p.grad is not None and p.grad.isfinite().all() for p in task.network.parameters())


def test_the_trainer_takes_an_adversarial_task(corpus: Corpus, tmp_path: Path) -> None:
    task = AdversarialVocoderTask(SMALL.hift, corpus, batch=1, tokens=6, critics=Discriminators((2, 4), 2))
    plan = Schedule(1e-3, math.inf, steps=1, log_steps=1, precision="float32")
    (row,) = Trainer(task, plan, tmp_path).run()
    assert {"critics_loss", "critics_tpr", "loss", "mel"} <= set(row)


# ---- samples


@pytest.mark.parametrize("task", ["tokenizer", "vocoder", "flow", "lm"], indirect=True)
@torch.inference_mode()
def test_samples_show_something_finite(task: Any) -> None:
    task.network.eval()
    shown = task.samples(np.random.default_rng(0))
    assert shown
    for sample in shown.values():
        values = sample.samples if isinstance(sample, Sound) else sample.values
        assert np.isfinite(values).all()
        assert values.size
