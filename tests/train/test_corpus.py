from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cosy.audio.constants import FRAME_RATE_HZ, HOP_SAMPLES, SAMPLE_RATE_HZ, TOKEN_RATE_HZ
from cosy.audio.silence import dbfs
from cosy.errors import MismatchError, MissingFileError
from cosy.eval.mandarin import held_out_sentences
from cosy.models.source import Source
from cosy.train.data.corpus import LEAD_S, LEVEL_DBFS, TAIL_S, Corpus, build, pitch, shards_of
from cosy.train.data.espeak import EspeakVoice, speak
from cosy.train.data.phones import PHONES
from cosy.train.data.synth import pieces
from cosy.train.data.teachers import Utterance
from tests.model_dir import SMALL
from tests.train.tones import PHONE_S, RATE_HZ, SILENCE_S, SPELLING, sayings, utterance

NO_F0 = ("wave", "mel", "whisper", "phone")
WORDS = ("two", "three", "five")
MANDARIN_VOICE = EspeakVoice("f2", 45, 60, 235)
PHONES_SAID = [label for word in WORDS for label in SPELLING[word]]


def built(folder: Path, names: tuple[str, ...] = NO_F0) -> Corpus:
    build(folder / "00000", [utterance(WORDS)], names)
    return Corpus(folder)


def files_of(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_entries_tile_the_arrays(corpora: list[Corpus]) -> None:
    corpus = corpora[0]
    starts = np.cumsum([0, *(e.tokens for e in corpus.entries)])
    assert [e.start for e in corpus.entries] == starts[:-1].tolist()
    assert corpus.tokens == starts[-1]
    assert len(corpus) == 6


def test_build_returns_the_length_in_tokens(tmp_path: Path) -> None:
    assert build(tmp_path / "00000", sayings(3), names=("wave",)) == Corpus(tmp_path).tokens


@pytest.mark.parametrize(
    ("name", "shape", "dtype"),
    [
        ("wave", (960,), np.int16),
        ("mel", (2, 80), np.float16),
        ("whisper", (4, 128), np.float16),
        ("f0", (2,), np.float32),
        ("phone", (2,), np.uint8),
    ],
)
def test_a_token_has_its_share_of_every_array(
    corpora: list[Corpus], name: str, shape: tuple[int, ...], dtype: type
) -> None:
    for index, entry in enumerate(corpora[0].entries):
        array = corpora[0].slice(name, index)
        assert array.shape == (entry.tokens * shape[0], *shape[1:])
        assert array.dtype == dtype


def test_a_slice_counts_in_tokens(corpora: list[Corpus]) -> None:
    whole = corpora[0].slice("mel", 2)
    np.testing.assert_array_equal(corpora[0].slice("mel", 2, 5, 7), whole[10:24])
    np.testing.assert_array_equal(corpora[0].slice("mel", 2, 5), whole[10:])


def test_silence_is_cut_to_a_short_lead_and_tail_and_whole_tokens(tmp_path: Path) -> None:
    corpus = built(tmp_path)
    seconds = LEAD_S + PHONE_S * len(PHONES_SAID) + TAIL_S
    assert -0.1 <= corpus.tokens - seconds * TOKEN_RATE_HZ <= 1
    wave = corpus.slice("wave", 0)
    lead = int(LEAD_S * SAMPLE_RATE_HZ)
    assert np.abs(wave[: lead - 60]).max() <= 1
    assert np.abs(wave[lead : lead + 480]).max() > 100


def test_every_frame_has_the_phone_at_its_centre(tmp_path: Path) -> None:
    labels = [PHONES[i] for i in built(tmp_path).slice("phone", 0)]
    for frame, label in enumerate(labels):
        index = int(np.floor(((frame + 0.5) / FRAME_RATE_HZ - LEAD_S) / PHONE_S))
        assert label == (PHONES_SAID[index] if 0 <= index < len(PHONES_SAID) else "pau"), f"frame {frame}"


def test_word_times_are_shifted_with_the_audio(tmp_path: Path) -> None:
    ends = LEAD_S + PHONE_S * np.cumsum([len(SPELLING[w]) for w in WORDS])
    words = built(tmp_path).entries[0].words
    assert [label for label, _ in words] == list(WORDS)
    np.testing.assert_allclose([end for _, end in words], ends, atol=1e-3)


def test_text_is_kept(tmp_path: Path) -> None:
    assert built(tmp_path).entries[0].text == "two three five"


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_speech_is_brought_to_one_level(tmp_path: Path, level: float) -> None:
    build(tmp_path / "00000", [utterance(WORDS, level=level)], names=("wave",))
    wave = Corpus(tmp_path).slice("wave", 0) / np.float32(32767)
    assert dbfs(wave) == pytest.approx(LEVEL_DBFS, abs=0.3)


def test_a_style_may_be_louder(tmp_path: Path) -> None:
    styles = [replace(utterance(WORDS), style=style) for style in ("", "soft")]
    build(tmp_path / "00000", styles, ("wave",), {"soft": -9.0})
    neutral, soft = (dbfs(Corpus(tmp_path).slice("wave", i) / np.float32(32767)) for i in range(2))
    assert soft - neutral == pytest.approx(-9.0, abs=0.1)


def glide() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A second of rising pitch: of every sample F0 in Hz, the phase of the fundamental in radians, and the wave."""
    hz = 120 + 80 * np.arange(50 * HOP_SAMPLES) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE_HZ
    return hz, phase, sum(np.sin(h * phase) / h for h in range(1, 6)).astype(np.float32)


def test_pitch_is_that_of_the_beginning_of_the_frame() -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    hz, _, wave = glide()
    found = pitch(wave)
    assert found.shape == (50,)
    np.testing.assert_allclose(found[5:-5], hz[::HOP_SAMPLES][5:-5], rtol=0.002)


def test_the_source_goes_along_with_what_it_is_trained_to_follow() -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    _, phase, wave = glide()
    source = Source(SMALL.hift)
    sines, _ = source.sines(torch.from_numpy(pitch(wave))[None], source.init_state(1), final=True)
    fundamental = sines[0, HOP_SAMPLES // 2 :, 0].numpy()
    middle = slice(5 * HOP_SAMPLES, -5 * HOP_SAMPLES)
    level = abs(np.mean(fundamental[middle] * np.exp(1j * phase[middle]))) / np.mean(fundamental[middle] ** 2) ** 0.5
    assert level > 0.99 * 0.5**0.5, "in step all the way"


def test_a_pitch_that_moves_fast_is_followed() -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    octaves = np.clip((np.arange(40 * HOP_SAMPLES) / SAMPLE_RATE_HZ - 0.3) / 0.05, 0, 1)
    hz = 130 * 2**octaves
    phase = 2 * np.pi * np.cumsum(hz) / SAMPLE_RATE_HZ
    found = pitch(sum(np.sin(h * phase) / h for h in range(1, 6)).astype(np.float32))
    np.testing.assert_allclose(found[2:-2], hz[::HOP_SAMPLES][2:-2], rtol=0.05)


def test_mandarin_vowels_have_a_pitch_and_its_voiceless_consonants_have_none(tmp_path: Path) -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    pytest.importorskip("espeakng_loader", reason="the extra `train` brings espeak-ng")
    texts = [sentence.text for sentence in held_out_sentences()[:8]]
    build(tmp_path / "00000", [speak(MANDARIN_VOICE, "zh", pieces(t, "zh")) for t in texts], ("f0", "phone"))
    corpus = Corpus(tmp_path)
    said, voiced = (np.concatenate([corpus.slice(name, i) for i in range(len(corpus))]) for name in ("phone", "f0"))
    amid = (said[1:-1] == said[:-2]) & (said[1:-1] == said[2:])  # frames beside another phone are neither

    def share(phones: str) -> float:
        among = amid & np.isin(said[1:-1], [PHONES.index(phone) for phone in phones.split()])
        assert among.sum() > 40
        return float((voiced[1:-1] > 0)[among].mean())

    assert share("aa ae ah ao aw ax ay eh er ey iy ow uw ir iz eo ie ye ya wa wai wei wo yow ong yu") > 0.96
    assert share("p t k f s hh sj sr tch trh tsz") < 0.12


def test_silence_has_no_pitch() -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    assert not pitch(np.zeros(20 * HOP_SAMPLES, dtype=np.float32)).any()


def test_only_the_named_arrays_are_written(tmp_path: Path) -> None:
    corpus = built(tmp_path, names=("whisper",))
    assert files_of(tmp_path) == ["00000/entries.jsonl", "00000/whisper.raw"]
    assert len(corpus.slice("whisper", 0)) == 4 * corpus.tokens


def test_an_array_that_was_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no 'mel'"):
        built(tmp_path, names=("whisper",)).slice("mel", 0)


def test_speech_tokens_and_vectors_that_were_not_made_are_named(tmp_path: Path) -> None:
    corpus = built(tmp_path, names=("wave",))
    with pytest.raises(MissingFileError, match="no 'codes'"):
        corpus.tokens_of(0)
    with pytest.raises(MissingFileError, match="no 'speakers'"):
        corpus.vector_of(0)
    assert not corpus.has("codes")


def test_speech_tokens_belong_to_their_entry(corpora: list[Corpus]) -> None:
    for index in range(len(corpora[0])):
        phones = corpora[0].slice("phone", index)[::2].astype(np.int16)
        np.testing.assert_array_equal(corpora[0].tokens_of(index), phones * 97)


def test_speech_tokens_of_an_earlier_build_are_refused(tmp_path: Path) -> None:
    corpus = built(tmp_path, names=("wave",))
    np.save(tmp_path / "00000" / "codes.npy", np.zeros(corpus.tokens - 1, dtype=np.int16))
    with pytest.raises(MismatchError, match="codes"):
        Corpus(tmp_path)


def test_an_array_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    built(tmp_path, names=("wave",))
    with (tmp_path / "00000" / "wave.raw").open("r+b") as file:
        file.truncate(1920)
    with pytest.raises(MismatchError, match="wave"):
        Corpus(tmp_path)


def test_what_is_known_of_an_utterance_is_kept(tmp_path: Path) -> None:
    said = replace(utterance(WORDS), speaker="ada", language="en", style="sad", instruction="Speak with sorrow.")
    build(tmp_path / "00000", [said], ("wave",))
    (entry,) = Corpus(tmp_path).entries
    assert (entry.text, entry.speaker, entry.language) == (said.text, "ada", "en")
    assert (entry.style, entry.instruction) == ("sad", "Speak with sorrow.")


def test_a_listing_without_instructions_can_be_read(tmp_path: Path) -> None:
    built(tmp_path, names=("wave",))
    listing = tmp_path / "00000" / "entries.jsonl"
    fields = json.loads(listing.read_text(encoding="utf-8"))
    del fields["instruction"]
    listing.write_text(json.dumps(fields) + "\n", encoding="utf-8")
    assert Corpus(tmp_path).entries[0].instruction == ""


# ---- several shards


@pytest.fixture
def two_shards(tmp_path: Path) -> Corpus:
    low = [replace(u, speaker="low") for u in sayings(2, 120.0)]
    high = [replace(u, speaker="high") for u in sayings(3, 190.0, seed=1)]
    build(tmp_path / "00000", [low[0], *high], ("wave",))
    build(tmp_path / "00001", [low[1]], ("wave",))
    return Corpus(tmp_path)


def test_shards_are_read_one_after_the_other(two_shards: Corpus) -> None:
    assert [(e.shard, e.row) for e in two_shards.entries] == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0)]
    assert two_shards.entries[4].start == 0
    assert two_shards.slice("wave", 4).any()
    assert len(two_shards.slice("wave", 4)) == 960 * two_shards.entries[4].tokens


def test_the_entries_of_a_speaker_are_found_in_every_shard(two_shards: Corpus) -> None:
    found = {speaker: indices.tolist() for speaker, indices in two_shards.by_speaker.items()}
    assert found == {"high": [1, 2, 3], "low": [0, 4]}


def test_several_corpora_are_read_as_one(two_shards: Corpus, tmp_path: Path) -> None:
    folders = [tmp_path / "00001", tmp_path]
    assert Corpus(*folders).tokens == two_shards.entries[4].tokens + two_shards.tokens


def test_a_shard_without_an_utterance_is_one_like_any_other(tmp_path: Path) -> None:
    build(tmp_path / "00000", [], NO_F0)
    build(tmp_path / "00001", [utterance(WORDS)], NO_F0)
    corpus = Corpus(tmp_path)
    assert len(corpus) == 1
    assert len(corpus.slice("mel", 0)) == 2 * corpus.tokens


def test_a_folder_without_a_shard_is_an_error_that_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="cosy data build"):
        Corpus(tmp_path)


# ---- whole or not at all


def failing() -> Iterator[Utterance]:
    yield utterance(WORDS)
    raise RuntimeError("the engine has gone")


def test_a_shard_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="has gone"):
        build(tmp_path / "00000", failing(), ("wave",))
    assert list(tmp_path.iterdir()) == []


def test_a_shard_that_fails_leaves_the_earlier_one(tmp_path: Path) -> None:
    before = built(tmp_path, names=("wave",)).tokens
    with pytest.raises(RuntimeError, match="has gone"):
        build(tmp_path / "00000", failing(), ("wave",))
    assert Corpus(tmp_path).tokens == before


def test_a_shard_that_was_never_finished_is_not_read(tmp_path: Path) -> None:
    built(tmp_path, names=("wave",))
    (tmp_path / "00001.partial").mkdir()
    (tmp_path / "00001.partial" / "entries.jsonl").touch()
    assert [shard.name for shard in shards_of(tmp_path)] == ["00000"]


def test_the_tones_are_as_long_as_they_say() -> None:
    made = utterance(WORDS)
    assert len(made.audio) / RATE_HZ == pytest.approx(made.phones[-1].end_s)
    assert made.words[0].start_s == pytest.approx(SILENCE_S)


def test_a_speaker_is_drawn_by_the_root_of_what_it_says_and_by_its_weight(corpus: Corpus) -> None:
    high, low = (sum(corpus.entries[i].tokens for i in own) for own in corpus.by_speaker.values())
    assert corpus.shares() == pytest.approx([high**0.5 / (high**0.5 + low**0.5), low**0.5 / (high**0.5 + low**0.5)])
    weighted = corpus.shares({"low": 9.0})
    assert weighted[1] / weighted[0] == pytest.approx(9 * (low / high) ** 0.5)
    everything = np.full(len(corpus), 7.0)
    assert corpus.shares(entry_weights=everything) == pytest.approx(corpus.shares()), "of all alike is of none"
