"""Two small speakers, built once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cosy.text.tokenizer import TextTokenizer, train_bpe
from cosy.train.data.corpus import Corpus
from tests.train.speakers import write_speakers
from tests.train.tones import SPELLING, write_corpus


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Corpus]:
    """Complete corpora of a lower and a higher voice; treat them as read-only."""
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    root = tmp_path_factory.mktemp("corpora")
    return [write_corpus(root / "low", f0_hz=120.0), write_corpus(root / "high", f0_hz=190.0)]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """One complete corpus of both voices; treat it as read-only."""
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    return write_speakers(tmp_path_factory.mktemp("speakers"))


@pytest.fixture(scope="session")
def text_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    return train_bpe([" ".join(SPELLING)] * 5, 270, tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(autouse=True)
def _own_chance() -> Iterator[None]:
    """Networks start from the same weights in every test; the global generator is put back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
