"""The front door: what `cosy` exports, and that it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cosy

EXPORTED = [
    "AsyncEngine",
    "AudioChunk",
    "Cosy",
    "CosyError",
    "FinishReason",
    "InputError",
    "Mode",
    "Sampling",
    "Segment",
    "Speech",
    "SpeechRequest",
    "Voice",
    "VoiceStore",
    "__version__",
    "build_engine",
]


def test_the_exported_names_are_pinned() -> None:
    assert cosy.__all__ == EXPORTED
    assert set(EXPORTED) <= set(dir(cosy))


@pytest.mark.parametrize("name", EXPORTED)
def test_every_exported_name_is_there(name: str) -> None:
    assert getattr(cosy, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        cosy.Nonsense  # noqa: B018


def test_importing_the_front_door_does_not_import_torch() -> None:
    code = "import sys; from cosy import Cosy, Speech, Sampling, __version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
