from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cosy.models.flow import Flow
from cosy.train.data.corpus import Corpus
from cosy.train.remake import remake
from tests.model_dir import SMALL


@pytest.fixture
def flow() -> Flow:
    return Flow(SMALL.flow).eval()


def test_mels_are_the_flows_and_all_else_is_kept(corpus: Corpus, flow: Flow, tmp_path: Path) -> None:
    assert [path.name for path in remake(corpus, flow, tmp_path)] == [shard.name for shard in corpus.shards]
    made = Corpus(tmp_path)
    assert made.entries == corpus.entries
    for index in (0, len(corpus) - 1):
        for name in ("wave", "f0"):
            assert np.array_equal(made.slice(name, index), corpus.slice(name, index))
        mel = made.slice("mel", index)
        assert mel.shape == corpus.slice("mel", index).shape
        assert np.isfinite(mel).all()
        assert not np.array_equal(mel, corpus.slice("mel", index))


def test_a_run_goes_on_and_can_be_repeated(corpus: Corpus, flow: Flow, tmp_path: Path) -> None:
    whole = {path.name: (path / "mel.raw").read_bytes() for path in remake(corpus, flow, tmp_path / "whole")}
    first = next(remake(corpus, flow, tmp_path / "cut"))
    (tmp_path / "cut" / "left.partial").mkdir()
    rest = list(remake(corpus, flow, tmp_path / "cut"))
    assert {path.name: (path / "mel.raw").read_bytes() for path in [first, *rest]} == whole
