"""Two small speakers, built once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from cosy.train.data.corpus import Corpus
from tests.train.tones import write_corpus


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[Corpus]:
    """Complete corpora of a lower and a higher voice; treat them as read-only."""
    pytest.importorskip("pyworld", reason="F0 of a corpus needs the extra `train`")
    root = tmp_path_factory.mktemp("corpora")
    return [write_corpus(root / "low", f0_hz=120.0), write_corpus(root / "high", f0_hz=190.0)]


@pytest.fixture(autouse=True)
def _own_chance() -> Iterator[None]:
    """Networks start from the same weights in every test; the global generator is put back afterwards."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
