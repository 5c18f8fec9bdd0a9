from __future__ import annotations

import pytest
from hypothesis import settings

from cosy.text.frontend import TextFrontend
from cosy.text.tokenizer import TextTokenizer, train_bpe

settings.register_profile("text", deadline=None, database=None, derandomize=True, max_examples=150)
settings.load_profile("text")

CORPUS = (
    "The quick brown fox jumps over the lazy dog; it's what we're here for, isn't it?",
    "We went to the shop on the corner, and there they were: bread, butter and cheese!",
    "今天天气很好，我们去公园玩。我们一起去吧！你好，世界。",
)
ENTRIES = 400


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    """A small vocabulary with merges in Latin and Han script."""
    return train_bpe(CORPUS * 5, ENTRIES, tmp_path_factory.mktemp("vocabulary"))


@pytest.fixture(scope="session")
def frontend(tokenizer: TextTokenizer) -> TextFrontend:
    return TextFrontend(tokenizer)
