from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cosy.checkpoint.layout import SPEAKER_ENCODER, SPEECH_TOKENIZER
from cosy.checkpoint.load import load_model
from cosy.errors import MismatchError, MissingFileError
from cosy.train.data.corpus import Corpus, build
from cosy.train.data.front_ends import IDENTITY, annotate, identity_of
from tests.train.tones import sayings


@pytest.fixture(scope="module")
def annotated(small_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("annotated")
    build(folder / "00000", sayings(2), ("wave", "whisper"))
    build(folder / "00001", sayings(1, seed=1), ("whisper",))
    build(folder / "00002", [], ("wave", "whisper"))
    assert len(list(annotate(folder, small_model_dir, workers=2))) == 3
    return folder


def test_every_utterance_has_its_speech_tokens(annotated: Path, small_model_dir: Path) -> None:
    import torch

    corpus, model = Corpus(annotated), load_model(small_model_dir, parts=())
    for index in range(len(corpus)):
        mel = torch.from_numpy(corpus.slice("whisper", index).astype(np.float32)).T[None]
        np.testing.assert_array_equal(corpus.tokens_of(index), model.speech_tokenizer(mel).numpy())
        assert corpus.tokens_of(index).dtype == np.int16


def test_an_utterance_with_samples_has_a_vector_of_its_own(annotated: Path) -> None:
    corpus = Corpus(annotated / "00000")
    first, second = (corpus.vector_of(i) for i in range(2))
    assert first.shape == (192,)
    assert np.isfinite(first).all()
    assert not np.array_equal(first, second)


def test_a_shard_without_samples_has_tokens_alone(annotated: Path) -> None:
    assert sorted(path.name for path in (annotated / "00001").iterdir()) == [
        "codes.npy",
        "entries.jsonl",
        "whisper.raw",
    ]


def test_what_is_there_is_not_made_again(annotated: Path, small_model_dir: Path) -> None:
    assert list(annotate(annotated, small_model_dir, workers=1)) == []


def test_tokens_of_two_models_do_not_meet(annotated: Path, small_model_dir: Path, tmp_path: Path) -> None:
    for name in (SPEECH_TOKENIZER, SPEAKER_ENCODER):
        shutil.copyfile(small_model_dir / name, tmp_path / name)
    with (tmp_path / SPEECH_TOKENIZER).open("ab") as file:
        file.write(b" ")
    with pytest.raises(MismatchError, match=r"made by another model.*delete .*front_ends\.json"):
        annotate(annotated, tmp_path, workers=1)


def test_arrays_that_nobody_signed_are_made_anew(annotated: Path, small_model_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(annotated / "00001", tmp_path / "00001")
    expected = np.load(tmp_path / "00001" / "codes.npy")
    np.save(tmp_path / "00001" / "codes.npy", np.zeros_like(expected))
    assert len(list(annotate(tmp_path, small_model_dir, workers=1))) == 1
    np.testing.assert_array_equal(np.load(tmp_path / "00001" / "codes.npy"), expected)
    assert json.loads((tmp_path / IDENTITY).read_text()) == identity_of(small_model_dir)


def test_a_model_without_front_ends_is_refused_at_once(annotated: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=SPEECH_TOKENIZER):
        annotate(annotated, tmp_path, workers=1)
