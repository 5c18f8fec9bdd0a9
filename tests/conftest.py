"""Fixtures that many tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model_dir import write_model_dir


@pytest.fixture(scope="session")
def small_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model directory in the official layout; treat it as read-only."""
    return write_model_dir(tmp_path_factory.mktemp("models") / "small")
