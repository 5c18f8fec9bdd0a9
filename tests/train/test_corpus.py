from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cosy.audio.constants import FRAME_RATE_HZ, HOP_SAMPLES, SAMPLE_RATE_HZ, TOKEN_RATE_HZ
from cosy.errors import MismatchError, MissingFileError
from cosy.train.data.corpus import LEAD_S, LEVEL_DBFS, PHONES, TAIL_S, Corpus, build, phone_index, pitch
from tests.train.tones import PHONE_S, RATE_HZ, SILENCE_S, SPELLING, sayings, utterance

NO_F0 = ("wave", "mel", "whisper", "phone")
WORDS = ("two", "three", "five")
PHONES_SAID = [label for word in WORDS for label in SPELLING[word]]


def built(folder: Path, names: tuple[str, ...] = NO_F0, factor: float = 1.0) -> Corpus:
    build(folder, [utterance(WORDS)], factor, names)
    return Corpus(folder)


def test_entries_tile_the_arrays(corpora: list[Corpus]) -> None:
    corpus = corpora[0]
    starts = np.cumsum([0, *(e.tokens for e in corpus.entries)])
    assert [e.start for e in corpus.entries] == starts[:-1].tolist()
    assert corpus.tokens == starts[-1]
    assert len(corpus) == 6


def test_build_returns_the_length_in_tokens(tmp_path: Path) -> None:
    assert build(tmp_path, sayings(3), names=("wave",)) == Corpus(tmp_path).tokens


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


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_speed_factor_scales_times_and_pitch(tmp_path: Path, factor: float) -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    plain, fast = (built(tmp_path / str(f), names=("f0", "phone"), factor=f) for f in (1.0, factor))
    assert fast.tokens == pytest.approx(plain.tokens / factor, abs=1)
    ends, scaled = ([end for _, end in c.entries[0].words] for c in (plain, fast))
    np.testing.assert_allclose(scaled, np.array(ends) / factor, atol=2e-3)
    f0, shifted = (c.slice("f0", 0) for c in (plain, fast))
    assert np.median(shifted[shifted > 0]) == pytest.approx(factor * np.median(f0[f0 > 0]), rel=0.02)


@pytest.mark.parametrize("level", [0.01, 0.3])
def test_speech_is_brought_to_one_level(tmp_path: Path, level: float) -> None:
    build(tmp_path, [utterance(WORDS, level=level)], names=("wave",))
    wave = Corpus(tmp_path).slice("wave", 0) / 32767
    assert 20 * np.log10(np.sqrt(np.mean(wave**2))) == pytest.approx(LEVEL_DBFS, abs=0.3)


def test_pitch_is_that_of_the_frame_centre() -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    time = np.arange(50 * HOP_SAMPLES) / SAMPLE_RATE_HZ
    glide = 120 + 80 * time  # Hz
    phase = 2 * np.pi * np.cumsum(glide) / SAMPLE_RATE_HZ
    found = pitch(sum(np.sin(h * phase) / h for h in range(1, 6)).astype(np.float32))
    assert found.shape == (50,)
    centres = glide[HOP_SAMPLES // 2 :: HOP_SAMPLES]
    np.testing.assert_allclose(found[5:-5], centres[5:-5], rtol=0.01)


def test_silence_has_no_pitch() -> None:
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    assert not pitch(np.zeros(20 * HOP_SAMPLES, dtype=np.float32)).any()


def test_only_the_named_arrays_are_written(tmp_path: Path) -> None:
    corpus = built(tmp_path, names=("whisper",))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["entries.jsonl", "whisper.raw"]
    assert len(corpus.slice("whisper", 0)) == 4 * corpus.tokens


def test_an_array_that_was_not_built_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"mel\.raw"):
        built(tmp_path, names=("whisper",)).slice("mel", 0)


def test_speech_tokens_and_vectors_that_were_not_made_are_named(tmp_path: Path) -> None:
    corpus = built(tmp_path, names=("wave",))
    with pytest.raises(MissingFileError, match=r"codes\.npy"):
        corpus.tokens_of(0)
    with pytest.raises(MissingFileError, match=r"speakers\.npy"):
        corpus.vectors  # noqa: B018


def test_speech_tokens_belong_to_their_entry(corpora: list[Corpus]) -> None:
    for index in range(len(corpora[0])):
        phones = corpora[0].slice("phone", index)[::2].astype(np.int16)
        np.testing.assert_array_equal(corpora[0].tokens_of(index), phones * 97)


def test_speech_tokens_of_an_earlier_build_are_refused(tmp_path: Path) -> None:
    corpus = built(tmp_path, names=("wave",))
    np.save(tmp_path / "codes.npy", np.zeros(corpus.tokens - 1, dtype=np.int16))
    with pytest.raises(MismatchError, match="codes"):
        Corpus(tmp_path)


def test_an_array_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    built(tmp_path, names=("wave",))
    with (tmp_path / "wave.raw").open("r+b") as file:
        file.truncate(1920)
    with pytest.raises(MismatchError, match="wave"):
        Corpus(tmp_path)


def test_the_listing_is_a_line_of_json_per_utterance(tmp_path: Path) -> None:
    built(tmp_path, names=("wave",))
    (line,) = (tmp_path / "entries.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {"text", "start", "tokens", "words"}


def test_phones_are_distinct_and_fit_a_byte() -> None:
    assert len(set(PHONES)) == len(PHONES) < 256
    assert PHONES[0] == "pau"


@pytest.mark.parametrize(("label", "phone"), [("aa", "aa"), ("ssil", "pau"), ("axr", "er"), ("dx", "t"), ("hv", "hh")])
def test_labels_of_the_teachers_map_to_phones(label: str, phone: str) -> None:
    assert PHONES[phone_index(label)] == phone


def test_an_unknown_phone_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'qq'; known: pau, aa"):
        phone_index("qq")


def test_the_tones_are_as_long_as_they_say() -> None:
    made = utterance(WORDS)
    assert len(made.audio) / RATE_HZ == pytest.approx(made.phones[-1].end_s)
    assert made.words[0].start_s == pytest.approx(SILENCE_S)
